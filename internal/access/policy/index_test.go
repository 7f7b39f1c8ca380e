package policy

import (
	"fmt"
	"strings"
	"testing"
)

// TestAStatementIsInQuestionOnce: what a decision costs does not grow with how
// many of a statement's actions and resources begin as what is asked for.
func TestAStatementIsInQuestionOnce(t *testing.T) {
	var nested []string
	for i := range maxPairs {
		nested = append(nested, `"arn:aws:s3:::`+strings.Repeat("a", i/2)+`*x"`)
	}
	actions := strings.TrimSuffix(strings.Repeat(`"s3:Get*",`, 500), ",")
	for _, x := range []struct {
		actions, resources, resource string
		want                         int
	}{
		{`"s3:Get*"`, strings.Join(nested, ","), "arn:aws:s3:::" + strings.Repeat("a", 100), 1},
		{`"s3:Get*"`, `"arn:aws:s3:::a","arn:aws:s3:::a*","arn:aws:s3:::a"`, "arn:aws:s3:::a", 1},
		{`"s3:Get*"`, `"arn:aws:s3:::ab","arn:aws:s3:::a"`, "arn:aws:s3:::ab", 1},
		{`"s3:Get*"`, `"arn:aws:s3:::ab","arn:aws:s3:::a"`, "arn:aws:s3:::abc", 0},
		{`"s3:Get*"`, `"arn:aws:s3:::ab*","arn:aws:s3:::a"`, "arn:aws:s3:::abc", 1},
		{`"s3:Get*","s3:*Object","s3:G*"`, `"arn:aws:s3:::b","arn:aws:s3:::a*"`, "arn:aws:s3:::abc", 1},
		{actions, `"*"`, "arn:aws:s3:::a", 1},
	} {
		doc, err := Parse(Identity, fmt.Appendf(nil, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":[%s],"Resource":[%s]}}`, x.actions, x.resources))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		r := Compile(Layers{Identity: []Attached{{"p", doc}}})
		r.index.visit([]byte("s3:getobject"), x.resource, func(place) { n++ })
		if n != x.want {
			t.Errorf("%.80s on %.80s: %s is in question %d times, want %d", x.actions, x.resources, x.resource, n, x.want)
		}
	}
}
