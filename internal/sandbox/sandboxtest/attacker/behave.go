package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// behaviours are what the functional part of the suite asks for. Unlike an
// attack, a behaviour answers, or does not, as it sees fit.
var behaviours = map[string]func(*invocation){
	"echo":     echo,
	"call":     call,
	"headers":  headers,
	"environ":  environ,
	"lines":    lines,
	"longline": longLine,
	"sleep":    sleep,
	"hang":     func(*invocation) { forever() },
	"error":    func(inv *invocation) { inv.fail("Attacker.Asked", inv.event.Text) },
	"exit":     func(inv *invocation) { fmt.Println("last words"); os.Exit(inv.event.N) },
	"leave":    leave,
	"crash":    func(*invocation) { fmt.Println("last words"); dieBySignal() },
	"stream":   stream,
	"midway":   midway,
	"halfway":  halfway,
	"large":    large,
	"spin":     spin,
	"spinning": spinning,
	"hold":     hold,
	"deaf":     deaf,
	"polite":   polite,
	"stale":    stale,
	"garbage":  garbage,
	"where":    where,
	"barrier":  barrier,
	"together": together,
	"churn":    churn,
	"stopped":  stopped,
}

// echo answers the event's text, its size and nothing else.
func echo(inv *invocation) { inv.answer(map[string]string{"text": inv.event.Text}) }

// leave answers, and then the program ends as if that were all.
func leave(inv *invocation) {
	inv.answer("leaving")
	os.Exit(inv.event.N)
}

// headers answers the headers that came with the event.
func headers(inv *invocation) { inv.answer(inv.header) }

func environ(inv *invocation) { inv.answer(os.Environ()) }

func where(inv *invocation) {
	dir, err := os.Getwd()
	if err != nil {
		dir = err.Error()
	}
	exe, err := os.Executable()
	if err != nil {
		exe = err.Error()
	}
	inv.answer(map[string]any{"dir": dir, "exe": exe, "args": os.Args, "procs": runtime.GOMAXPROCS(0)})
}

// lines prints N numbered lines, by turns to standard output and error, and
// answers at once.
func lines(inv *invocation) {
	for i := range inv.event.N {
		out := os.Stdout
		if i%2 == 1 {
			out = os.Stderr
		}
		fmt.Fprintf(out, "%s %d\n", inv.event.Text, i)
	}
	inv.answer("printed")
}

func longLine(inv *invocation) {
	os.Stdout.WriteString(strings.Repeat("x", int(inv.event.Size)) + "\n")
	os.Stdout.WriteString("after\n")
	inv.answer("printed")
}

func sleep(inv *invocation) {
	time.Sleep(time.Duration(inv.event.Millis) * time.Millisecond)
	inv.answer("slept")
}

// stream answers N pieces of Size bytes in Lambda's streaming form.
func stream(inv *invocation) {
	r, w := io.Pipe()
	go func() {
		piece := []byte(strings.Repeat("s", max(1, int(inv.event.Size))))
		for range inv.event.N {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
		fmt.Println("streamed")
		w.Close()
	}()
	inv.streamed(r, nil)
}

// midway streams a piece and then reports an error in the trailers.
func midway(inv *invocation) {
	r, w := io.Pipe()
	trailer := http.Header{
		"Lambda-Runtime-Function-Error-Type": {"Attacker.Midway"},
		"Lambda-Runtime-Function-Error-Body": {"eyJlcnJvclR5cGUiOiJBdHRhY2tlci5NaWR3YXkiLCJlcnJvck1lc3NhZ2UiOiJoYWxmIHdheSJ9"},
	}
	go func() {
		w.Write([]byte("first half"))
		w.Close()
	}()
	inv.streamed(r, trailer)
}

// halfway streams a piece and ends the program.
func halfway(inv *invocation) {
	r, w := io.Pipe()
	go func() {
		w.Write([]byte("first half"))
		time.Sleep(50 * time.Millisecond) // let it leave this process
		os.Exit(4)
	}()
	inv.streamed(r, nil)
}

func (inv *invocation) streamed(body io.Reader, trailer http.Header) {
	req, err := http.NewRequest(http.MethodPost,
		inv.base+"invocation/"+inv.header.Get("Lambda-Runtime-Aws-Request-Id")+"/response", body)
	if err != nil {
		fatal(70, "stream: %v", err)
	}
	req.Header.Set("Lambda-Runtime-Function-Response-Mode", "streaming")
	req.Header.Set("Content-Type", "application/octet-stream")
	if id := inv.header.Get("Lambda-Runtime-Invocation-Id"); id != "" {
		req.Header.Set("Lambda-Runtime-Invocation-Id", id)
	}
	req.ContentLength = -1
	if trailer != nil {
		req.Trailer = trailer
	}
	res, err := inv.client.Do(req)
	if err != nil {
		fmt.Fprintf(os.Stderr, "stream: %v\n", err)
		return
	}
	res.Body.Close()
}

// large answers a JSON string of Size bytes.
func large(inv *invocation) {
	inv.respond([]byte(`"` + strings.Repeat("l", int(inv.event.Size)-2) + `"`))
}

// spin uses a core for so long and answers.
func spin(inv *invocation) {
	burn(time.Duration(inv.event.Millis) * time.Millisecond)
	inv.answer("spun")
}

// spinning leaves a core busy behind its answer.
func spinning(inv *invocation) {
	go burn(time.Hour)
	inv.answer("spinning")
}

var sink atomic.Uint64

func burn(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		var x uint64 = 88172645463325252
		for range 10_000 {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
		}
		sink.Store(x)
	}
}

var held [][]byte

// hold keeps Size bytes of memory from now on.
func hold(inv *invocation) {
	held = append(held, touched(int(inv.event.Size)))
	inv.answer("held")
}

// touched is n bytes of memory that really are there.
func touched(n int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += 4096 {
		b[i] = byte(i>>12) | 1
	}
	return b
}

// deaf ignores every signal it may ignore and answers.
func deaf(inv *invocation) {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	inv.answer("deaf")
}

// polite says goodbye on SIGTERM and leaves with status 0.
func polite(inv *invocation) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	go func() {
		<-c
		fmt.Println("goodbye")
		os.Exit(0)
	}()
	inv.answer("polite")
}

// stale answers twice, and an invocation that never was, and tells what the
// node said to each.
func stale(inv *invocation) {
	doc := func() io.Reader { return bytes.NewBufferString(`"first"`) }
	first, _ := inv.post("response", nil, doc())
	again, _ := inv.post("response", nil, bytes.NewBufferString(`"second"`))
	inv.header.Set("Lambda-Runtime-Aws-Request-Id", "00000000-0000-4000-8000-000000000000")
	other, _ := inv.post("response", nil, bytes.NewBufferString(`"third"`))
	fmt.Printf("stale %d %d %d\n", first, again, other)
}

// garbage speaks no HTTP to the node.
func garbage(inv *invocation) {
	conn, err := dialAPI()
	if err != nil {
		inv.fail("Attacker.Dial", err.Error())
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	conn.Write([]byte(inv.event.Text))
	answer, _ := io.ReadAll(io.LimitReader(conn, 4096))
	inv.answer(map[string]int{"bytes": len(answer)})
}

var (
	arrived atomic.Int32
	gate    = make(chan struct{})
)

// barrier answers only when N invocations are here at once.
func barrier(inv *invocation) {
	meet(inv.event.N)
	inv.answer("together")
}

// together ends the program with status 3 when N invocations are here at once,
// none of them answered.
func together(inv *invocation) {
	meet(inv.event.N)
	os.Exit(3)
}

func meet(n int) {
	if arrived.Add(1) == int32(n) {
		close(gate)
	}
	<-gate
}

type findings struct {
	wire.Findings
	inherited []descriptor
}

// gained records something that should not have been possible.
func (f *findings) gained(format string, args ...any) {
	f.Gained = append(f.Gained, fmt.Sprintf(format, args...))
}

func (f *findings) refused(format string, args ...any) {
	f.Refused = append(f.Refused, fmt.Sprintf(format, args...))
}

func (f *findings) fact(name string, n int64) {
	if f.Facts == nil {
		f.Facts = map[string]int64{}
	}
	f.Facts[name] = n
}

// try records what came of one attempt: it should have failed.
func (f *findings) try(what string, err error) bool {
	if err == nil {
		f.gained("%s", what)
		return true
	}
	f.refused("%s: %v", what, err)
	return false
}
