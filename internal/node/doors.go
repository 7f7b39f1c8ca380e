package node

import (
	"net"
	"sync"
)

// A door's connections are bounded, or clients that only keep connections open
// would use up the descriptors that environments, logs and the store need.
// Shares of the descriptors that a process may have: what is left is theirs.
const (
	usersShare  = 2 // a half
	apisShare   = 8 // an eighth
	insideShare = 8 // an eighth, within environments
)

// door is a listener that has at most cap(places) connections open at once. Who
// comes when it is full waits in the kernel's backlog.
type door struct {
	*net.TCPListener
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newDoor(ln net.Listener, places int) net.Listener {
	tcp, ok := ln.(*net.TCPListener)
	if !ok || places <= 0 {
		return ln
	}
	return &door{TCPListener: tcp, places: make(chan struct{}, places), closed: make(chan struct{})}
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
	door *door
	once sync.Once
}

func (g *guest) Close() error {
	err := g.TCPConn.Close()
	g.once.Do(func() { <-g.door.places })
	return err
}
