package node

import (
	"io"
	"net"
	"testing"
)

// TestDoorIsBounded: no more connections are taken than there are places, and a
// closed one makes room.
func TestDoorIsBounded(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := newDoor(ln, 2)
	accepted := make(chan net.Conn)
	refused := make(chan error, 1)
	go func() {
		for {
			conn, err := d.Accept()
			if err != nil {
				refused <- err
				return
			}
			accepted <- conn
		}
	}()
	var clients, guests []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
	}
	for range 2 {
		guests = append(guests, <-accepted)
	}
	select {
	case <-accepted:
		t.Fatal("a third connection was taken by two places")
	default:
	}
	if _, ok := guests[0].(interface{ CloseWrite() error }); !ok {
		t.Error("a connection cannot be closed on one side, which net/http does after an error")
	}
	guests[0].Close()
	guests[0].Close() // gives back one place, not two
	guests = append(guests, <-accepted)
	if _, err := clients[0].Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the closed connection says %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-refused; err == nil {
		t.Error("a closed door takes connections")
	}
	for _, g := range guests {
		g.Close()
	}
}
