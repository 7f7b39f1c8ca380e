//go:build linux && (amd64 || arm64)

package process

import (
	"sync"
	"time"
)

// roots are the folders that environments have for a root, each with the zygote
// that forks them. One is made at its first use. It is replaced when it has
// died, or when its folder is another one by now, and it is ended when nobody
// has asked for it for long.
type roots struct {
	b       *Backend
	mu      sync.Mutex
	current map[string]*zygote // by folder
	retired map[*zygote]bool   // replaced or ended; their cells still need their folders
}

// rootIdle is how long a root that no cell has may go without being asked for.
// One costs a process of a few kilobytes and keeps the folder's files on the
// disk should they be removed.
const rootIdle = 10 * time.Minute

func newRoots(b *Backend) *roots {
	return &roots{b: b, current: map[string]*zygote{}, retired: map[*zygote]bool{}}
}

// acquire returns the zygote of a folder, which is kept until release.
func (r *roots) acquire(path string) (*zygote, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	z := r.current[path]
	if z != nil && z.dead() {
		r.b.log.Warn("the process that forks environments has ended and is started anew", "root", path)
		r.retire(z)
		z = nil
	} else if z != nil && z.stale() {
		r.retire(z)
		z = nil
	}
	if z == nil {
		var err error
		if z, err = startZygote(r.b.keeper, r.b.image, path); err != nil {
			return nil, err
		}
		r.current[path] = z
	}
	z.users++
	z.used = time.Now()
	return z, nil
}

// release takes acquire back.
func (r *roots) release(z *zygote) {
	r.mu.Lock()
	defer r.mu.Unlock()
	z.users--
	if z.users == 0 && r.retired[z] {
		delete(r.retired, z)
		z.close()
	}
}

// retire ends z: nothing is forked of it any more, and what was lives on. The
// caller holds mu.
func (r *roots) retire(z *zygote) {
	delete(r.current, z.path)
	if z.users == 0 {
		z.close()
		return
	}
	z.end()
	r.retired[z] = true
}

// fresh reports whether what was forked of z is what would be forked now.
func (r *roots) fresh(z *zygote) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.retired[z] && !z.stale()
}

// tidy ends what is of no use any more.
func (r *roots) tidy(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, z := range r.current {
		if z.stale() || z.users == 0 && now.Sub(z.used) >= rootIdle {
			r.retire(z)
		}
	}
}

// close ends all. No cell is left.
func (r *roots) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, z := range r.current {
		r.retire(z)
	}
}
