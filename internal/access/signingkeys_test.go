package access

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"
)

func (k *signingKeys) count() (n int) {
	for i := range k.sets {
		for j := range k.sets[i] {
			if k.sets[i][j].Load() != nil {
				n++
			}
		}
	}
	return n
}

// A thousand credentials that use eight services find their keys kept, today's
// take the place of yesterday's, and there is never more than the bound.
func TestSigningKeysAreKeptAndBounded(t *testing.T) {
	k := newSigningKeys()
	credentials := make([]*Credential, 1000)
	for i := range credentials {
		credentials[i] = &Credential{KeyID: fmt.Sprintf("AKIA%016d", i), Secret: fmt.Sprintf("%040d", i)}
	}
	for _, date := range []string{"20260301", "20260302", "20260303"} {
		for round := range 2 {
			missed := 0
			for _, c := range credentials {
				for service := range 8 {
					s := scope{date, "us-east-1", fmt.Sprintf("service%d", service)}
					key, kept := k.find(c, s)
					if key != deriveKey(c.Secret, s) {
						t.Fatalf("a wrong key for %s, %v (kept: %v)", c.KeyID, s, kept)
					}
					if !kept {
						missed++
						k.keep(c, s, key)
					}
				}
			}
			if round == 1 && missed > 8000/10 {
				t.Errorf("%s: %d of 8,000 keys were not kept", date, missed)
			}
		}
	}
	if n := k.count(); n > signingSets*signingWays {
		t.Errorf("%d keys are kept", n)
	}
}

func TestSigningKeyOfAnotherSecretIsNotTaken(t *testing.T) {
	k, s := newSigningKeys(), scope{"20260301", "us-east-1", "s3"}
	before := &Credential{KeyID: "AKIA", Secret: "a"}
	after := &Credential{KeyID: "AKIA", Secret: "b"}
	k.keep(before, s, deriveKey("a", s))
	if key, kept := k.find(after, s); kept || key != deriveKey("b", s) {
		t.Error("a key of a secret that was replaced is still taken")
	}
	k.keep(after, s, deriveKey("b", s))
	if _, kept := k.find(after, s); !kept || k.count() != 1 {
		t.Errorf("kept: %v; %d keys, want the new one alone", kept, k.count())
	}
}

func TestSigningKeysUnderManyHands(t *testing.T) {
	k := newSigningKeys()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				c := &Credential{KeyID: fmt.Sprint("AKIA", (i+g)%50), Secret: fmt.Sprint((i + g) % 50)}
				s := scope{"20260301", "us-east-1", "iam"}
				key, kept := k.find(c, s)
				if key != deriveKey(c.Secret, s) {
					t.Errorf("a wrong key for %s", c.KeyID)
				}
				if !kept {
					k.keep(c, s, key)
				}
			}
		})
	}
	wg.Wait()
}

// The code of crypto/hmac is the measure of the one that allocates nothing.
func TestMAC(t *testing.T) {
	for _, keyLen := range []int{0, 1, 32, 63, 64, 65, 200} {
		for _, dataLen := range []int{0, 1, 55, 64, 300, 447, 448, 449, 5000} {
			key, data := bytes.Repeat([]byte{7}, keyLen), bytes.Repeat([]byte{9}, dataLen)
			h := hmac.New(sha256.New, key)
			h.Write(data)
			if got := mac(key, data); !bytes.Equal(got[:], h.Sum(nil)) {
				t.Errorf("key of %d bytes, data of %d: %x", keyLen, dataLen, got)
			}
		}
	}
}
