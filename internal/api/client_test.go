package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/store"
)

func TestClientErrors(t *testing.T) {
	key := &access.Key{ID: "AKIATEST", Secret: "secret"}
	answer := func(status int, header, body string) *Client {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get("Authorization"); got != "Bearer AKIATEST.secret" {
				t.Errorf("the client sent the credential %q", got)
			}
			if header != "" {
				name, value, _ := strings.Cut(header, ": ")
				w.Header().Set(name, value)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}))
		t.Cleanup(server.Close)
		c, err := NewClient(server.URL, key, "")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	tests := []struct {
		client *Client
		is     error
		says   string
	}{
		{answer(401, "", ""), nil, "does not accept the key AKIATEST"},
		{answer(404, "X-Amzn-Errortype: ResourceNotFoundException", `{"Type":"User","Message":"Function not found: x"}`), nil, "Function not found: x"},
		{answer(409, "", `{"error":{"code":"conflict","message":"shop has it"}}`), gust.ErrConflict, "shop has it"},
		{answer(502, "", "<html>"), nil, "502"},
		{answer(200, "", "<html>"), nil, "reading what"},
	}
	for _, tt := range tests {
		_, err := tt.client.Status(t.Context())
		if err == nil || !strings.Contains(err.Error(), tt.says) || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("error %v, want one that is %v and says %q", err, tt.is, tt.says)
		}
	}

	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	c, err := NewClient(gone.URL, key, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrNoNode) {
		t.Errorf("without a node: %v, want ErrNoNode", err)
	}
}

func TestNewClient(t *testing.T) {
	for _, tt := range []struct{ endpoint, want string }{ // want "" for an error; a key goes elsewhere over TLS, or by the word http
		{"127.0.0.1:4566", "http://127.0.0.1:4566"},
		{":4566", "http://127.0.0.1:4566"},
		{"0.0.0.0:4566", "http://127.0.0.1:4566"},
		{"[::]:4566", "http://[::1]:4566"},
		{"localhost:4566", "http://localhost:4566"},
		{"[::ffff:127.0.0.1]:4566", "http://[::ffff:127.0.0.1]:4566"},
		{"192.0.2.1:4566", "https://192.0.2.1:4566"},
		{"localhost.example.com:4566", "https://localhost.example.com:4566"},
		{"gust.example.com", "https://gust.example.com"},
		{"http://192.0.2.1:4566", "http://192.0.2.1:4566"},
		{"https://gust.example.com/", "https://gust.example.com"},
		{"ftp://gust.example.com", ""},
		{"http://u:p@gust.example.com", ""},
		{"http://gust.example.com/v1", ""},
		{"", ""},
	} {
		c, err := NewClient(tt.endpoint, nil, "")
		if got := ""; err == nil {
			got = c.Endpoint
			if got != tt.want {
				t.Errorf("NewClient(%q) asks %q, want %q", tt.endpoint, got, tt.want)
			}
		} else if tt.want != "" {
			t.Errorf("NewClient(%q): %v", tt.endpoint, err)
		}
	}
}

func TestAddressIsNamed(t *testing.T) {
	for _, tt := range []struct {
		api, fingerprint, endpoint string
		want                       bool
	}{
		{"127.0.0.1:4566", "", "127.0.0.1:4566", true},
		{"127.0.0.1:4566", "", "http://127.0.0.1:4566/", true},
		{"127.0.0.1:4566", "", "localhost:4566", true},
		{"127.0.0.1:4566", "", "0.0.0.0:4566", true}, // as --api of its gust up may be written
		{"127.0.0.1:4566", "", "https://127.0.0.1:4566", false},
		{"127.0.0.1:4566", "", "127.0.0.1:4567", false},
		{"127.0.0.1:4566", "", "127.0.0.2:4566", false},
		{"127.0.0.1:4566", "", "192.0.2.1:4566", false},
		{"127.0.0.1:4566", "", "127.0.0.1.example.com:4566", false},
		{"127.0.0.1:4566", "", "u@127.0.0.1:4566", false},
		{"127.0.0.1:4566", "", "http://127.0.0.1:4566/x", false},
		{"127.0.0.1:4566", "", "127.0.0.1", false},
		{"127.0.0.1:4566", "", "", false},
		{"[::]:4566", "ab", ":4566", true},
		{"[::]:4566", "ab", "127.0.0.1:4566", true},
		{"[::]:4566", "ab", "https://localhost:4566", true},
		{"[::]:4566", "ab", "http://localhost:4566", false},
		{"[::]:4566", "ab", "192.0.2.1:4566", false},
		{"192.0.2.1:4566", "ab", "192.0.2.1:4566", true},
		{"192.0.2.1:4566", "ab", "localhost:4566", false},
	} {
		if got := (Address{API: tt.api, Fingerprint: tt.fingerprint}).Named(tt.endpoint); got != tt.want {
			t.Errorf("a node at %s (fingerprint %q) is named by %q: %v, want %v", tt.api, tt.fingerprint, tt.endpoint, got, tt.want)
		}
	}
}

func TestAddress(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadAddress(dir); !errors.Is(err, gust.ErrNotFound) {
		t.Errorf("reading none: %v", err)
	}
	want := Address{API: "127.0.0.1:1", HTTP: "127.0.0.1:2", PID: 3}
	if err := WriteAddress(dir, want); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAddress(dir); !errors.Is(err, gust.ErrNotFound) {
		t.Errorf("reading that of a node that was killed: %v", err)
	}
	lock, err := store.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if got, err := ReadAddress(dir); err != nil || got != want {
		t.Errorf("ReadAddress() = %+v, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(dir, AddressFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAddress(dir); !errors.Is(err, gust.ErrCorrupt) {
		t.Errorf("reading half of one: %v", err)
	}
	for range 2 {
		if err := RemoveAddress(dir); err != nil {
			t.Error(err)
		}
	}
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct{ text, want string }{
		{"5m", "2026-01-31T11:55:00Z"},
		{"0s", "2026-01-31T12:00:00Z"},
		{"2026-01-30T00:00:00+01:00", "2026-01-29T23:00:00Z"},
		{"-5m", ""}, {"", ""}, {"5", ""}, {"2026-01-30", ""},
	} {
		got, err := ParseSince(tt.text, now)
		if (err != nil) != (tt.want == "") || err == nil && got.UTC().Format(time.RFC3339) != tt.want {
			t.Errorf("ParseSince(%q) = %v, %v; want %q", tt.text, got, err, tt.want)
		}
	}
}

// What the node refuses for a moment is sent again when it says, whole, and some
// times only; what a function refuses is not.
func TestBusyNodesAreAskedAgain(t *testing.T) {
	var refusals, asked int
	code, after := "busy", "1"
	var got []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked <= refusals {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintf(w, `{"error":{"code":%q,"message":"not now"}}`, code)
			return
		}
		got, _ = io.ReadAll(r.Body)
		fmt.Fprint(w, "{}")
	}))
	defer server.Close()
	c, err := NewClient(server.URL, &access.Key{ID: "AKIAX", Secret: "y"}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	var pauses []time.Duration
	c.pause = func(_ context.Context, d time.Duration) { pauses = append(pauses, d) }
	try := func(n int, ask func() error) error {
		refusals, asked, pauses, got = n, 0, nil, nil
		return ask()
	}
	data := bytes.Repeat([]byte("x"), 1<<20)
	put := func() error { return c.PutArtifact(ctx, "d", bytes.NewReader(data), int64(len(data))) }
	if err := try(3, put); err != nil || len(pauses) != 3 || pauses[0] != time.Second || !bytes.Equal(got, data) {
		t.Errorf("%v after %v; %d bytes came", err, pauses, len(got))
	}
	plan := func() error { _, err := c.Plan(ctx, &gust.App{Name: "shop"}, nil); return err }
	if err := try(1, plan); err != nil || !strings.Contains(string(got), "shop") {
		t.Errorf("%v; %s came", err, got)
	}
	if err := try(1000, plan); !errors.Is(err, gust.ErrBusy) || len(pauses) != maxPauses || asked != maxPauses+1 {
		t.Errorf("%v after being asked %d times", err, asked)
	}
	for _, no := range [][2]string{{codeThrottled, "1"}, {"busy", ""}, {"busy", "soon"}} {
		code, after = no[0], no[1]
		if err := try(1, plan); err == nil || len(pauses) != 0 {
			t.Errorf("%v is asked again", no)
		}
	}
	code, after = "busy", "1"
	gone := errors.New("gone")
	c.pause = func(context.Context, time.Duration) { cancel(gone) }
	if err := try(1, plan); !errors.Is(err, gone) || asked != 1 {
		t.Errorf("%v after being asked %d times by who is gone", err, asked)
	}
}

// More calls than a user may make at once are made all the same, at the node's
// pace.
func TestManyCallsOfAUser(t *testing.T) {
	f := newFixture(t)
	f.keys.may("ann", "gust:ListApps *")
	c := f.as("ann")
	paused := false
	c.pause = func(ctx context.Context, d time.Duration) { paused = true; pause(ctx, d) }
	for n := 0; !paused; n++ {
		if _, _, err := c.Apps(t.Context()); err != nil {
			t.Fatalf("call %d: %v", n, err)
		}
		if n == 5000 {
			t.Fatal("nobody is held to a pace")
		}
	}
}
