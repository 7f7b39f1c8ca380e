//go:build linux && (amd64 || arm64)

package process

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

// sim is a sizing whose decisions are carried out in simulated time.
type sim struct {
	t *testing.T
	sizing
	now  time.Time
	have map[bootKind]int
	boot time.Duration // how long one takes
	fail map[bootKind]bool
}

func newSim(t *testing.T, memory int64) *sim {
	return &sim{
		t: t, sizing: sizing{memory: memory, kinds: map[bootKind]*demand{}}, now: time.Unix(1e9, 0),
		have: map[bootKind]int{}, boot: 100 * time.Millisecond, fail: map[bootKind]bool{},
	}
}

// kindNamed has a footprint of 20 MB in a sim.
func kindNamed(name string) bootKind { return bootKind{argv: name} }

const footprint = 20 * gust.MB

// step carries out one decision and reports whether there was one.
func (s *sim) step() bool {
	boot, end := s.next(maps.Clone(s.have), s.now)
	switch {
	case boot != bootKind{} && end != bootKind{}:
		s.t.Fatalf("boot %v and end %v at once", boot, end)
	case boot != bootKind{}:
		s.now = s.now.Add(s.boot)
		if s.fail[boot] {
			s.sizing.fail(boot, s.now)
			return true
		}
		s.have[boot]++
		s.booted(boot, s.boot, footprint)
	case end != bootKind{}:
		if s.have[end]--; s.have[end] < 0 {
			s.t.Fatalf("ends one of %v, and there is none", end)
		}
	default:
		return false
	}
	used := int64(0)
	for _, n := range s.have {
		used += int64(n) * footprint
	}
	if used > s.memory {
		s.t.Fatalf("%v use %d bytes, %d are to be had", s.have, used, s.memory)
	}
	return true
}

// settle carries out decisions until there are none.
func (s *sim) settle() {
	s.t.Helper()
	for range 1000 {
		if !s.step() {
			return
		}
	}
	s.t.Fatalf("it does not come to rest: %v", s.have)
}

// take asks for one and reports whether there was one.
func (s *sim) take(k bootKind) bool {
	hit := s.have[k] > 0
	if hit {
		s.have[k]--
	}
	s.ask(k, hit, s.now)
	return hit
}

func (s *sim) expect(what string, want map[string]int) {
	s.t.Helper()
	got := map[string]int{}
	for k, n := range s.have {
		if n > 0 {
			got[k.argv] = n
		}
	}
	if !maps.Equal(got, want) {
		s.t.Errorf("%s: there are %v, want %v", what, got, want)
	}
}

func TestSizing(t *testing.T) {
	a, b, c := kindNamed("a"), kindNamed("b"), kindNamed("c")

	s := newSim(t, gust.GB)
	s.tell([]bootKind{a, b})
	s.settle()
	s.expect("announced", map[string]int{"a": 1, "b": 1})
	s.now = s.now.Add(24 * time.Hour)
	s.settle()
	s.expect("a day later", map[string]int{"a": 1, "b": 1})
	s.tell([]bootKind{b})
	s.settle()
	s.expect("one is not announced any more", map[string]int{"b": 1})

	// A burst: the first finds one, and the next burst of as many finds enough.
	for range 6 {
		s.take(b)
	}
	s.settle()
	s.expect("after a burst", map[string]int{"b": 6})
	for range 6 {
		if !s.take(b) {
			t.Error("the same burst again misses")
		}
	}
	s.settle()
	s.now = s.now.Add(halvePeak)
	s.settle()
	s.expect("a while later", map[string]int{"b": 3})
	s.now = s.now.Add(2 * halvePeak)
	s.settle()
	s.expect("when it is forgotten", map[string]int{"b": 1})

	// What was only asked for is kept for a time.
	s.take(c)
	s.settle()
	s.expect("asked for", map[string]int{"b": 1, "c": 1})
	s.now = s.now.Add(keepAsked)
	s.settle()
	s.expect("not asked for since", map[string]int{"b": 1})
	if len(s.kinds) != 1 {
		t.Errorf("%d kinds are remembered, want 1", len(s.kinds))
	}

	// A steady rate, of which two fall into the time of two boots.
	for range 50 {
		s.take(b)
		s.now = s.now.Add(150 * time.Millisecond)
		s.settle()
	}
	if n := s.have[b]; n < 1 || n > 3 {
		t.Errorf("%d wait at a steady rate, want 1 to 3", n)
	}
}

// TestSizingWithLittleMemory: the kinds that are used come before those that are
// only announced, and two that are used in turn do not end each other.
func TestSizingWithLittleMemory(t *testing.T) {
	s := newSim(t, 2*expectMemory)
	kinds := []bootKind{kindNamed("a"), kindNamed("b"), kindNamed("c"), kindNamed("d")}
	a, b, c, d := kinds[0], kinds[1], kinds[2], kinds[3]
	s.tell(kinds)
	s.settle()
	s.expect("announced", map[string]int{"a": 1, "b": 1})
	s.take(c)
	s.take(d)
	s.settle()
	s.expect("others are asked for", map[string]int{"c": 1, "d": 1})
	boots := s.of(a).boots + s.of(b).boots
	for range 20 { // a and b in turn, while c and d were asked for lately
		s.take(a)
		s.take(b)
		s.now = s.now.Add(time.Second)
		s.settle()
	}
	s.expect("in turn", map[string]int{"c": 1, "d": 1})
	if n := s.of(a).boots + s.of(b).boots; n != boots {
		t.Errorf("%d were booted to be ended again", n-boots)
	}
	s.now = s.now.Add(keepPlace)
	s.take(a)
	s.take(b)
	s.settle()
	s.expect("c and d have had their time", map[string]int{"a": 1, "b": 1})

	none := newSim(t, 0)
	none.tell(kinds)
	none.take(a)
	none.settle()
	none.expect("without memory", map[string]int{})
}

func TestSizingBacksOff(t *testing.T) {
	s := newSim(t, gust.GB)
	a, b := kindNamed("a"), kindNamed("b")
	s.fail[a] = true
	s.tell([]bootKind{a, b})
	s.settle()
	s.expect("one does not boot", map[string]int{"b": 1})
	tries := func(d time.Duration) (n uint64) {
		before := s.of(a).failures
		for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(time.Second) {
			s.settle()
		}
		return s.of(a).failures - before
	}
	if n := tries(time.Hour); n < 12 || n > 25 {
		t.Errorf("it was tried %d times within an hour, want 12 to 25", n)
	}
	delete(s.fail, a)
	s.now = s.now.Add(retryMost)
	s.settle()
	s.expect("it boots again", map[string]int{"a": 1, "b": 1})
	if s.of(a).failed != 0 {
		t.Error("its failures still count")
	}
}

// TestSizingComesToRest: whatever happened, decisions come to an end, within the
// memory (sim.step looks), and with one of each kind that is announced.
func TestSizingComesToRest(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		s := newSim(t, int64(1+r.IntN(20))*expectMemory)
		var kinds []bootKind
		for i := range 1 + r.IntN(8) {
			kinds = append(kinds, kindNamed(fmt.Sprint(i)))
		}
		for range 300 {
			switch r.IntN(6) {
			case 0:
				s.tell(kinds[:r.IntN(len(kinds)+1)])
			case 1:
				s.now = s.now.Add(time.Duration(r.IntN(200)) * time.Second)
			case 2:
				s.fail[kinds[r.IntN(len(kinds))]] = r.IntN(2) == 0
			case 3:
				s.step()
			default:
				s.take(kinds[r.IntN(len(kinds))])
			}
		}
		s.fail = map[bootKind]bool{}
		s.tell(kinds)
		s.now = s.now.Add(time.Hour)
		s.settle()
		n := 0
		for _, k := range kinds {
			n += min(s.have[k], 1)
		}
		if want := min(len(kinds), int(s.memory/expectMemory)); n < want {
			t.Fatalf("seed %d: %d of %d kinds have one, there is memory for %d", seed, n, len(kinds), want)
		}
	}
}
