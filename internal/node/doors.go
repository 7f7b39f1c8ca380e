package node

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	gust "github.com/gust-dev/gust"
)

// A door's connections are bounded, or clients that only keep connections open
// would use up the descriptors that environments, logs and the store need.
// Shares of the descriptors that a process may have: what is left is theirs.
const (
	usersShare  = 2 // a half
	apisShare   = 8 // an eighth
	insideShare = 8 // an eighth, within environments
)

// stalled is how long a client of the API may take nothing of an answer, where
// what answers sets no limit of its own. The users' port has the gateway's.
const stalled = time.Minute

// door is a listener that has at most cap(places) connections open at once. Who
// comes when it is full waits in the kernel's backlog. It is not the
// LimitListener of x/net/netutil, because of whose connections nothing is left
// but a net.Conn: net/http could not close one side of them after an error.
type door struct {
	*net.TCPListener
	stalled time.Duration // how long a write may wait; 0: for ever
	places  chan struct{}
	closed  chan struct{}
	once    sync.Once
}

func newDoor(ln net.Listener, places int, stalled time.Duration) net.Listener {
	tcp, ok := ln.(*net.TCPListener)
	if !ok || places <= 0 {
		return ln
	}
	return &door{TCPListener: tcp, stalled: stalled, places: make(chan struct{}, places), closed: make(chan struct{})}
}

// Accept waits for a place, and then for a connection.
func (d *door) Accept() (net.Conn, error) {
	select {
	case d.places <- struct{}{}:
	case <-d.closed:
		return nil, net.ErrClosed
	}
	tcp, err := d.AcceptTCP()
	if err != nil {
		<-d.places
		return nil, err
	}
	return &guest{TCPConn: tcp, door: d}, nil
}

func (d *door) Close() error {
	d.once.Do(func() { close(d.closed) })
	return d.TCPListener.Close()
}

// guest is a connection that gives its place back when it is closed. It is a
// *net.TCPConn in everything else: net/http asks for CloseWrite.
type guest struct {
	*net.TCPConn
	door    *door
	once    sync.Once
	limited atomic.Bool // what answers has set a limit of its own
}

// Write fails when the client takes no piece within the door's limit.
func (g *guest) Write(p []byte) (n int, err error) {
	if g.door.stalled == 0 {
		return g.TCPConn.Write(p)
	}
	for more := true; more && err == nil; more = n < len(p) {
		if !g.limited.Load() {
			if err := g.TCPConn.SetWriteDeadline(time.Now().Add(g.door.stalled)); err != nil {
				return n, err
			}
		}
		var piece int
		piece, err = g.TCPConn.Write(p[n:min(n+64*gust.KB, len(p))])
		n += piece
	}
	return n, err
}

// ReadFrom has what the system would send by itself go through Write, where that
// has a limit.
func (g *guest) ReadFrom(r io.Reader) (int64, error) {
	if g.door.stalled == 0 {
		return g.TCPConn.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{g}, r)
}

func (g *guest) SetWriteDeadline(t time.Time) error {
	g.limited.Store(!t.IsZero())
	return g.TCPConn.SetWriteDeadline(t)
}

func (g *guest) SetDeadline(t time.Time) error {
	g.limited.Store(!t.IsZero())
	return g.TCPConn.SetDeadline(t)
}

func (g *guest) Close() error {
	err := g.TCPConn.Close()
	g.once.Do(func() { <-g.door.places })
	return err
}
