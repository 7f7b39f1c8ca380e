package policy

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// What the linter wants an ARN to be is as it wants it, and it knows the ARNs of
// each service whose actions it knows.
func TestARNForms(t *testing.T) {
	if known, want := slices.Sorted(maps.Keys(arnForms)), slices.Sorted(maps.Keys(actions())); !slices.Equal(known, want) {
		t.Errorf("the ARNs of %v are known, and the actions of %v", known, want)
	}
	for service, form := range arnForms {
		arn := strings.NewReplacer("REGION", "us-east-1", "ACCOUNT", "111122223333").Replace(form.example)
		if parts := strings.Split(arn, ":"); parts[2] != service {
			t.Errorf("%s is no example of %s", arn, service)
		}
		for _, s := range []string{arn, arn + "*", arn[:len(arn)-4] + "*", "arn:aws:" + service + ":*"} {
			if wrong := checkARN(s, true); wrong != "" {
				t.Errorf("%s: %s", s, wrong)
			}
		}
	}
}
