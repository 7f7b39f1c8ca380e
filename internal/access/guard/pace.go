package guard

import (
	"cmp"
	"fmt"
	"sync"
	"time"

	gust "github.com/gust-dev/gust"
)

// How many management calls one user, role or web identity may make: callsAtOnce,
// and callsASecond after that. Each is kept in the audit log, whose size is bounded:
// without this who may hardly anything could fill it until what they had done
// before is gone.
const (
	callsAtOnce  = 200
	callsASecond = 20
	// maxPaced bounds who is kept in mind; those who have rested are forgotten.
	maxPaced = 10_000
)

// pace holds them to that.
type pace struct {
	mu sync.Mutex
	of map[string]*allowance
}

// allowance is how many calls somebody had left at a time.
type allowance struct {
	left float64
	at   time.Time
}

func (a *allowance) now(t time.Time) float64 {
	return min(callsAtOnce, a.left+max(0, t.Sub(a.at).Seconds())*callsASecond)
}

// take takes one call of somebody's, or returns a gust.ErrBusy. When there are too
// many to keep in mind, those who are new share what one has.
func (p *pace) take(name string, at time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of[name] == nil && len(p.of) >= maxPaced {
		for name, a := range p.of {
			if a.now(at) == callsAtOnce {
				delete(p.of, name)
			}
		}
		if len(p.of) >= maxPaced {
			name = ""
		}
	}
	a := p.of[name]
	if a == nil {
		a = &allowance{callsAtOnce, at}
		p.of[name] = a
	}
	if at.After(a.at) { // requests do not come here in the order in which they arrived
		a.left, a.at = a.now(at), at
	}
	if a.left < 1 {
		return fmt.Errorf("%w: %s makes more than %d management calls a second; Rate exceeded", gust.ErrBusy, cmp.Or(name, "who is new among too many"), callsASecond)
	}
	a.left--
	return nil
}
