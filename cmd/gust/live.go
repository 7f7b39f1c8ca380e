package main

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/gateway"
	"github.com/gust-dev/gust/internal/observe"
)

// live prints what happens on a node as it happens, a line each. Whoever has
// something to print does not wait for the terminal: a node must not stand still
// because somebody has scrolled up.
type live struct {
	out   *terminal
	lines chan string
	lost  atomic.Int64
	done  chan struct{}
}

// liveLines is how many lines wait for the terminal; what comes then is counted.
const liveLines = 10_000

func newLive(out *terminal) *live {
	l := &live{out: out, lines: make(chan string, liveLines), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for line := range l.lines {
			if n := l.lost.Swap(0); n > 0 {
				line += fmt.Sprintf("... and %s that came faster than they can be shown\n", count(int(n), "line"))
			}
			_, _ = l.out.Write([]byte(line)) // a terminal that has gone is told to nobody
		}
	}()
	return l
}

// close returns when all is printed. Nothing may be printed after it.
func (l *live) close() {
	close(l.lines)
	<-l.done
}

func (l *live) print(line string) {
	select {
	case l.lines <- line:
	default:
		l.lost.Add(1)
	}
}

// line prints what happened at a time to something: who is a function, or "http"
// for a request.
func (l *live) line(at time.Time, who, requestID, text string) {
	id := cmp.Or(requestID, "-")
	l.print(fmt.Sprintf("%s  %s  %-8s  %s\n", l.out.paint(dim, at.Local().Format("15:04:05.000")), l.out.paint(bold, who), printable(id[:min(8, len(id))]), text))
}

// say prints what gust itself has to say.
func (l *live) say(format string, args ...any) {
	l.line(time.Now(), "gust", "", fmt.Sprintf(format, args...))
}

// request prints a user's request and how it was answered.
func (l *live) request(a gateway.Access) {
	c := plain
	switch {
	case a.Status == 0 || a.Status >= 500:
		c = red
	case a.Status >= 400:
		c = yellow
	case a.Status >= 200 && a.Status < 300:
		c = green
	}
	status := fmt.Sprint(a.Status)
	if a.Status == 0 {
		status = "broken off"
	}
	l.line(time.Now(), "http", a.RequestID, fmt.Sprintf("%s %s  %s  %s", a.Method, printable(a.Path), l.out.paint(c, status), milliseconds(a.Duration)))
}

// follow prints what functions log and how their invocations go, until ctx ends
// or the node stops.
func (l *live) follow(ctx context.Context, client *api.Client) error {
	for r, err := range client.Logs(ctx, api.LogQuery{Follow: true, Since: "0s"}) {
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if r.Kind != observe.KindStart && r.Kind != observe.KindEnd { // the report says more
			l.line(r.Time, r.Function, r.RequestID, describeRecord(l.out, r))
		}
	}
	return nil
}
