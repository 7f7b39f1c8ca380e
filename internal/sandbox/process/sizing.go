//go:build linux && (amd64 || arm64)

package process

import (
	"cmp"
	"slices"
	"time"

	gust "github.com/gust-dev/gust"
)

// sizing decides how many interpreters wait of which kind, as a function of what
// happened and when. It does nothing and reads no clock; pools carries out what
// it decides, one step at a time.
//
// A kind wants as many as were asked for within the time that booting one anew
// takes, and one more than there were whenever somebody found none, so that each
// of those who come together finds one. A peak counts for a while and then for
// half, so that one burst is not paid for all day. A kind that was announced
// wants one always, one that was only asked for wants one for as long as that
// was lately.
type sizing struct {
	memory int64 // bytes that all may use together
	kinds  map[bootKind]*demand
}

// demand is what is known of a kind.
type demand struct {
	told   bool        // announced
	asked  time.Time   // when it was last asked for; zero for never
	recent []time.Time // asked for within the time of two boots, the oldest first
	peak   int         // the most of those that there were, counted at peakAt
	peakAt time.Time
	took   time.Duration // how long one takes to boot
	memory int64         // bytes that one uses
	failed int           // boots that failed in a row
	retry  time.Time     // when it is tried again

	boots, failures uint64 // in all
}

const (
	// maxPooled bounds how many wait, whatever they use.
	maxPooled = 128
	// keepAsked is how long a kind that was asked for once, and never
	// announced, has one.
	keepAsked = 10 * time.Minute
	// halvePeak is after how long a peak counts half.
	halvePeak = time.Minute
	// keepPlace is how long one that waits keeps its place from being given to
	// another kind after its own was asked for: two kinds that are used in turn
	// would else end each other's all the time.
	keepPlace = time.Minute
	// The expectations of a kind of which none was booted.
	expectBoot   = 100 * time.Millisecond
	expectMemory = 24 * gust.MB
	// retryFirst and retryMost are between how long a kind that does not boot is
	// left alone.
	retryFirst = time.Second
	retryMost  = 5 * time.Minute
)

func (s *sizing) of(k bootKind) *demand {
	d := s.kinds[k]
	if d == nil {
		d = &demand{took: expectBoot, memory: expectMemory}
		s.kinds[k] = d
	}
	return d
}

// tell announces kinds; those that were announced before and are not among them
// are not any more.
func (s *sizing) tell(kinds []bootKind) {
	for _, d := range s.kinds {
		d.told = false
	}
	for _, k := range kinds {
		s.of(k).told = true
	}
}

// ask notes that somebody wanted one, and whether one was there.
func (s *sizing) ask(k bootKind, hit bool, now time.Time) {
	d := s.of(k)
	window := 2 * d.took
	d.recent = slices.DeleteFunc(append(d.recent, now), func(t time.Time) bool { return now.Sub(t) > window })
	n, level := len(d.recent), d.level(now)
	if !hit {
		n = max(n, level+1)
	}
	if d.asked = now; n >= level {
		d.peak, d.peakAt = min(n, maxPooled), now
	}
}

// booted notes how a boot went.
func (s *sizing) booted(k bootKind, took time.Duration, memory int64) {
	d := s.of(k)
	d.boots++
	d.failed, d.retry = 0, time.Time{}
	d.took, d.memory = took, memory
}

// fail notes that a boot failed, and reports whether it is the first in a row.
func (s *sizing) fail(k bootKind, now time.Time) (first bool) {
	d := s.of(k)
	d.failures++
	d.failed++
	d.retry = now.Add(min(retryFirst<<min(d.failed-1, 20), retryMost))
	return d.failed == 1
}

// level is how many a kind has use for.
func (d *demand) level(now time.Time) int {
	n := d.peak >> min(max(now.Sub(d.peakAt)/halvePeak, 0), 30)
	if d.told || !d.asked.IsZero() && now.Sub(d.asked) < keepAsked {
		n = max(n, 1)
	}
	return n
}

// order is the kinds that have use for any, those first that were asked for
// last, with how many they are to have: each one, and then more, as long as the
// memory is enough.
func (s *sizing) order(now time.Time) (kinds []bootKind, want map[bootKind]int) {
	for k, d := range s.kinds {
		if d.level(now) > 0 {
			kinds = append(kinds, k)
		}
	}
	slices.SortFunc(kinds, func(a, b bootKind) int {
		return cmp.Or(s.kinds[b].asked.Compare(s.kinds[a].asked), a.compare(b))
	})
	want = map[bootKind]int{}
	left, places := s.memory, maxPooled
	give := func(k bootKind, n int) {
		d := s.kinds[k]
		for ; n > 0 && places > 0 && left >= d.memory; n-- {
			want[k]++
			left -= d.memory
			places--
		}
	}
	for _, k := range kinds {
		give(k, 1)
	}
	for _, k := range kinds {
		give(k, s.kinds[k].level(now)-want[k])
	}
	return kinds, want
}

// next is what to do when there are so many of each kind: boot one, or end one,
// or neither.
func (s *sizing) next(have map[bootKind]int, now time.Time) (boot, end bootKind) {
	kinds, want := s.order(now)
	left, places := s.memory, maxPooled
	for k, n := range have {
		left -= int64(n) * s.of(k).memory
		places -= n
	}
	for k, n := range have { // what has outlived its demand, or its memory
		d := s.kinds[k]
		if n > max(want[k], d.level(now)) || n > want[k] && left < 0 {
			return bootKind{}, k
		}
	}
	for _, k := range kinds {
		d := s.kinds[k]
		if have[k] >= want[k] || now.Before(d.retry) {
			continue
		}
		if left >= d.memory && places > 0 {
			return k, bootKind{}
		}
		for _, v := range slices.Backward(kinds) {
			if have[v] > want[v] && now.Sub(s.kinds[v].asked) >= keepPlace {
				return bootKind{}, v
			}
		}
		return bootKind{}, bootKind{}
	}
	for k, d := range s.kinds {
		if have[k] == 0 && d.level(now) == 0 {
			delete(s.kinds, k) // and its figures
		}
	}
	return bootKind{}, bootKind{}
}
