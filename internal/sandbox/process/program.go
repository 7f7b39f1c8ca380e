//go:build linux && (amd64 || arm64)

package process

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
)

// program is a function's program in its environment; it implements
// environment.Process.
type program struct {
	cell         *cell
	volume       *volume
	id, function string
	pidfd        *os.File // of the function's first process
	list         *list
	netns        *os.File // of an http program
	memory       int64
	strict       bool
	init         bool
	forgotten    bool // guarded by the backend's mu

	mu     sync.Mutex
	ended  bool // the cgroup and the pidfds are or will be given back
	frozen bool
	dead   bool // its first process has ended, and init is not to be frozen
	usage  sandbox.Usage
	sent   int64 // to its network, when it has ended
	// cpuBefore is the processor time that was used before it was a function's.
	cpuBefore time.Duration
	over      bool      // ended because of its /tmp
	clocked   time.Time // when its processor time was asked for
	looked    int64     // what was charged at the last close look
	killer    *time.Timer

	// oomKills is how many processes the kernel had ended for memory at the
	// last close look, oomAt when that changed.
	oomKills int64
	oomAt    time.Time
}

// initPatience is how long init has to tell that the function was killed.
const initPatience = 250 * time.Millisecond

// oomBlame is for how long a process that was ended for memory explains that
// the first process fails.
const oomBlame = 10 * time.Second

func (p *program) Terminate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		pidfdSignal(p.pidfd, unix.SIGTERM)
	}
}

// Kill ends the function's process and lets init tell how it ended: it may have
// been ending by itself already. Init's end ends all others. Should it not come
// to it, it is killed too.
func (p *program) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		pidfdSignal(p.pidfd, unix.SIGKILL)
		if err := p.cell.group.thaw(); err != nil { // or init could not go on
			p.cell.b.log.Warn("an environment could not be thawed to end", "error", err)
		}
		if p.killer == nil {
			p.killer = time.AfterFunc(initPatience, func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				if !p.ended {
					p.cell.kill()
				}
			})
		}
	}
}

func (p *program) Freeze() error { return p.setFrozen(true) }
func (p *program) Thaw() error   { return p.setFrozen(false) }

func (p *program) setFrozen(on bool) error {
	return p.alive(func(g *group) error {
		if p.frozen = on && !p.dead; p.frozen {
			return g.freeze()
		}
		return g.thaw()
	})
}

// SetInit: a program that initialises has the weight of a core, however small
// it is, and no quota.
func (p *program) SetInit(init bool) error {
	memory := p.memory
	if init {
		memory = 0
	}
	return p.alive(func(g *group) error {
		if p.init == init {
			return nil
		}
		p.init = init
		err := g.weigh(memory)
		if p.strict {
			err = errors.Join(err, g.quota(memory))
		}
		return err
	})
}

// scratchUsed is what its /tmp takes on the disk.
func (p *program) scratchUsed() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return 0
	}
	return p.volume.used()
}

// overScratch ends it, because its /tmp is the largest of too many.
func (p *program) overScratch(used, bound int64) {
	p.mu.Lock()
	first := !p.over && !p.ended
	p.over = true
	p.mu.Unlock()
	if first {
		p.cell.b.log.Warn("an environment is ended: all /tmp together take too much disk, and its takes most",
			"environment", p.id, "function", p.function, "mb", used/gust.MB, "bound_mb", bound/gust.MB)
		p.Kill()
	}
}

// alive runs f unless the environment has ended.
func (p *program) alive(f func(*group) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil
	}
	return f(p.cell.group)
}

func (p *program) Usage() sandbox.Usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.look()
	}
	return p.usage
}

// BytesOut looks at nothing but the counter: it is asked after each invocation.
func (p *program) BytesOut() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytesOut()
}

// bytesOut is BytesOut for who holds mu.
func (p *program) bytesOut() int64 {
	if p.ended || p.cell.link == nil {
		return p.sent
	}
	return p.cell.link.BytesOut()
}

// cpuFresh is how old the processor time that Usage tells may be: the kernel
// adds it up over all processors when it is asked.
const cpuFresh = 5 * time.Millisecond

// look brings usage up to date. What is charged is cheap to ask, what of it is
// cache is not, so that is only asked when something has changed.
func (p *program) look() {
	g := p.cell.group
	const step = 128 * gust.KB
	charged, err := g.charged()
	if err == nil && (charged > p.looked+step || charged < p.looked-step) {
		if m, err := g.memory(); err == nil {
			p.looked = charged
			p.usage.Memory = m
			p.usage.PeakMemory = max(p.usage.PeakMemory, m)
		}
		p.countOOM()
	}
	if now := time.Now(); now.Sub(p.clocked) > cpuFresh {
		if t, err := g.cpu(); err == nil {
			p.usage.CPU, p.clocked = t-p.cpuBefore, now
		}
	}
}

// countOOM notes when the kernel has ended processes for memory.
func (p *program) countOOM() {
	n, err := p.cell.group.killed()
	if err != nil {
		p.cell.b.log.Warn("whether an environment was out of memory is not known", "error", err)
	}
	if err == nil && n != p.oomKills {
		p.oomKills, p.oomAt = n, time.Now()
	}
}

// Wait returns when init has ended, and so everything has.
func (p *program) Wait() sandbox.Exit {
	waitEnded(p.pidfd)
	p.mu.Lock()
	p.dead = true
	frozen := p.frozen
	p.mu.Unlock()
	if frozen { // somebody has killed it; init has to tell
		if err := p.Thaw(); err != nil {
			p.cell.b.log.Warn("an environment that was killed while it was frozen could not be thawed", "environment", p.id, "error", err)
		}
	}
	r, _, err := p.cell.control.receive()
	if err == nil {
		err = p.list.err(r)
	}
	waitPidfd(p.cell.pidfd)
	p.mu.Lock()
	defer p.mu.Unlock()
	if t, err := p.cell.group.cpu(); err == nil {
		p.usage.CPU = t - p.cpuBefore
	}
	p.countOOM()
	p.usage.Memory = 0
	p.sent = p.bytesOut()
	p.ended = true
	if p.killer != nil {
		p.killer.Stop()
	}
	status := unix.WaitStatus(r.result)
	switch {
	case errors.Is(err, io.EOF): // init was killed, by the node or the kernel
		status = unix.WaitStatus(unix.SIGKILL)
	case err != nil:
		p.cell.b.log.Error("an environment's init failed", "error", err)
		return sandbox.Exit{Outcome: gust.OutcomeSandbox}
	}
	switch {
	case p.over && status.Signaled():
		return sandbox.Exit{Outcome: gust.OutcomeSandbox, Status: int(unix.SIGKILL)}
	case status != 0 && p.oomKills > 0 && time.Since(p.oomAt) < oomBlame:
		p.usage.PeakMemory = max(p.usage.PeakMemory, p.memory)
		return sandbox.Exit{Outcome: gust.OutcomeMemory, Status: int(unix.SIGKILL)}
	case status.Signaled():
		return sandbox.Exit{Outcome: gust.OutcomeCrash, Status: int(status.Signal())}
	default:
		return sandbox.Exit{Outcome: gust.OutcomeExit, Status: status.ExitStatus()}
	}
}

func (p *program) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.pidfd.Close()
	if p.netns != nil {
		p.netns.Close()
		p.netns = nil
	}
	p.cell.release()
	p.volume.close()
	p.cell.b.forget(p)
}
