package access

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

// sent are requests with a body of so many bytes: whose sender can prove to hold
// the key before the body is read, or not at all.
func sent(t testing.TB, size int, proven bool) *http.Request {
	t.Helper()
	body := bytes.Repeat([]byte{'x'}, size)
	r := newRequest(t, body)
	s := newSigner()
	if proven {
		sum := sha256.Sum256(body)
		s.payload = hex.EncodeToString(sum[:])
	} else {
		s.key = &Key{ID: testKey.ID, Secret: "guessed"}
	}
	s.sign(r, body)
	return received(t, r)
}

// inside serves requests each within the one before, and gives the errors: all
// that is held is held until the last has been served.
func inside(b *Bodies, a *Authenticator, requests ...*http.Request) (errs []error, held int64) {
	var next func()
	next = func() {
		i := len(errs)
		if i == len(requests) {
			held = b.Held()
			return
		}
		b.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, err := a.Authenticate(r)
			errs = append(errs, err)
			next()
		})).ServeHTTP(httptest.NewRecorder(), requests[i])
	}
	next()
	return errs, held
}

// Bodies that are held at the same time are bounded together, in parts that cannot
// use up each other.
func TestBodiesAreBoundedTogether(t *testing.T) {
	const mb = int(gust.MB)
	a := testAuthenticator(Options{})
	b := NewBodies(16 * gust.MB) // 1 MB of small ones, 4 MB of unproven ones, 9 MB of proven ones and 2 MB of small proven ones
	isBusy := func(err error) bool { return errors.Is(err, gust.ErrBusy) }
	isInvalid := func(err error) bool {
		e := (*Error)(nil)
		return errors.As(err, &e) && e.Code == Invalid
	}
	isNil := func(err error) bool { return err == nil }
	for range 2 { // it is all given back
		for name, c := range map[string]struct {
			requests []*http.Request
			last     func(error) bool
			says     string
		}{
			"unproven ones":                       {[]*http.Request{sent(t, 3*mb, false), sent(t, 3*mb, false)}, isBusy, "signature is not verified yet, is 4194304 bytes together"},
			"small ones beside unproven ones":     {[]*http.Request{sent(t, 3*mb, false), sent(t, 3*mb, false), sent(t, 60000, false)}, isInvalid, ""},
			"proven ones beside unproven ones":    {[]*http.Request{sent(t, 3*mb, false), sent(t, 3*mb, false), sent(t, 7*mb, true)}, isNil, ""},
			"proven ones":                         {[]*http.Request{sent(t, 7*mb, true), sent(t, 7*mb, true)}, isBusy, "those whose sender is known, is 9437184 bytes together"},
			"small proven ones beside large ones": {[]*http.Request{sent(t, 7*mb, true), sent(t, 2*mb-10, true), sent(t, 2*mb, true), sent(t, 60000, true)}, isNil, ""},
		} {
			errs, held := inside(b, a, c.requests...)
			last := errs[len(errs)-1]
			if !c.last(last) || c.says != "" && !strings.Contains(last.Error(), c.says) {
				t.Errorf("%s: %v", name, errs)
			}
			if held == 0 || held > 16*gust.MB {
				t.Errorf("%s: %d bytes are held", name, held)
			}
			if b.Held() != 0 {
				t.Errorf("%s: %d bytes are held when all is answered", name, b.Held())
			}
		}
	}
	var many []*http.Request
	for range 20 {
		many = append(many, sent(t, 60000, false))
	}
	if errs, _ := inside(b, a, many...); !isInvalid(errs[16]) || !isBusy(errs[18]) || !strings.Contains(errs[18].Error(), "small ones, up to 64 KB, whose signature is not verified yet, is 1048576 bytes") {
		t.Errorf("many small ones: %v", errs)
	}
}

// What only is claimed to come takes nothing, unless the sender is known; what was
// read before that counts as theirs once they are.
func TestBodiesAreCountedAsTheyCome(t *testing.T) {
	b := NewBodies(64 * gust.MB)
	held := make(chan int64, 1)
	r := newRequest(t, nil)
	r.ContentLength = 8 * gust.MB
	r.Body = io.NopCloser(readerFunc(func([]byte) (int, error) {
		held <- b.Held()
		return 0, io.ErrUnexpectedEOF
	}))
	newSigner().sign(r, nil)
	a := testAuthenticator(Options{})
	if errs, _ := inside(b, a, r); !errors.Is(errs[0], io.ErrUnexpectedEOF) {
		t.Error(errs)
	}
	if n := <-held; n == 0 || n > 64*gust.KB {
		t.Errorf("%d bytes are held of what has not come", n)
	}
	good := newRequest(t, bytes.Repeat([]byte{'x'}, 100_000))
	newSigner().sign(good, bytes.Repeat([]byte{'x'}, 100_000))
	b.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := a.Authenticate(r); err != nil || b.unproven.held.Load() != 0 || b.proven.held.Load() < 100_000 {
			t.Errorf("%v: %d bytes are unproven, %d proven", err, b.unproven.held.Load(), b.proven.held.Load())
		}
		if data, err := Hold(r, r.Body, r.ContentLength, gust.MB); err != nil || len(data) != 100_000 || b.Held() < 200_000 {
			t.Errorf("read again: %d bytes, %d held, %v", len(data), b.Held(), err)
		}
	})).ServeHTTP(httptest.NewRecorder(), received(t, good))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Many at once never hold more than they may, and nothing in the end.
func TestHammerBodies(t *testing.T) {
	b := NewBodies(2 * gust.MB)
	a := testAuthenticator(Options{})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for range 20 {
				r := sent(t, 1+random.IntN(400_000), random.IntN(2) == 0)
				b.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					_, err := a.Authenticate(r)
					if e := (*Error)(nil); err != nil && !errors.Is(err, gust.ErrBusy) && (!errors.As(err, &e) || e.Code != Invalid) {
						t.Error(err)
					}
				})).ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default: // refusing takes and gives back, for an instant
			if n := b.Held(); n < 0 || n > 2*gust.MB+16*gust.MB {
				t.Fatalf("%d bytes are held", n)
			}
		}
	}
	if b.Held() != 0 {
		t.Errorf("%d bytes are held in the end", b.Held())
	}
}

// line is a connection on a clock of its own: it brings pieces, each after a
// while.
type line struct {
	*httptest.ResponseRecorder
	now, deadline time.Time
	pieces, size  int
	every         time.Duration
	first         time.Duration
}

func (l *line) SetReadDeadline(t time.Time) error { l.deadline = t; return nil }
func (l *line) Close() error                      { return nil }

func (l *line) Read(p []byte) (int, error) {
	if l.pieces == 0 {
		return 0, io.EOF
	}
	next := l.now.Add(l.every + l.first)
	if !l.deadline.IsZero() && next.After(l.deadline) {
		l.now = l.deadline
		return 0, &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
	}
	l.now, l.first = next, 0
	l.pieces--
	return min(len(p), l.size), nil
}

// A body that does not go on is given up, also while its signature is verified;
// and one that does is not, however long it takes.
func TestBodiesThatComeSlowly(t *testing.T) {
	for name, c := range map[string]struct {
		line
		work time.Duration // of who reads
		gone time.Duration // when it is given up; 0 is not
	}{
		"fast":                      {line: line{pieces: 100, size: 1000}},
		"a MB a second":             {line: line{pieces: 7000, size: 1 << 10, every: time.Millisecond}},
		"17 KB a second":            {line: line{pieces: 500, size: 17 << 10, every: time.Second}},
		"late":                      {line: line{pieces: 100, size: 1000, first: 15 * time.Second}},
		"nothing":                   {line: line{pieces: 1, size: 1, every: time.Hour}, gone: 20 * time.Second},
		"a byte a second":           {line: line{pieces: 10000, size: 1, every: time.Second}, gone: 20 * time.Second},
		"8 KB a second":             {line: line{pieces: 500, size: 8 << 10, every: time.Second}, gone: 40 * time.Second},
		"slow, of a reader as slow": {line: line{pieces: 100, size: 1000}, work: time.Minute},
	} {
		for _, unproven := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, unproven %v", name, unproven), func(t *testing.T) {
				l := c.line
				l.ResponseRecorder, l.now = httptest.NewRecorder(), testTime
				b := NewBodies(64 * gust.MB)
				b.now = func() time.Time { return l.now }
				r := newRequest(t, nil)
				r.Body, r.ContentLength = &l, -1
				newSigner().sign(r, nil)
				var err error
				b.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					if unproven {
						_, err = testAuthenticator(Options{MaxBody: 100 * gust.MB}).Authenticate(r)
						return
					}
					p := make([]byte, 64<<10)
					for err == nil {
						l.now = l.now.Add(c.work)
						_, err = r.Body.Read(p)
					}
				})).ServeHTTP(&l, r)
				if c.gone == 0 {
					if errors.Is(err, ErrSlow) || errors.Is(err, os.ErrDeadlineExceeded) || !l.deadline.IsZero() {
						t.Errorf("%v, and the deadline is %v", err, l.deadline)
					}
					return
				}
				after := l.now.Sub(testTime)
				if !errors.Is(err, ErrSlow) || !strings.Contains(err.Error(), "20s, and with 16 KB a second") || after < c.gone-5*time.Second || after > c.gone+5*time.Second {
					t.Errorf("after %v: %v", after, err)
				}
				if l.deadline.IsZero() {
					t.Error("the server would wait for the rest")
				}
			})
		}
	}
}

// On a real connection, whoever does not go on gets an answer and is cut off; so
// is who sends a body that nobody reads. Whose body is there may wait for the answer
// as long as it takes.
func TestASlowSenderIsCutOff(t *testing.T) {
	a := testAuthenticator(Options{})
	b := NewBodies(64 * gust.MB)
	b.patience = 50 * time.Millisecond
	server := httptest.NewServer(b.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/unread":
			return
		case "/works":
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Error(err)
			}
			select {
			case <-r.Context().Done():
				t.Error("the call was ended:", r.Context().Err())
			case <-time.After(3 * b.patience): // it has work to do
			}
			return
		}
		if _, err := a.Authenticate(r); errors.Is(err, ErrSlow) {
			http.Error(w, err.Error(), http.StatusRequestTimeout)
		} else {
			t.Errorf("%s: %v", r.URL, err)
		}
	})))
	defer server.Close()
	for path, want := range map[string]int{"/2015-03-31/functions/f/invocations": 408, "/unread": 200} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		r := newRequest(t, nil)
		r.URL.Path = path
		r.Header = http.Header{}
		newSigner().sign(r, nil)
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\nX-Amz-Date: %s\r\nAuthorization: %s\r\n\r\nsome",
			path, r.Host, r.Header.Get("X-Amz-Date"), r.Header.Get("Authorization"))
		in := bufio.NewReader(conn)
		resp, err := http.ReadResponse(in, nil)
		if err != nil || resp.StatusCode != want {
			t.Fatalf("%s: %v %v", path, resp, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Error(err)
		}
		if _, err := in.ReadByte(); err == nil {
			t.Errorf("%s: the connection goes on", path)
		}
	}
	for range 2 { // one connection
		resp, err := server.Client().Post(server.URL+"/works", "text/plain", strings.NewReader("a body"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if b.Held() != 0 {
		t.Errorf("%d bytes are held", b.Held())
	}
}

// What it costs to count a small body.
func BenchmarkBodies(b *testing.B) {
	body := bytes.Repeat([]byte{'x'}, 1024)
	a := testAuthenticator(Options{})
	r := newRequest(b, body)
	newSigner().sign(r, body)
	reader := bytes.NewReader(body)
	next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := a.Authenticate(r); err != nil {
			b.Fatal(err)
		}
	})
	for name, h := range map[string]http.Handler{"without": next, "with": NewBodies(64 * gust.MB).Handler(next)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			w := &line{ResponseRecorder: httptest.NewRecorder()} // a recorder alone makes an error of each deadline
			for b.Loop() {
				reader.Reset(body)
				r.Body = io.NopCloser(reader)
				h.ServeHTTP(w, r)
			}
		})
	}
}
