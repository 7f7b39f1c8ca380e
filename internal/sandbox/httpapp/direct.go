package httpapp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"time"
)

// Most requests have no body and ask for no upgrade. For those there is a
// second, direct way to the program beside http.Transport: the request is
// written and the answer is read by the goroutine that asked, on connections of
// their own. Transport has two more goroutines a connection, and handing a
// request from one to the next costs more than all else that it does. What it
// guarantees holds here too: connections are kept for the same time, one that
// the program has closed or written to meanwhile is not used again, and a
// request is sent again only on such a connection, when nothing of an answer
// has come.

// maxInterim bounds the 1xx answers before the answer, as http.Transport does.
const maxInterim = 5

// link is a kept connection to the program.
type link struct {
	*conn
	r     *bufio.Reader
	w     *bufio.Writer
	since time.Time // when it was kept
	used  bool      // it has carried a request before
	left  int64     // bytes that an answer's head may still have
	got   bool      // something of the answer has come
}

// Read is what r reads from: it bounds heads.
func (l *link) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("the head of the answer is over its limit of %d bytes", maxHead)
	}
	if int64(len(p)) > l.left {
		p = p[:l.left]
	}
	n, err := l.conn.Read(p)
	if n > 0 {
		l.got = true
		l.left -= int64(n)
	}
	return n, err
}

// links are those that are not in use, the most recently used last.
type links struct {
	mu     sync.Mutex
	idle   []*link
	max    int
	timer  *time.Timer // closes what was unused for too long; nil: none runs
	closed bool
}

func (p *links) take() *link {
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			return nil
		}
		l := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		if quiet(l.Conn) {
			return l
		}
		l.Close()
	}
}

func (p *links) keep(l *link) {
	l.since, l.used = time.Now(), true
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= p.max {
		l.Close()
		return
	}
	p.idle = append(p.idle, l)
	if p.timer == nil {
		p.timer = time.AfterFunc(idleTimeout, p.expire)
	}
}

// expire closes what was unused for idleTimeout, and comes again when the next
// will be.
func (p *links) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	n := 0
	for n < len(p.idle) && time.Since(p.idle[n].since) >= idleTimeout {
		p.idle[n].Close()
		n++
	}
	p.idle = append(p.idle[:0], p.idle[n:]...)
	if len(p.idle) == 0 {
		p.timer = nil
		return
	}
	p.timer.Reset(time.Until(p.idle[0].since.Add(idleTimeout)))
}

func (p *links) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, l := range p.idle {
		l.Close()
	}
	p.idle = nil
	if p.timer != nil {
		p.timer.Stop()
	}
}

// isDirect says whether a request goes the direct way: what can be sent again,
// and is sent whole at once.
func isDirect(r *http.Request) bool {
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions:
	default:
		return false
	}
	return (r.Body == nil || r.Body == http.NoBody) && r.ContentLength == 0 && !r.Close &&
		len(r.TransferEncoding) == 0 && len(r.Trailer) == 0 &&
		r.Header["Upgrade"] == nil && r.Header["Connection"] == nil && r.Header["Expect"] == nil
}

// direct sends a request and reads the head of its answer.
func (a *App) direct(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	for {
		l := a.links.take()
		if l == nil {
			c, err := a.connect(ctx)
			if err != nil {
				return nil, err
			}
			l = &link{conn: c.(*conn)}
			l.r, l.w = bufio.NewReader(l), bufio.NewWriter(l.conn)
		}
		stop := context.AfterFunc(ctx, func() { l.SetDeadline(time.Unix(1, 0)) })
		resp, err := l.exchange(r)
		if err != nil {
			stop()
			l.Close()
			if l.used && !l.got && ctx.Err() == nil {
				continue // the program closed it while it was unused
			}
			return nil, err
		}
		d := &directBody{body: resp.Body, a: a, l: l, stop: stop, reuse: !resp.Close}
		switch {
		case resp.StatusCode == http.StatusSwitchingProtocols:
			resp.Body = &switched{r: l.r, link: l, stop: stop}
		case resp.Body == http.NoBody:
			d.end(true)
		default:
			resp.Body = d
		}
		return resp, nil
	}
}

// exchange writes a request and reads answers until one that is final.
func (l *link) exchange(r *http.Request) (*http.Response, error) {
	l.left, l.got = maxHead, false
	if err := r.Write(l.w); err != nil {
		return nil, err
	}
	if err := l.w.Flush(); err != nil {
		return nil, err
	}
	trace := httptrace.ContextClientTrace(r.Context())
	for interim := 0; ; interim++ {
		resp, err := http.ReadResponse(l.r, r)
		if err != nil {
			return nil, err
		}
		if code := resp.StatusCode; code >= 200 || code == http.StatusSwitchingProtocols {
			l.left = math.MaxInt64
			return resp, nil
		}
		if interim >= maxInterim {
			return nil, errors.New("too many 1xx informational responses")
		}
		if trace != nil && trace.Got1xxResponse != nil {
			if err := trace.Got1xxResponse(resp.StatusCode, textproto.MIMEHeader(resp.Header)); err != nil {
				return nil, err
			}
		}
	}
}

// directBody keeps its connection when it has been read to its end.
type directBody struct {
	body  io.ReadCloser
	a     *App
	l     *link
	stop  func() bool // ends that the context's end ends the connection
	reuse bool        // neither side wants it closed
	once  sync.Once
}

func (d *directBody) Read(p []byte) (int, error) {
	n, err := d.body.Read(p)
	if err != nil {
		d.end(err == io.EOF)
	}
	return n, err
}

// Close gives up what was not read, and the connection with it.
func (d *directBody) Close() error {
	d.end(false)
	return nil
}

func (d *directBody) end(whole bool) {
	d.once.Do(func() {
		if d.stop() && whole && d.reuse && d.l.r.Buffered() == 0 {
			d.a.links.keep(d.l)
		} else {
			d.l.Close()
		}
	})
}

// switched is what follows 101 Switching Protocols.
type switched struct {
	r *bufio.Reader
	*link
	stop func() bool
}

func (s *switched) Read(p []byte) (int, error) { return s.r.Read(p) }

func (s *switched) Close() error {
	s.stop()
	return s.link.Close()
}
