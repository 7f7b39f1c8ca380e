//go:build linux && (amd64 || arm64)

package process

import (
	"slices"
	"sync"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
)

// kind is what cells differ in before they have a function.
type kind struct {
	root    string // folder on the host
	network bool   // it has more than lo
}

func kindOf(spec sandbox.Spec) kind { return kind{root: spec.Root, network: hasNetwork(spec.Network)} }

// spares are cells and /tmp volumes made ahead. They are made one at a time,
// and only while nobody starts an environment: a burst has better use for the
// processors. Each is used once, by one function.
type spares struct {
	b    *Backend
	want int
	wake chan struct{} // there may be something to make

	mu       sync.Mutex
	starting int          // Starts under way
	last     sandbox.Spec // whose limits the next one probably has too
	recent   []kind       // of the last starts, the newest first
	cells    []*cell
	volumes  []*volume
}

// recentStarts is how many starts tell which kinds of cells are wanted, for each
// cell that is kept.
const recentStarts = 4

// newSpares takes over a first volume.
func newSpares(b *Backend, want int, v *volume) *spares {
	return &spares{b: b, want: want, wake: make(chan struct{}, 1), volumes: []*volume{v},
		last: sandbox.Spec{Memory: gust.DefaultMemory, Ephemeral: v.size, Processes: gust.MaxProcesses}}
}

// share says how many of want cells are to be of which kind: one of each, the
// most recently used first, and the others as they were used.
func share(recent []kind, want int) map[kind]int {
	n := map[kind]int{}
	for _, k := range recent {
		if n[k] == 0 && len(n) < want {
			n[k] = 1
		}
	}
	for left := want - len(n); left > 0 && len(recent) > 0; {
		for _, k := range recent[:min(left, len(recent))] {
			n[k]++
			left--
		}
	}
	return n
}

// begin and end stand around each Start.
func (s *spares) begin() {
	s.mu.Lock()
	s.starting++
	s.mu.Unlock()
}

func (s *spares) end() {
	s.mu.Lock()
	s.starting--
	idle := s.starting == 0
	s.mu.Unlock()
	if idle {
		s.nudge()
		s.b.pools.nudge()
	}
}

// idle reports whether nobody starts an environment.
func (s *spares) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.starting == 0
}

func (s *spares) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// expect tells of a kind that will be asked for.
func (s *spares) expect(k kind) {
	s.mu.Lock()
	s.used(k)
	s.mu.Unlock()
	s.nudge()
}

// foresee tells of a kind that may be asked for, after all those that are.
func (s *spares) foresee(k kind) {
	s.mu.Lock()
	if !slices.Contains(s.recent, k) {
		s.recent = append(s.recent, k)
	}
	s.mu.Unlock()
	s.nudge()
}

// used notes that a kind was asked for. The caller holds mu.
func (s *spares) used(k kind) {
	s.recent = append([]kind{k}, s.recent[:min(len(s.recent), recentStarts*max(s.want, 1)-1)]...)
}

// take gives what there is, nil for what there is not.
func (s *spares) take(spec sandbox.Spec) (c *cell, v *volume) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = sandbox.Spec{Memory: spec.Memory, Ephemeral: spec.Ephemeral, Processes: spec.Processes}
	k := kindOf(spec)
	s.used(k)
	for i := 0; i < len(s.cells) && c == nil; {
		if s.cells[i].kind != k {
			i++
			continue
		}
		c = s.cells[i]
		s.cells = slices.Delete(s.cells, i, i+1)
		if c.dead() || !s.b.roots.fresh(c.zygote) {
			s.b.wg.Go(c.release)
			c = nil
		}
	}
	for i, w := range s.volumes {
		if w.size == spec.Ephemeral {
			s.volumes = append(s.volumes[:i], s.volumes[i+1:]...)
			return c, w
		}
	}
	return c, nil
}

// tidyEvery is how often roots of no use are looked for.
const tidyEvery = time.Minute

// run makes spares, and ends what is of no use, until the backend is closed.
func (s *spares) run() {
	tidy := time.NewTicker(tidyEvery)
	defer tidy.Stop()
	for s.b.ctx.Err() == nil {
		made, err := s.makeOne()
		if made {
			continue
		}
		var again <-chan time.Time
		if err != nil {
			s.b.log.Warn("no environment could be prepared ahead", "error", err)
			again = time.After(time.Second)
		}
		select {
		case <-s.wake:
		case <-again:
		case now := <-tidy.C:
			s.dropStale()
			s.b.roots.tidy(now)
		case <-s.b.ctx.Done():
		}
	}
}

// makeOne makes one spare if one is missing and nobody starts anything.
func (s *spares) makeOne() (bool, error) {
	s.mu.Lock()
	last := s.last
	size := last.Ephemeral
	idle := s.starting == 0
	var stale []*volume
	kept := s.volumes[:0]
	for _, v := range s.volumes {
		if v.size == size {
			kept = append(kept, v)
		} else {
			stale = append(stale, v)
		}
	}
	s.volumes = kept
	cells, volumes := len(s.cells), len(s.volumes)
	missing, surplus := s.uneven()
	s.mu.Unlock()
	for _, v := range stale {
		v.close()
	}
	switch {
	case !idle:
		return false, nil
	case volumes < min(s.want, cells+1):
		v, err := s.b.scratch.newVolume(s.b.ctx, size)
		if err != nil {
			return false, err
		}
		s.mu.Lock()
		s.volumes = append(s.volumes, v)
		s.mu.Unlock()
	case missing == kind{}:
		return false, nil
	case cells >= s.want:
		s.drop(func(c *cell) bool { return c == surplus })
	default:
		c, err := s.b.newCell(missing, last.Memory, last.Processes)
		if err != nil {
			s.mu.Lock() // it is tried again when somebody asks for it again
			s.recent = slices.DeleteFunc(s.recent, func(k kind) bool { return k == missing })
			s.mu.Unlock()
			return false, err
		}
		s.mu.Lock()
		s.cells = append(s.cells, c)
		s.mu.Unlock()
	}
	return true, nil
}

// uneven returns a kind of which there are too few cells, if there is one, and a
// cell of which there are too many, if there is one. The caller holds mu.
func (s *spares) uneven() (missing kind, surplus *cell) {
	n := share(s.recent, s.want)
	for _, c := range s.cells {
		if n[c.kind]--; n[c.kind] < 0 {
			surplus = c
		}
	}
	for _, k := range s.recent {
		if n[k] > 0 {
			return k, surplus
		}
	}
	return kind{}, surplus
}

// drop gives cells back.
func (s *spares) drop(which func(*cell) bool) {
	var gone []*cell
	s.mu.Lock()
	s.cells = slices.DeleteFunc(s.cells, func(c *cell) bool {
		if !which(c) {
			return false
		}
		gone = append(gone, c)
		return true
	})
	s.mu.Unlock()
	for _, c := range gone {
		c.release()
	}
}

// dropStale gives back what was made of folders that are others by now.
func (s *spares) dropStale() {
	s.drop(func(c *cell) bool { return !s.b.roots.fresh(c.zygote) })
}

// close gives all spares back. run has ended.
func (s *spares) close() {
	s.mu.Lock()
	cells, volumes := s.cells, s.volumes
	s.cells, s.volumes = nil, nil
	s.mu.Unlock()
	for _, c := range cells {
		c.release()
	}
	for _, v := range volumes {
		v.close()
	}
}
