//go:build linux && (amd64 || arm64)

package process

import (
	"sync"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
)

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
	cells    []*cell
	volumes  []*volume
}

// newSpares takes over a first volume.
func newSpares(b *Backend, want int, v *volume) *spares {
	return &spares{b: b, want: want, wake: make(chan struct{}, 1), volumes: []*volume{v},
		last: sandbox.Spec{Memory: gust.DefaultMemory, Ephemeral: v.size, Processes: gust.MaxProcesses}}
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
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// take gives what there is, nil for what there is not.
func (s *spares) take(spec sandbox.Spec) (c *cell, v *volume) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = sandbox.Spec{Memory: spec.Memory, Ephemeral: spec.Ephemeral, Processes: spec.Processes}
	for len(s.cells) > 0 && c == nil {
		c = s.cells[0]
		s.cells = s.cells[1:]
		if c.dead() {
			go c.release()
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

// run makes spares until the backend is closed.
func (s *spares) run() {
	if s.want <= 0 {
		return
	}
	select {
	case <-s.b.root.ready:
	case <-s.b.ctx.Done():
		return
	}
	if s.b.root.err != nil {
		return
	}
	for {
		made, err := s.makeOne()
		switch {
		case err != nil:
			s.b.log.Warn("no environment could be prepared ahead", "error", err)
			select {
			case <-time.After(time.Second):
			case <-s.b.ctx.Done():
				return
			}
		case !made:
			select {
			case <-s.wake:
			case <-s.b.ctx.Done():
				return
			}
		case s.b.ctx.Err() != nil:
			return
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
	case cells < s.want:
		c, err := s.b.newCell(last.Memory, last.Processes)
		if err != nil {
			return false, err
		}
		s.mu.Lock()
		s.cells = append(s.cells, c)
		s.mu.Unlock()
	default:
		return false, nil
	}
	return true, nil
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
