package guard

import (
	"cmp"
	"fmt"
	"sync"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
)

// How many management calls one user or role may make: callsAtOnce, and
// callsASecond after that. Each is kept in the audit log, whose size is bounded:
// without this who may hardly anything could fill it until what they had done
// before is gone.
const (
	callsAtOnce  = 200
	callsASecond = 20
	// maxPaced bounds who is kept in mind; those who have rested are forgotten.
	maxPaced = 10_000
)

// pace holds principals to that. Root is held to nothing.
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

// take takes one call of a principal's, or returns a gust.ErrBusy.
func (p *pace) take(who *access.Principal, at time.Time) error {
	if who.Kind == access.KindRoot || who.Kind == access.KindAnonymous {
		return nil
	}
	name := cmp.Or(who.RoleARN, who.ARN) // a role, whatever its sessions are called
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.of[name]
	if a == nil {
		if len(p.of) >= maxPaced {
			for name, a := range p.of {
				if a.now(at) == callsAtOnce {
					delete(p.of, name)
				}
			}
		}
		a = &allowance{callsAtOnce, at}
		p.of[name] = a
	}
	a.left, a.at = a.now(at), at
	if a.left < 1 {
		return fmt.Errorf("%w: %s makes more than %d management calls a second; Rate exceeded", gust.ErrBusy, name, callsASecond)
	}
	a.left--
	return nil
}
