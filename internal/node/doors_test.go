package node

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestDoorIsBounded: no more connections are open at once than there are places,
// each that is closed makes room for one, and all get in at last.
func TestDoorIsBounded(t *testing.T) {
	const places, visitors = 2, 50
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := newDoor(ln, places, 0)
	var open atomic.Int64
	var guests sync.WaitGroup
	refused := make(chan error, 1)
	go func() {
		for {
			guest, err := d.Accept()
			if err != nil {
				refused <- err
				return
			}
			if n := open.Add(1); n > places {
				t.Errorf("%d connections were let in by %d places", n, places)
			}
			if _, ok := guest.(interface{ CloseWrite() error }); !ok {
				t.Error("a connection cannot be closed on one side, which net/http does after an error")
			}
			guests.Go(func() {
				guest.Write([]byte("x"))
				io.Copy(io.Discard, guest) // until its visitor goes
				open.Add(-1)
				guest.Close()
				guest.Close() // gives back one place, not two
			})
		}
	}()
	waiting := make([]net.Conn, visitors)
	for i := range waiting {
		if waiting[i], err = net.Dial("tcp", ln.Addr().String()); err != nil {
			t.Fatal(err)
		}
		defer waiting[i].Close()
	}
	for _, visitor := range waiting { // in the order in which they came
		if _, err := io.ReadFull(visitor, make([]byte, 1)); err != nil {
			t.Fatalf("one is not let in: %v", err)
		}
		visitor.Close()
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-refused; err == nil {
		t.Error("a closed door takes connections")
	}
	guests.Wait()
}

// Who takes nothing of an answer does not keep a place for ever, whichever way it
// is written; what answers may have a limit of its own.
func TestAnswersThatNobodyTakes(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	piece := make([]byte, 1<<20)
	for name, write := range map[string]func(net.Conn) error{
		"written": func(c net.Conn) error { _, err := c.Write(piece); return err },
		"sent": func(c net.Conn) error {
			_, err := c.(io.ReaderFrom).ReadFrom(io.LimitReader(zeros{}, int64(len(piece))))
			return err
		},
		"written by a limit of its own": func(c net.Conn) error {
			if err := c.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil {
				return err
			}
			_, err := c.Write(piece)
			return err
		},
	} {
		d := newDoor(ln, 10, 20*time.Millisecond)
		client, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		guest, err := d.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer guest.Close()
		for err == nil { // what the kernel keeps for the client is bounded
			err = write(guest)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ln.Close()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
