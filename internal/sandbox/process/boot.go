//go:build linux && (amd64 || arm64)

package process

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
)

// bootKind is what environments with an interpreter that waits differ in. Any
// function of the kind can have one.
type bootKind struct {
	kind
	ephemeral int64  // bytes of /tmp: Landlock has to know the volume before exec
	argv, env string // with a zero byte behind each word
}

func (k bootKind) compare(o bootKind) int {
	return cmp.Or(strings.Compare(k.root, o.root), strings.Compare(fmt.Sprint(k.network), fmt.Sprint(o.network)), cmp.Compare(k.ephemeral, o.ephemeral),
		strings.Compare(k.argv, o.argv), strings.Compare(k.env, o.env))
}

// bootKindOf tells of which kind the one is that spec may have, if it may have
// any.
func bootKindOf(spec sandbox.Spec) (k bootKind, ok bool) {
	if len(spec.Boot) == 0 || spec.Runtime == gust.RuntimeHTTP {
		return bootKind{}, false
	}
	return bootKind{kindOf(spec), spec.Ephemeral, zeroes(spec.Boot), zeroes(spec.BootEnv)}, true
}

func zeroes(words []string) string {
	var b strings.Builder
	for _, w := range words {
		b.WriteString(w)
		b.WriteByte(0)
	}
	return b.String()
}

// words undoes zeroes.
func words(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\x00"), "\x00")
}

// message is what an interpreter is told when it is bound; nil for an
// environment that JSON cannot carry.
func message(env []string) []byte {
	m := make(map[string]string, len(env))
	for _, e := range env {
		name, value, ok := strings.Cut(e, "=")
		if _, twice := m[name]; !ok || twice || name == "" || !utf8.ValidString(e) {
			return nil
		}
		m[name] = value
	}
	doc, err := json.Marshal(map[string]any{"env": m})
	if err != nil {
		return nil // strings always marshal
	}
	return doc
}

// booted is a cell in which an interpreter waits, booted, to be told for which
// function. No function's code has been in it, and it is bound once.
type booted struct {
	kind   bootKind
	cell   *cell
	volume *volume
	pidfd  *os.File // the interpreter's
	child  int      // its number in the environment
	socket *os.File // the node's end of its descriptor 3
	output *os.File // the read end of its output
	memory int64    // bytes that it used when it was booted
}

const (
	// bootTimeout bounds how long an interpreter boots.
	bootTimeout = 10 * time.Second
	// bootMemory bounds what it uses until it is bound: what every function has
	// at least.
	bootMemory = gust.MinMemory
	// bootWeight is the memory by which it shares the processors until then:
	// those that are waited for come first.
	bootWeight = gust.MinMemory
)

// boot boots an interpreter in a new cell and waits until it is.
func (b *Backend) boot(ctx context.Context, k bootKind) (_ *booted, err error) {
	w := &booted{kind: k}
	defer func() {
		if err != nil {
			if said := w.said(); len(said) > 0 {
				err = fmt.Errorf("%w; it printed %.500q", err, said)
			}
			w.close()
		}
	}()
	if w.cell, err = b.newCell(k.kind, bootMemory, gust.MaxProcesses); err != nil {
		return nil, err
	}
	if err := w.cell.group.weigh(bootWeight); err != nil {
		return nil, err
	}
	if w.volume, err = b.scratch.newVolume(ctx, k.ephemeral); err != nil {
		return nil, err
	}
	if err := w.volume.own(w.cell.uid + 1); err != nil {
		return nil, err
	}
	if err := w.start(); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { w.socket.SetReadDeadline(time.Unix(1, 0)) })()
	var one [1]byte
	switch _, err := io.ReadFull(w.socket, one[:]); {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("it was not booted within %v", bootTimeout)
	case err != nil:
		return nil, errors.New("it ended before it was booted")
	case one[0] != '1':
		return nil, fmt.Errorf("it said %q, want \"1\": GUST_BOOT is not heeded", one[:])
	}
	if w.memory, err = w.cell.group.memory(); err != nil {
		return nil, err
	}
	return w, nil
}

// start starts the interpreter.
func (w *booted) start() error {
	c := w.cell
	rules, err := c.b.lock.ruleset(c.zygote.root, c.zygote.dev, w.volume.root)
	if err != nil {
		return err
	}
	if rules >= 0 {
		defer unix.Close(rules)
	}
	r, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	w.output = r
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make a socket pair: %w", err)
	}
	defer unix.Close(pair[1])
	if err := unix.SetNonblock(pair[0], true); err != nil {
		unix.Close(pair[0])
		return err
	}
	w.socket = os.NewFile(uintptr(pair[0]), "interpreter")
	w.socket.SetReadDeadline(time.Now().Add(bootTimeout))
	env := append(words(w.kind.env), runtimeVariable, fmt.Sprintf("GUST_BOOT=%d", bootFD))
	c.control.deadline(time.Now().Add(stepTimeout))
	l := c.b.bootList(words(w.kind.argv), env, pair[1], int(out.Fd()), rules)
	_, fd, err := c.control.do(l)
	if err != nil {
		return err
	}
	if w.pidfd, err = newPidfd(fd); err != nil {
		return err
	}
	child, _, err := c.control.answer(l)
	w.child = int(child)
	return err
}

// said takes what the interpreter has printed: nothing, if all is well.
func (w *booted) said() []byte {
	if w.output == nil {
		return nil
	}
	raw, err := w.output.SyscallConn()
	if err != nil {
		return nil
	}
	var all []byte
	raw.Control(func(fd uintptr) {
		var b [4096]byte
		for n, err := unix.Read(int(fd), b[:]); n > 0 || err == unix.EINTR; n, err = unix.Read(int(fd), b[:]) {
			all = append(all, b[:max(n, 0)]...)
		}
	})
	return all
}

// bind makes it the environment of one function. When it fails it is of no use
// any more, but has to be closed; else all of it is the program's.
func (w *booted) bind(spec sandbox.Spec, doc []byte, m mounts) (_ *program, err error) {
	c := w.cell
	if err := errors.Join(c.limit(spec.Memory, spec.Processes), c.group.weigh(0)); err != nil {
		return nil, err
	}
	p := &program{
		id: spec.ID, function: spec.Function, cell: c, volume: w.volume, pidfd: w.pidfd,
		memory: spec.Memory, strict: spec.CPU == gust.CPUStrict, init: true,
	}
	if err := c.allow(spec.Network); err != nil { // by which nothing could be reached until now
		return nil, err
	}
	// What it used until now is nobody's.
	if p.cpuBefore, err = c.group.cpu(); err != nil {
		return nil, err
	}
	if p.oomKills, err = c.group.killed(); err != nil {
		return nil, err
	}
	if said := w.said(); len(said) > 0 {
		c.b.log.Warn("an interpreter printed before it was a function's", "interpreter", words(w.kind.argv)[0], "output", string(said))
	}
	c.control.deadline(time.Now().Add(stepTimeout))
	p.list = c.b.bindList(m, w.child)
	if _, _, err := c.control.do(p.list); err != nil {
		return nil, err
	}
	c.control.deadline(time.Time{})
	w.socket.SetWriteDeadline(time.Now().Add(stepTimeout))
	if _, err := w.socket.Write(doc); err != nil {
		return nil, fmt.Errorf("tell the interpreter its environment: %w", err)
	}
	if err := w.socket.Close(); err != nil {
		return nil, err
	}
	return p, nil
}

// dead reports whether it is of no use any more.
func (w *booted) dead() bool {
	ended := true
	if raw, err := w.pidfd.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { ended = hasEnded(fd) })
	}
	return ended || !w.cell.b.roots.fresh(w.cell.zygote)
}

// close ends it and gives everything back.
func (w *booted) close() {
	for _, f := range []*os.File{w.socket, w.output, w.pidfd} {
		if f != nil {
			f.Close()
		}
	}
	if w.cell != nil {
		w.cell.release()
	}
	if w.volume != nil {
		w.volume.close()
	}
}
