package identity

import (
	"strings"
	"testing"
)

// FuzzOpenToken: whatever is given is refused, unless the node made it.
func FuzzOpenToken(f *testing.F) {
	seal := newSeal([32]byte{1}, place.Account)
	const good = "ARpDtPuvkeZM7Sgjir5po90b1blmGcgO4Z-3ph9zAjV76y8ijzmge_rs2qkxen40zErUKaXjmpBeXbd-gJHxXw"
	if s, err := seal.open(good); err != nil || s.Key != "ASIA" {
		f.Fatal(err)
	}
	for _, s := range []string{good, "", "A", "AQ", good[:len(good)/2], good + "A", strings.ToLower(good), strings.Repeat("A", MaxToken+1)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		s, err := seal.open(token)
		if token == good {
			return
		}
		if err == nil {
			t.Errorf("%q opens as %+v", token, s.claims)
		}
	})
}
