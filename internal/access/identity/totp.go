package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"time"
)

// What AWS's virtual devices are: RFC 6238 with HMAC-SHA-1, of which every app
// makes codes.
const (
	codeDigits = 6
	codeStep   = 30 * time.Second
	seedSize   = 40 // bytes, which are 64 characters of base32

	// stepsAside is how many steps a device may be off on either side, beside
	// what is known of its clock.
	stepsAside = 1
	// stepsSought is how many steps a device may be off when two codes tell: five
	// minutes. A pair is not guessed.
	stepsSought = 10
)

// seed is the secret that a device makes its codes of.
type seed []byte

func newSeed() seed {
	s := make(seed, seedSize)
	rand.Read(s) // never fails
	return s
}

// String is the seed as apps take it.
func (s seed) String() string { return base32.StdEncoding.EncodeToString(s) }

// code is the one of a time step.
func (s seed) code(step int64) string {
	h := hmac.New(sha1.New, s)
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(step)))
	sum := h.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[len(sum)-1]&15:]) & (1<<31 - 1)
	return fmt.Sprintf("%0*d", codeDigits, n%1_000_000)
}

// is tells, as 1 or 0 and in the same time, whether code is the one of a step.
func (s seed) is(code string, step int64) int {
	return subtle.ConstantTimeCompare([]byte(s.code(step)), []byte(code))
}

// stepOf is the time step of a moment.
func stepOf(t time.Time) int64 { return t.Unix() / int64(codeStep/time.Second) }

// find is the last step around at whose code it is.
func (s seed) find(code string, at int64) (step int64, found bool) {
	for i := at - stepsAside; i <= at+stepsAside; i++ {
		if s.is(code, i) == 1 {
			step, found = i, true
		}
	}
	return step, found
}

// findPair is the step of the second of two codes that follow each other.
func (s seed) findPair(first, second string, at int64) (step int64, found bool) {
	for i := at - stepsSought; i <= at+stepsSought; i++ {
		if s.is(first, i-1)&s.is(second, i) == 1 {
			step, found = i, true
		}
	}
	return step, found
}
