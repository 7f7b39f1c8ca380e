// Package output reads what a program writes: one pipe that is its standard
// output and its standard error, split into lines.
//
// No line is lost, none waits for a reader that is scheduled late (Drain reads
// in the caller's goroutine), and neither a flood nor an endless line makes
// memory grow: while nothing is pending an idle pipe holds no buffer at all.
//
// It needs Unix's non-blocking pipes and FIONREAD. On Windows, which has none of
// both for the pipes that programs can have, it looks again and again.
package output

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	gust "github.com/gust-dev/gust"
)

const (
	// tailSize is how much Tail keeps.
	tailSize = 4 * gust.KB
	// readSize is the buffer of a pipe whose lines are ordinary; it doubles
	// up to gust.MaxLogLine while an unfinished line needs it.
	readSize = 16 * gust.KB
)

// buffers are shared by all pipes: a pipe has one only while it is being read
// or holds an unfinished line.
var buffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// Pipe delivers lines to one function, serially.
type Pipe struct {
	file *os.File
	raw  syscall.RawConn
	emit func(line []byte)
	done chan struct{} // the reading goroutine has ended
	sift func(fd uintptr)

	// mu is held while bytes are read and delivered, so whoever gets it knows
	// that all that was read before has been delivered.
	mu     sync.Mutex
	buf    []byte // nil while nothing is pending
	n      int    // bytes of the unfinished line, at the start of buf
	cut    bool   // the unfinished line began in a piece already delivered
	eof    bool
	closed bool
	err    error
	tail   tail
}

// New starts reading r, the read end of an os.Pipe, and takes it over. emit
// gets each line without its newline, in order, from one goroutine at a time;
// a line longer than gust.MaxLogLine comes in pieces; the slice is only valid
// during the call. emit must not call the pipe.
func New(r *os.File, emit func(line []byte)) (*Pipe, error) {
	raw, err := r.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("reading the program's output: %w", err)
	}
	p := &Pipe{file: r, raw: raw, emit: emit, done: make(chan struct{})}
	p.sift = p.drain
	if err := suits(raw); err != nil {
		return nil, fmt.Errorf("reading the program's output: %w", err)
	}
	go p.run()
	return p, nil
}

// run reads whenever there is something, until the last writer is gone or the
// pipe is closed.
func (p *Pipe) run() {
	defer close(p.done)
	err := p.await(func(fd uintptr) bool {
		for {
			// Between two reads the lock is free, so that a flood cannot
			// keep Drain and Tail out.
			p.mu.Lock()
			n := p.step(fd, readSize)
			p.mu.Unlock()
			switch {
			case n == 0:
				return true
			case n < 0:
				return false // wait for more
			}
		}
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && !p.closed {
		p.err = fmt.Errorf("reading the program's output: %w", err)
	}
}

// Drain returns when all that was in the pipe at the call has been delivered.
// What is written meanwhile may be delivered too, but is not waited for, so a
// program that never stops writing cannot hold it.
func (p *Pipe) Drain() {
	p.mu.Lock()
	if !p.eof && !p.closed {
		p.raw.Control(p.sift) // fails only when closed: then nothing is left
	}
	p.mu.Unlock()
}

func (p *Pipe) drain(fd uintptr) {
	// Bounded by what there is now, or a flood would keep the caller.
	left, err := available(fd)
	if err != nil {
		p.err = err
		return
	}
	for left > 0 {
		n := p.step(fd, left)
		if n <= 0 {
			return
		}
		left -= n
	}
}

// Tail returns a copy of the last 4 KB that were read.
func (p *Pipe) Tail() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tail.bytes()
}

// Close delivers what is in the pipe, and the last line even if it has no
// newline, closes the pipe and waits for its goroutine. Nothing is delivered
// after it. The error is what broke reading, if anything did.
func (p *Pipe) Close() error {
	p.Drain()
	p.mu.Lock()
	p.closed = true
	p.flush()
	p.mu.Unlock()
	p.file.Close() // unblocks run
	<-p.done
	return p.err
}

// errNothing: there is nothing in the pipe now.
var errNothing = errors.New("nothing to read")

// step reads up to max bytes once and delivers the lines that are complete. It
// returns how many bytes it got, 0 at the end of the pipe (the last line has
// been delivered), -1 if there is nothing now. The caller holds mu.
func (p *Pipe) step(fd uintptr, max int) int {
	if p.eof || p.closed {
		return 0
	}
	p.room()
	space := p.buf[p.n:]
	if len(space) > max {
		space = space[:max]
	}
	n, err := read(fd, space)
	if err == errNothing {
		p.tidy()
		return -1
	}
	if err != nil {
		p.err, n = err, 0
	}
	if n <= 0 {
		p.eof = true
		p.flush()
		return 0
	}
	p.tail.add(space[:n])
	p.lines(n)
	p.tidy()
	return n
}

// room makes sure that something can be read.
func (p *Pipe) room() {
	switch {
	case p.buf == nil:
		p.buf = buffers.Get().(*[readSize]byte)[:]
	case p.n < len(p.buf):
	case len(p.buf) < gust.MaxLogLine:
		grown := make([]byte, min(2*len(p.buf), gust.MaxLogLine))
		copy(grown, p.buf)
		p.recycle()
		p.buf = grown
	default:
		p.emit(p.buf)
		p.n, p.cut = 0, true
	}
}

// lines delivers the lines that n more bytes have completed.
func (p *Pipe) lines(n int) {
	data, from := p.buf[:p.n+n], p.n
	for {
		i := bytes.IndexByte(data[from:], '\n')
		if i < 0 {
			break
		}
		// The newline that ends a line cut at exactly the limit ends no
		// line of its own.
		if line := data[:from+i]; len(line) > 0 || !p.cut {
			p.emit(line)
		}
		p.cut = false
		data, from = data[from+i+1:], 0
	}
	p.n = copy(p.buf, data)
}

// flush delivers an unfinished line.
func (p *Pipe) flush() {
	if p.n > 0 {
		p.emit(p.buf[:p.n])
	}
	p.n, p.cut = 0, false
	p.recycle()
}

// tidy gives memory back: all of it when nothing is pending, and what a long
// line needed once it is over.
func (p *Pipe) tidy() {
	switch {
	case p.n == 0:
		p.recycle()
	case len(p.buf) > readSize && p.n <= readSize/2:
		small := buffers.Get().(*[readSize]byte)[:]
		copy(small, p.buf[:p.n])
		p.buf = small
	}
}

func (p *Pipe) recycle() {
	if len(p.buf) == readSize {
		buffers.Put((*[readSize]byte)(p.buf))
	}
	p.buf = nil
}

// tail is a ring of the last bytes.
type tail struct {
	ring []byte // tailSize once there was any output
	at   int    // where the next byte goes
	full bool
}

func (t *tail) add(b []byte) {
	if t.ring == nil {
		t.ring = make([]byte, tailSize)
	}
	if len(b) >= tailSize {
		copy(t.ring, b[len(b)-tailSize:])
		t.at, t.full = 0, true
		return
	}
	n := copy(t.ring[t.at:], b)
	if n < len(b) {
		copy(t.ring, b[n:])
	}
	t.full = t.full || t.at+len(b) >= tailSize
	t.at = (t.at + len(b)) % tailSize
}

func (t *tail) bytes() []byte {
	if !t.full {
		return bytes.Clone(t.ring[:t.at])
	}
	return append(bytes.Clone(t.ring[t.at:]), t.ring[:t.at]...)
}
