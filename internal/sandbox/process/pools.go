//go:build linux && (amd64 || arm64)

package process

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
)

// pools are the interpreters that wait. Like spares they are booted one at a
// time, and only while nobody starts an environment; how many of which kind is
// for sizing to decide.
type pools struct {
	b    *Backend
	wake chan struct{} // there may be something to do

	mu   sync.Mutex
	size sizing
	wait []*booted // the longest waiting first
}

func newPools(b *Backend, memory int64) *pools {
	return &pools{b: b, wake: make(chan struct{}, 1), size: sizing{memory: memory, kinds: map[bootKind]*demand{}}}
}

// Prepare announces which environments will be asked for: of each Spec what it
// has before it is known for which function (Root, Boot, BootEnv, Ephemeral, and
// whether it has a network). It takes the place of what was announced before.
func (b *Backend) Prepare(specs []sandbox.Spec) {
	var kinds []bootKind
	for _, spec := range specs {
		if spec.Root == "" || b.Permits(spec.Network) != nil {
			continue // its start tells
		}
		b.spares.foresee(kindOf(spec))
		if k, ok := bootKindOf(spec); ok {
			kinds = append(kinds, k)
		}
	}
	b.pools.mu.Lock()
	b.pools.size.tell(kinds)
	b.pools.mu.Unlock()
	b.pools.nudge()
}

// Pools lists what waits, and what did lately.
func (b *Backend) Pools() []Pool {
	p := b.pools
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []Pool
	for k, d := range p.size.kinds {
		pool := Pool{Root: gust.Digest(filepath.Base(k.root)).Short(), Boots: d.boots, Failures: d.failures}
		argv := words(k.argv)
		for i, word := range argv {
			if strings.HasPrefix(word, "/") {
				argv[i] = filepath.Base(word)
			}
		}
		pool.Interpreter = strings.Join(argv, " ")
		for _, w := range p.wait {
			if w.kind == k {
				pool.Waiting++
				pool.Memory += w.memory
			}
		}
		all = append(all, pool)
	}
	return all
}

func (p *pools) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// take gives one that waits to the caller alone; nil if there is none.
func (p *pools) take(k bootKind) *booted {
	p.mu.Lock()
	defer p.mu.Unlock()
	var got *booted
	p.wait = slices.DeleteFunc(p.wait, func(w *booted) bool {
		if got != nil || w.kind != k {
			return false
		}
		if w.dead() {
			p.b.wg.Go(w.close)
			return true
		}
		got = w
		return true
	})
	p.size.ask(k, got != nil, time.Now())
	return got
}

// lookEvery is how often what waits is looked at though nothing happens.
const lookEvery = 10 * time.Second

// run boots and ends what sizing decides until the backend is closed.
func (p *pools) run() {
	if p.size.memory <= 0 {
		return
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for p.b.ctx.Err() == nil {
		if p.step() {
			continue
		}
		select {
		case <-p.wake:
		case <-look.C:
		case <-p.b.ctx.Done():
		}
	}
}

// step does one thing, if there is one to do.
func (p *pools) step() bool {
	if !p.b.spares.idle() {
		return false
	}
	p.mu.Lock()
	have := map[bootKind]int{}
	var gone []*booted
	p.wait = slices.DeleteFunc(p.wait, func(w *booted) bool {
		if w.dead() {
			gone = append(gone, w)
			return true
		}
		have[w.kind]++
		return false
	})
	boot, end := p.size.next(have, time.Now())
	if i := slices.IndexFunc(p.wait, func(w *booted) bool { return w.kind == end }); i >= 0 {
		gone = append(gone, p.wait[i])
		p.wait = slices.Delete(p.wait, i, i+1)
	}
	p.mu.Unlock()
	for _, w := range gone {
		w.close()
	}
	if boot == (bootKind{}) {
		return len(gone) > 0
	}
	begin := time.Now()
	w, err := p.b.boot(p.b.ctx, boot)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		if first := p.size.fail(boot, time.Now()); first && p.b.ctx.Err() == nil {
			p.b.log.Warn("an interpreter does not boot ahead, and is tried again ever more seldom; functions start it themselves",
				"interpreter", strings.Join(words(boot.argv), " "), "root", boot.root, "error", err)
		}
		return true
	}
	p.size.booted(boot, time.Since(begin), w.memory)
	p.wait = append(p.wait, w)
	return true
}

// close ends all that wait. run has ended.
func (p *pools) close() {
	p.mu.Lock()
	wait := p.wait
	p.wait = nil
	p.mu.Unlock()
	for _, w := range wait {
		w.close()
	}
}
