package runtimeapi

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	gust "github.com/gust-dev/gust"
)

// The test binary is also the programs that benchmarks talk to, each in a
// process of its own, as a function is.
func TestMain(m *testing.M) {
	switch os.Getenv("PROGRAM") {
	case "bare":
		bare()
	case "aws-lambda-go":
		lambda.Start(func(_ context.Context, e map[string]string) (map[string]string, error) { return e, nil })
	default:
		os.Exit(m.Run())
	}
}

// bare answers every event with itself, doing as little as can be done.
func bare() {
	c, err := net.Dial("tcp", os.Getenv("AWS_LAMBDA_RUNTIME_API"))
	if err != nil {
		return
	}
	in := bufio.NewReader(c)
	read := func(b []byte) (string, []byte) {
		id, length := "", 0
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				os.Exit(0)
			}
			if len(line) == 2 {
				break
			}
			if v, ok := bytes.CutPrefix(line, []byte("Lambda-Runtime-Aws-Request-Id: ")); ok {
				id = string(bytes.TrimSpace(v))
			}
			if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				length, _ = strconv.Atoi(string(bytes.TrimSpace(v)))
			}
		}
		b = append(b[:0], make([]byte, length)...)
		io.ReadFull(in, b)
		return id, b
	}
	var body, out []byte
	for {
		io.WriteString(c, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: localhost\r\n\r\n")
		var id string
		id, body = read(body)
		out = fmt.Appendf(out[:0], "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", id, len(body))
		c.Write(append(out, body...))
		read(nil)
	}
}

// naive is the Runtime API as one writes it with net/http.
type naive struct {
	events  chan *gust.Invocation
	mu      sync.Mutex
	answers map[string]chan *gust.Result
}

func (n *naive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/2018-06-01/runtime/invocation/")
	if path == "next" {
		select {
		case inv := <-n.events:
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", inv.RequestID)
			w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.Deadline.UnixMilli(), 10))
			w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", inv.ARN)
			w.Header().Set("Lambda-Runtime-Trace-Id", inv.TraceID)
			w.Write(inv.Payload)
		case <-r.Context().Done():
		}
		return
	}
	body, _ := io.ReadAll(r.Body)
	n.mu.Lock()
	answer := n.answers[strings.TrimSuffix(path, "/response")]
	n.mu.Unlock()
	answer <- &gust.Result{Payload: body, ContentType: r.Header.Get("Content-Type")}
	w.WriteHeader(202)
	io.WriteString(w, `{"status":"OK"}`)
}

func (n *naive) Invoke(ctx context.Context, inv *gust.Invocation) (*gust.Result, error) {
	ctx, cancel := context.WithDeadline(ctx, inv.Deadline)
	defer cancel()
	answer := make(chan *gust.Result, 1)
	n.mu.Lock()
	n.answers[inv.RequestID] = answer
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		delete(n.answers, inv.RequestID)
		n.mu.Unlock()
	}()
	select {
	case n.events <- inv:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case r := <-answer:
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// processorTime is what this process has used, which is what the node's side
// costs, however busy the machine is.
func processorTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type invoker interface {
	Invoke(context.Context, *gust.Invocation) (*gust.Result, error)
}

// BenchmarkInvoke is one invocation after the other: with one program, and
// with eight, each with its own session, as eight callers have them.
func BenchmarkInvoke(b *testing.B) {
	servers := []struct {
		name  string
		serve func(testing.TB, net.Listener) invoker
	}{
		{"session", func(b testing.TB, ln net.Listener) invoker {
			s := New(ln, Options{})
			b.Cleanup(s.Close)
			return s
		}},
		{"net-http", func(b testing.TB, ln net.Listener) invoker {
			n := &naive{events: make(chan *gust.Invocation), answers: map[string]chan *gust.Result{}}
			srv := &http.Server{Handler: n}
			go srv.Serve(ln)
			b.Cleanup(func() { srv.Close() })
			return n
		}},
	}
	for _, program := range []string{"bare", "aws-lambda-go"} {
		for _, callers := range []int{1, 8} {
			for _, server := range servers {
				b.Run(fmt.Sprintf("%s/callers=%d/%s", program, callers, server.name), func(b *testing.B) {
					work := make([]func(), callers)
					for i := range work {
						lc := net.ListenConfig{KeepAlive: -1}
						ln, err := lc.Listen(b.Context(), "tcp", "127.0.0.1:0")
						if err != nil {
							b.Fatal(err)
						}
						inv := server.serve(b, ln)
						cmd := exec.Command(os.Args[0])
						cmd.Env = []string{"PROGRAM=" + program, "GOMAXPROCS=1", "AWS_LAMBDA_RUNTIME_API=" + ln.Addr().String()}
						if err := cmd.Start(); err != nil {
							b.Fatal(err)
						}
						b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
						event := &gust.Invocation{
							RequestID: "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
							Payload:   []byte(`{"key1":"value1","key2":"value2"}`),
							ARN:       "arn:aws:lambda:us-east-1:000000000000:function:hello",
							TraceID:   "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
						}
						work[i] = func() {
							event.Deadline = time.Now().Add(10 * time.Second)
							r, err := inv.Invoke(context.Background(), event)
							if err != nil || !bytes.Equal(r.Payload, event.Payload) {
								b.Errorf("got %v, %v", r, err)
							}
						}
						work[i]()
					}
					b.ReportAllocs()
					b.ResetTimer()
					before := processorTime()
					var all sync.WaitGroup
					for i, do := range work {
						all.Go(func() {
							for n := i; n < b.N; n += callers {
								do()
							}
						})
					}
					all.Wait()
					b.ReportMetric(float64(processorTime()-before)/float64(b.N), "cpu-ns/op")
				})
			}
		}
	}
}
