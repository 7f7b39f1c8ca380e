package inside

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gust-dev/gust/internal/sandbox"
)

// bed is a Server of which a test opens doors; its API holds /held until it is
// told to go on.
type bed struct {
	*Server
	t *testing.T

	mu   sync.Mutex
	now  time.Time
	made int   // sessions
	good int   // is the number of the oldest that is not revoked
	err  error // in the place of one

	refused map[string]int // by environment

	holding, most int // requests that are held now, and were at once

	held    chan struct{}
	release chan struct{}
	gone    chan struct{} // gets those whose client has gone
}

const path = sandbox.CredentialsPath

func newBed(t *testing.T, shared int) *bed {
	b := &bed{t: t, refused: map[string]int{}, now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), held: make(chan struct{}, 100), release: make(chan struct{}), gone: make(chan struct{}, 100)}
	b.Server = New(Options{
		API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/held" {
				b.count(1)
				defer b.count(-1)
				b.held <- struct{}{}
				select {
				case <-b.release:
				case <-r.Context().Done():
					b.gone <- struct{}{}
					return
				}
			}
			fmt.Fprint(w, "the API")
		}),
		Session: func(function, environment string, ttl time.Duration) (Credentials, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.made++
			return Credentials{
				KeyID: fmt.Sprintf("key %d of %s", b.made, environment), Secret: "secret", Token: "token",
				RoleARN: "arn:aws:iam::000000000000:role/gust/fn." + function, Expires: b.now.Add(ttl),
			}, b.err
		},
		Good: func(c Credentials) bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			number := 0
			_, err := fmt.Sscanf(c.KeyID, "key %d", &number)
			return err == nil && number >= b.good
		},
		Refused: func(environment string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.refused[environment]++
		},
		Shared: shared,
		Now: func() time.Time {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.now
		},
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	t.Cleanup(func() { b.Close() })
	return b
}

// count counts requests that are held, and gives how many were at once.
func (b *bed) count(more int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holding += more
	b.most = max(b.most, b.holding)
	return b.most
}

func (b *bed) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// open opens the door of an environment whose token is its name.
func (b *bed) open(id string) (addr string, close func()) {
	b.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	d := b.Open("f", id, ln, sha256.Sum256([]byte(id)))
	b.t.Cleanup(func() { d.Close() })
	return ln.Addr().String(), func() { d.Close() }
}

// answerOf is what somebody is told.
func answerOf(t *testing.T, method, addr, path string, headers ...string) (status int, header http.Header, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Add(headers[i], headers[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(text)
}

func TestCredentials(t *testing.T) {
	b := newBed(t, 10)
	one, _ := b.open("one")
	other, _ := b.open("other")
	key := func(addr, token string) string {
		t.Helper()
		status, header, body := answerOf(t, "GET", addr, path, "Authorization", token)
		var doc map[string]string
		if err := json.Unmarshal([]byte(body), &doc); status != http.StatusOK || err != nil || header.Get("Content-Type") != "application/json" || header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d, %v, %s, %v", status, header, body, err)
		}
		if doc["SecretAccessKey"] != "secret" || doc["Token"] != "token" || doc["RoleArn"] != "arn:aws:iam::000000000000:role/gust/fn.f" || len(doc) != 5 {
			t.Errorf("the document is %s", body)
		}
		if end, err := time.Parse(time.RFC3339, doc["Expiration"]); err != nil || end.Sub(b.now) <= renewAt || end.Sub(b.now) > sessionTime {
			t.Errorf("it expires at %q, and it is %v", doc["Expiration"], b.now)
		}
		return doc["AccessKeyId"]
	}
	first := key(one, "one")
	if first != "key 1 of one" {
		t.Errorf("the key is %q", first)
	}
	b.pass(sessionTime - renewAt - time.Second)
	if again := key(one, "one"); again != first {
		t.Errorf("with more than %v left they are made anew: %s", renewAt, again)
	}
	b.pass(time.Second)
	if again := key(one, "one"); again != "key 2 of one" {
		t.Errorf("with %v left the key is %s", renewAt, again)
	}
	for range 3 { // for as long as the environment lives
		b.pass(24 * time.Hour)
		key(one, "one")
	}
	if got := key(other, "other"); got != "key 6 of other" {
		t.Errorf("another environment's key is %q", got)
	}
	b.good = 7 // all before are revoked
	if got, again := key(other, "other"), key(other, "other"); got != "key 7 of other" || again != got {
		t.Errorf("after a revocation the key is %q, and then %q", got, again)
	}

	b.err = errors.New("the disk is on fire")
	b.pass(time.Hour)
	if status, _, body := answerOf(t, "GET", one, path, "Authorization", "one"); status != http.StatusInternalServerError || strings.Contains(body, "fire") || strings.Contains(body, "secret") {
		t.Errorf("without a session: %d %s", status, body)
	}
}

func TestWhoGetsNoCredentials(t *testing.T) {
	b := newBed(t, 10)
	addr, _ := b.open("one")
	b.open("other")
	_, port, _ := net.SplitHostPort(addr)
	for _, c := range []struct {
		name, method, path string
		headers            []string
		status             int
	}{
		{"no token", "GET", path, nil, 401},
		{"an empty one", "GET", path, []string{"Authorization", ""}, 401},
		{"another environment's", "GET", path, []string{"Authorization", "other"}, 401},
		{"a part of it", "GET", path, []string{"Authorization", "on"}, 401},
		{"more than it", "GET", path, []string{"Authorization", "onee"}, 401},
		{"with a scheme", "GET", path, []string{"Authorization", "Bearer one"}, 401},
		{"its hash", "GET", path, []string{"Authorization", fmt.Sprintf("%x", sha256.Sum256([]byte("one")))}, 401},
		{"twice", "GET", path, []string{"Authorization", "one", "Authorization", "one"}, 401},
		{"in another header", "GET", path, []string{"X-Aws-Ecs-Metadata-Token", "one"}, 401},
		{"in the query", "GET", path + "?Authorization=one", nil, 401},
		{"by a name that leads here", "GET", path, []string{"Authorization", "one", "Host", "rebind.test:" + port}, 401},
		{"by a name that leads here, without a port", "GET", path, []string{"Authorization", "one", "Host", "127.0.0.1"}, 401},
		{"by another address", "GET", path, []string{"Authorization", "one", "Host", "127.0.0.2:" + port}, 401},
		{"at another port", "GET", path, []string{"Authorization", "one", "Host", "127.0.0.1:1"}, 401},
		{"HEAD", "HEAD", path, []string{"Authorization", "one"}, 405},
		{"POST", "POST", path, []string{"Authorization", "one"}, 405},
		{"PUT", "PUT", path, []string{"Authorization", "one"}, 405},
		{"beside it", "GET", reserved, []string{"Authorization", "one"}, 404},
		{"below it", "GET", path + "/", []string{"Authorization", "one"}, 404},
		{"another case", "GET", "/_gust/Credentials", []string{"Authorization", "one"}, 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, _, body := answerOf(t, c.method, addr, c.path, c.headers...)
			if status != c.status || body != "" {
				t.Errorf("%d %q, want %d and no word", status, body, c.status)
			}
		})
	}
	for _, host := range []string{addr, "localhost:" + port} {
		if status, _, _ := answerOf(t, "GET", addr, path, "Authorization", "one", "Host", host); status != http.StatusOK {
			t.Errorf("asked as %s: %d", host, status)
		}
	}
	if want := map[string]int{"one": 14}; !maps.Equal(b.refused, want) {
		t.Errorf("told of as refused are %v, want %v", b.refused, want)
	}
	if b.made != 1 {
		t.Errorf("%d sessions were made, want 1", b.made)
	}
	for _, p := range []string{"/", "//_gust/credentials", "/v1/functions"} {
		if status, _, body := answerOf(t, "GET", addr, p); status != http.StatusOK || body != "the API" {
			t.Errorf("%s: %d %q, want the API's answer", p, status, body)
		}
	}
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

const patience = 20 * time.Second

func wait(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("%s did not come in %v", what, patience)
	}
}

// ask has somebody ask for /held.
func ask(t *testing.T, addr string) net.Conn {
	t.Helper()
	c := dial(t, addr)
	fmt.Fprintf(c, "GET /held HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", addr)
	return c
}

// hold has somebody ask for /held and waits until the API has heard of it.
func (b *bed) hold(t *testing.T, addr string) net.Conn {
	t.Helper()
	c := ask(t, addr)
	wait(t, "a request", b.held)
	return c
}

// A program that opens all the connections it can takes the places that are
// shared, and no other environment's own.
func TestConnectionsAreBounded(t *testing.T) {
	const shared = 20
	b := newBed(t, shared)
	flood, end := b.open("flood")
	greedy, _ := b.open("greedy")
	calm, _ := b.open("calm")
	for range ownConnections + shared {
		b.hold(t, flood)
	}
	var more []net.Conn
	for range 100 { // they wait in the backlog
		more = append(more, ask(t, flood))
	}
	for i, addr := range []string{greedy, calm} {
		for range ownConnections {
			b.hold(t, addr)
		}
		if i == 0 { // greedy's next one waits as well
			ask(t, addr)
		}
	}
	if most := b.count(0); most > 3*ownConnections+shared {
		t.Errorf("%d were let in at once, which is more than there are places", most)
	}
	end() // all of it is given back, and who waits is told
	for range ownConnections + shared {
		wait(t, "the end of a request", b.gone)
	}
	wait(t, "the place for the one that was late", b.held)
	for _, c := range more {
		c.SetReadDeadline(time.Now().Add(patience))
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a connection that waited got %d bytes, %v", n, err)
		}
	}
}

// One environment has at most its own places and so many of the others.
func TestOneEnvironmentTakesNotAll(t *testing.T) {
	b := newBed(t, 1000)
	addr, _ := b.open("one")
	for range ownConnections + moreConnections {
		b.hold(t, addr)
	}
	for range 20 {
		ask(t, addr)
	}
	for range 20 { // one goes, and one comes
		b.release <- struct{}{}
		wait(t, "its turn", b.held)
	}
	if most := b.count(0); most > ownConnections+moreConnections {
		t.Errorf("%d were let in at once, which is more than %d", most, ownConnections+moreConnections)
	}
}

func TestTheEndOfAnEnvironment(t *testing.T) {
	b := newBed(t, 10)
	addr, end := b.open("one")
	c := b.hold(t, addr)
	idle := dial(t, addr)
	end()
	wait(t, "the end of the request", b.gone)
	for _, c := range []net.Conn{c, idle} {
		c.SetReadDeadline(time.Now().Add(patience))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a connection outlives its environment")
		}
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("somebody still listens")
	}
	end()
}

// While the node drains, what is being answered ends.
func TestDrain(t *testing.T) {
	b := newBed(t, 10)
	addr, _ := b.open("one")
	c := b.hold(t, addr)
	over := make(chan error, 1)
	go func() { over <- b.Shutdown(t.Context()) }()
	for end := time.Now().Add(patience); ; { // until it takes nothing new
		probe, err := net.Dial("tcp", addr)
		if err != nil {
			break
		}
		probe.Close()
		if time.Now().After(end) {
			t.Fatal("it takes new connections while it ends")
		}
	}
	b.release <- struct{}{}
	text, err := io.ReadAll(c)
	if err != nil || !strings.Contains(string(text), "the API") {
		t.Errorf("what was being answered got %q, %v", text, err)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// What is frozen takes nothing of an answer: it is not kept for ever.
func TestAnswersThatNobodyTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node, program := net.Pipe()
		defer program.Close()
		v := &visit{Conn: node}
		begin := time.Now()
		if _, err := v.Write([]byte("an answer")); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != stalled {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		go io.Copy(io.Discard, program) // it is thawed
		if _, err := v.Write([]byte("an answer")); err != nil {
			t.Errorf("what is taken fails: %v", err)
		}
		node.Close()
	})
}
