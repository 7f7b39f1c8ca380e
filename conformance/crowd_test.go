package conformance

import (
	"net"
	"testing"
	"time"
)

// TestCrowd: clients that only keep connections open cost the node nothing that
// its functions and whoever looks after it need. The node is one of its own,
// with no more descriptors than one of its functions may have.
func TestCrowd(t *testing.T) {
	n, err := startNode(nil, need(t, "sh"), "-c", `ulimit -n 1100 && exec "$0" "$@"`)
	defer func() {
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	}()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.gust(t.Context(), "deploy", "testdata/golang"); err != nil {
		t.Fatal(err)
	}
	leave := crowd(t, n.HTTP, 1200)
	for _, function := range []string{"go-handler", "go-url", "go-probe", "go-handler"} {
		if out, err := n.gust(t.Context(), "invoke", function, "-d", `{"version":"2.0","rawPath":"/url/teapot"}`); err != nil {
			t.Errorf("with a crowd at the gateway: %s, %v", out, err)
		}
	}
	if _, err := n.gust(t.Context(), "logs", "--since", "5m"); err != nil {
		t.Errorf("with a crowd at the gateway: %v", err)
	}
	leave()
	crowd(t, n.API, 1200)()
	if _, err := n.gust(t.Context(), "ls"); err != nil {
		t.Errorf("after a crowd at the API: %v", err)
	}
}

// crowd opens connections and keeps them open, until the end of the test or the
// function it returns.
func crowd(t *testing.T, addr string, size int) (leave func()) {
	t.Helper()
	var conns []net.Conn
	leave = func() {
		for _, c := range conns {
			c.Close()
		}
	}
	t.Cleanup(leave)
	for range size {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			break // the kernel's queue is full, too
		}
		conns = append(conns, conn)
	}
	return leave
}
