//go:build linux && (amd64 || arm64)

package process

import (
	"fmt"
	"testing"
)

func TestUIDs(t *testing.T) {
	u := newUIDs("a")
	seen := map[int]bool{}
	for range uidsOfNode / 2 {
		id, err := u.take()
		if err != nil {
			t.Fatal(err)
		}
		if id < firstUID || id+1 > 1<<31-2 || seen[id] || seen[id+1] {
			t.Fatalf("%d is not a pair of its own in the range", id)
		}
		seen[id], seen[id+1] = true, true
	}
	if id, err := u.take(); err == nil {
		t.Fatalf("one too many: %d", id)
	}
	u.give(u.base + 10)
	u.give(u.base + 4)
	for _, want := range []int{10, 4} {
		if id, err := u.take(); id != u.base+want || err != nil {
			t.Errorf("it gave %d, %v; want %d, the longest unused", id-u.base, err, want)
		}
	}
}

func TestUIDsOfNodes(t *testing.T) {
	last := 0
	for i := range 100 {
		u := newUIDs(fmt.Sprint("node", i))
		if u.base < firstUID || u.base+uidsOfNode > 1<<31-1 {
			t.Errorf("the range begins at %d", u.base)
		}
		if u.base == last {
			t.Errorf("two nodes in a row have the range from %d", last)
		}
		last = u.base
	}
}
