//go:build linux && (amd64 || arm64)

package process

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/sandbox/environment"
	"github.com/gust-dev/gust/internal/sandbox/network"
)

// Where the Runtime API and the node's API listen, in each environment's own
// network namespace, and where its token is: in /dev, which this package makes,
// and not in the root, which may have been made by an older release.
const (
	runtimeAddress = "127.0.0.1:9001"
	apiAddress     = "127.0.0.1:9002"
	tokenFolder    = "/dev/gust"
	tokenFile      = tokenFolder + "/token"
)

// cell is an environment without a function yet: its namespaces, what is the
// same for all that is mounted in it, its cgroup, its ids and its listener.
// Nothing of any function has been in it, so it can be made ahead.
type cell struct {
	b         *Backend
	kind      kind
	pid       int
	pidfd     *os.File // of init; non-blocking
	control   *control
	group     *group
	memory    int64 // its limits so far
	processes int
	uid       int               // of init; the function's is the next
	listener  net.Listener      // of the Runtime API
	api       net.Listener      // of the node's API
	token     [sha256.Size]byte // of what is in tokenFile
	link      *network.Link     // nil without a network
	zygote    *zygote           // whose root and /dev it has
}

// newCell makes one, with limits that the function probably has.
func (b *Backend) newCell(k kind, memory int64, processes int) (_ *cell, err error) {
	z, err := b.roots.acquire(k.root)
	if err != nil {
		return nil, err
	}
	c := &cell{b: b, kind: k, zygote: z}
	defer func() {
		if err != nil {
			c.release()
		}
	}()
	if c.uid, err = b.uids.take(); err != nil {
		return nil, err
	}
	if c.group, err = b.cgroups.newGroup(b.cellName()); err != nil {
		return nil, err
	}
	if err = c.limit(memory, processes); err != nil {
		return nil, err
	}
	ctl, peer, err := newControl()
	if err != nil {
		return nil, err
	}
	c.control = ctl
	pid, forked, err := z.fork(peer)
	unix.Close(peer)
	if err != nil {
		return nil, err
	}
	c.pid = pid
	if c.pidfd, err = openPidfd(pid); err != nil {
		return nil, err
	}
	if err := c.group.join(pid); err != nil {
		return nil, err
	}
	ctl.deadline(time.Now().Add(stepTimeout))
	if _, _, err := ctl.answer(forked); err != nil {
		return nil, err
	}
	attached := make(chan error, 1)
	go func() { attached <- c.attach() }() // beside what init does
	token := environment.NewToken()
	c.token = sha256.Sum256(token)
	l := b.cellList(c.uid, token)
	if err = ctl.send(l); err == nil {
		if c.listener, err = ctl.listener(l); err == nil {
			c.api, err = ctl.listener(l)
		}
	}
	if aerr := <-attached; err == nil {
		err = aerr
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// listener takes a listener that comes as an answer to l.
func (c *control) listener(l *list) (net.Listener, error) {
	_, fd, err := c.answer(l)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "listener")
	defer f.Close()
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("take the environment's listener: %w", err)
	}
	return ln, nil
}

// attach gives the cell its network, if its kind has one.
func (c *cell) attach() error {
	if !c.kind.network {
		return nil
	}
	ns, err := openNetns(c.pid)
	if err != nil {
		return err
	}
	defer ns.Close()
	c.link, err = c.b.net.Attach(int(ns.Fd()))
	return err
}

// allow opens what the function may reach, before any of it runs.
func (c *cell) allow(n gust.Network) error {
	if c.link == nil {
		return nil
	}
	return c.link.Allow(n)
}

// bind makes the cell the environment of one function and starts its program.
// output is the write end of its output. When it fails, the cell is of no use
// any more, but has to be released.
func (c *cell) bind(spec sandbox.Spec, v *volume, output int) (*program, error) {
	if err := c.limit(spec.Memory, spec.Processes); err != nil {
		return nil, err
	}
	if err := v.own(c.uid + 1); err != nil {
		return nil, fmt.Errorf("give /tmp to the function: %w", err)
	}
	m, err := openMounts(spec, v.mount)
	if err != nil {
		return nil, err
	}
	defer m.close()
	rules, err := c.b.lock.ruleset(c.zygote.root, c.zygote.dev, v.root)
	if err != nil {
		return nil, err
	}
	if rules >= 0 {
		defer unix.Close(rules)
	}
	if err := c.allow(spec.Network); err != nil {
		return nil, err
	}
	var netns *os.File
	if spec.Runtime == gust.RuntimeHTTP { // before the program, which may end at once
		if netns, err = openNetns(c.pid); err != nil {
			return nil, err
		}
	}
	c.control.deadline(time.Now().Add(stepTimeout))
	l := c.b.runList(spec, m, output, rules)
	_, fd, err := c.control.do(l)
	if err != nil {
		if netns != nil {
			netns.Close()
		}
		var op *OpError
		if errors.As(err, &op) && op.What == execWhat {
			return nil, invalidEntrypoint(program0(spec), op.Errno)
		}
		return nil, err
	}
	c.control.deadline(time.Time{})
	p := &program{
		id: spec.ID, function: spec.Function, cell: c, volume: v, list: l, netns: netns,
		memory: spec.Memory, strict: spec.CPU == gust.CPUStrict, init: true,
	}
	if p.pidfd, err = newPidfd(fd); err != nil {
		if netns != nil {
			netns.Close()
		}
		return nil, err
	}
	return p, nil
}

// limit sets the cgroup's limits, if they are not those already.
func (c *cell) limit(memory int64, processes int) error {
	if memory == c.memory && processes == c.processes {
		return nil
	}
	if err := c.group.limit(memory, processes); err != nil {
		return fmt.Errorf("limit the environment: %w", err)
	}
	c.memory, c.processes = memory, processes
	return nil
}

const execWhat = "execute the program"

// program0 is what is executed: a relative first word is looked up in the code
// folder.
func program0(spec sandbox.Spec) string {
	if word := spec.Command[0]; !strings.HasPrefix(word, "/") {
		return "/var/task/" + strings.TrimPrefix(word, "./")
	}
	return spec.Command[0]
}

// invalidEntrypoint is Lambda's error for a program that cannot be executed.
func invalidEntrypoint(path string, errno syscall.Errno) error {
	return &gust.FunctionError{
		Outcome: gust.OutcomeInit,
		Type:    "Runtime.InvalidEntrypoint",
		Message: fmt.Sprintf("Error: fork/exec %s: %s", path, errno),
	}
}

// release ends what there is of the cell and gives everything back.
func (c *cell) release() {
	if c.pidfd != nil {
		c.kill()
		waitPidfd(c.pidfd)
		c.pidfd.Close()
	} else if c.pid > 0 {
		unix.Kill(c.pid, unix.SIGKILL)
		wait4(c.pid)
	}
	if c.control != nil {
		c.control.close()
	}
	for _, ln := range []net.Listener{c.listener, c.api} {
		if ln != nil {
			ln.Close()
		}
	}
	if c.link != nil {
		c.link.Close()
	}
	if c.group != nil {
		if err := c.group.remove(); err != nil {
			c.b.log.Warn("a cgroup is left", "error", err)
		}
	}
	if c.uid != 0 {
		c.b.uids.give(c.uid)
	}
	if c.zygote != nil {
		c.b.roots.release(c.zygote)
	}
	*c = cell{b: c.b}
}

// kill ends init, and the kernel everything else in the environment with it.
func (c *cell) kill() {
	pidfdSignal(c.pidfd, unix.SIGKILL)
	if c.group != nil && c.group.c.unified == "" {
		c.group.thaw() // a version 1 freezer holds even SIGKILL
	}
}

// dead reports whether init has ended.
func (c *cell) dead() bool {
	dead := true
	if raw, err := c.pidfd.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { dead = hasEnded(fd) })
	}
	return dead
}
