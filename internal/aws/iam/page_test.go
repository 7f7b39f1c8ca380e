package iam

import (
	"fmt"
	"testing"
)

// FuzzMarker: a marker of any sort shows a part of the list, in its order, or is
// refused.
func FuzzMarker(f *testing.F) {
	f.Add("dTE", int32(2))
	f.Add("MTIz", int32(1))
	f.Add("LTE", int32(1000))
	f.Add("", int32(1))
	list := []string{"u0", "u1", "u2", "u3"}
	f.Fuzz(func(t *testing.T, marker string, limit int32) {
		if limit < 1 || limit > 1000 { // the model's
			return
		}
		for _, get := range []func() ([]string, *bool, *string, error){
			func() ([]string, *bool, *string, error) { return page(list, itself, &marker, &limit) },
			func() ([]string, *bool, *string, error) { return pageInOrder(list, &marker, &limit) },
		} {
			part, more, next, err := get()
			if err != nil {
				continue
			}
			if part == nil || *more != (next != nil) || len(part) > int(limit) {
				t.Fatalf("%q: %q, %v, %v", marker, part, *more, next)
			}
			if len(part) > 0 && fmt.Sprint(part) != fmt.Sprint(list[part[0][1]-'0':][:len(part)]) {
				t.Fatalf("%q: %q is no part of the list", marker, part)
			}
		}
	})
}
