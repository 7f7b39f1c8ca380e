package node_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/observe"
)

// smallDisk mounts a file system of so many MB of memory as the data folder.
func (h *house) smallDisk(mb int) {
	h.t.Helper()
	h.isolated() // mounting takes the same rights
	if err := os.MkdirAll(h.data, 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := syscall.Mount("gust-test", h.data, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=700", mb)); err != nil {
		h.t.Skipf("a small disk cannot be mounted: %v", err)
	}
	h.t.Cleanup(func() {
		if err := syscall.Unmount(h.data, syscall.MNT_DETACH); err != nil {
			h.t.Error(err)
		}
	})
}

// fill takes all that is left of the disk; the function gives it back.
func (h *house) fill() (free func()) {
	h.t.Helper()
	f, err := os.CreateTemp(h.data, "filler")
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for size := len(block); size > 0; {
		if _, err := f.Write(block[:size]); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			h.t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(f.Name()); err != nil {
			h.t.Fatal(err)
		}
	}
}

// On a full disk what writes is refused by name, what reads goes on, and all
// works again when there is space.
func TestFullDisk(t *testing.T) {
	h := newHouse(t)
	h.smallDisk(160)
	n := h.start()
	const manifest = "app: full\nfunctions:\n  f: {runtime: provided, source: ./f, env: {GENERATION: %q}}\nroutes:\n  GET /f: f\n"
	h.deploy(fmt.Sprintf(manifest, "1"))
	if r := n.get("/f"); r.status != http.StatusOK {
		t.Fatal(r)
	}
	free := h.fill()

	// It is looked at once a second; what was taken meanwhile is kept in the
	// reserve.
	var refused reply
	until(t, "events are refused", func() bool { refused = n.send("f", "{}"); return refused.status != http.StatusAccepted })
	if refused.status != http.StatusServiceUnavailable || !strings.Contains(refused.body, "no space left") {
		t.Errorf("an event is answered with %d %s", refused.status, refused.body)
	}
	h.manifest(fmt.Sprintf(manifest, "2"))
	if out, status := h.gust("deploy", h.app); status != 1 || !strings.Contains(out, "no space left") {
		t.Errorf("gust deploy ends with %d: %s", status, out)
	}
	for range 20 {
		if r := n.get("/f"); r.status != http.StatusOK || r.said().Generation != "1" {
			t.Fatalf("an invocation is answered with %d %s", r.status, r.body)
		}
	}
	if out, status := h.gust("ls"); status != 0 || !strings.Contains(out, "disk is full") {
		t.Errorf("gust ls ends with %d: %s", status, out)
	}
	if out, status := h.gust("logs", "f", "--json"); status != 0 || !strings.Contains(out, `"kind":"start"`) {
		t.Errorf("gust logs ends with %d: %s", status, out)
	}
	if out, status := h.gust("plan", h.app); status != 2 {
		t.Errorf("gust plan ends with %d: %s", status, out)
	}

	// It stops and starts with what little is left, too.
	n.stop()
	n = h.start()
	if r := n.get("/f"); r.status != http.StatusOK || r.said().Generation != "1" {
		t.Errorf("after a start on a full disk an invocation is answered with %d %s", r.status, r.body)
	}

	free()
	until(t, "events are taken again", func() bool { return n.send("f", "{}").status == http.StatusAccepted })
	h.deploy(fmt.Sprintf(manifest, "2"))
	if r := n.get("/f"); r.said().Generation != "2" {
		t.Errorf("when there is space again it is %d %s", r.status, r.body)
	}
	id := n.send("f", "{}").header.Get("X-Amzn-Requestid")
	n.logged(api.LogQuery{Function: "f"}, "the event's end", func(r *observe.Record) bool {
		return r.Kind == observe.KindReport && r.RequestID == id
	})
	n.stop()
	if out, status := h.gust("check"); status != 0 {
		t.Errorf("gust check ends with %d: %s", status, out)
	}
}

// What keeps a node from starting is said, with status 1, and nothing is left
// of the attempt.
func TestStartsThatFail(t *testing.T) {
	h := newHouse(t)
	n := h.start()
	refused := func(h *house, want string, flags ...string) {
		t.Helper()
		p, out := h.tryStart(flags...)
		if p != nil {
			t.Fatalf("it starts:\n%s", out)
		}
		if !strings.Contains(out, "the node did not start") || !strings.Contains(out, want) || strings.Contains(out, "goroutine") {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	refused(h, fmt.Sprint(n.cmd.Process.Pid)) // the same folder
	other := newHouse(t)
	refused(other, "address already in use", "--http", n.http)
	refused(other, "address already in use", "--api", n.api)
	if _, err := os.Stat(filepath.Join(other.data, "node.json")); err == nil {
		t.Error("an address is left of a node that did not start")
	}
	if _, err := n.client.Status(context.Background()); err != nil {
		t.Errorf("the first node: %v", err)
	}
	n.stop()

	fixed := newHouse(t)
	fixed.smallDisk(64)
	if err := syscall.Mount("", fixed.data, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	refused(fixed, "read-only file system")
}
