package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

// event is what the bare responder hands out: what the gateway makes of the
// load's request.
const event = `{"version":"2.0","routeKey":"GET /warm","rawPath":"/warm","rawQueryString":"","headers":{"host":"127.0.0.1:8080"},` +
	`"requestContext":{"accountId":"000000000000","apiId":"gust","domainName":"127.0.0.1:8080","domainPrefix":"127","http":{"method":"GET","path":"/warm",` +
	`"protocol":"HTTP/1.1","sourceIp":"127.0.0.1","userAgent":""},"requestId":"8c4a1f4e-6c1d-4c55-9a53-0b2f0b0f0b0f","routeKey":"GET /warm",` +
	`"stage":"$default","time":"01/Jan/2030:00:00:00 +0000","timeEpoch":1893456000000},"isBase64Encoded":false}`

// nextAnswer is the answer to a poll for the next event.
func nextAnswer() []byte {
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: 8c4a1f4e-6c1d-4c55-9a53-0b2f0b0f0b0f\r\n"+
		"Lambda-Runtime-Deadline-Ms: %d\r\nLambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:000000000000:function:warm\r\n"+
		"Content-Length: %d\r\n\r\n%s", time.Now().Add(time.Hour).UnixMilli(), len(event), event)
}

// accepted is the answer to a function's response.
const accepted = "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"status\":\"OK\"}\n"

// responder is the least that a Lambda function can be run with: each next is
// answered at once with the same event, and each response is thrown away.
// Nothing is routed, admitted, isolated, timed, logged or counted.
type responder struct {
	ln       net.Listener
	cmd      *exec.Cmd
	answered atomic.Int64
	first    chan struct{} // closed at the first response
	once     sync.Once
}

// startResponder runs the function program with a responder of its own.
func startResponder(program string) (*responder, error) {
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), "_HANDLER=bootstrap", "GOMAXPROCS=1")
	return respond(cmd)
}

// respond runs a function with a responder of its own.
func respond(cmd *exec.Cmd) (*responder, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &responder{ln: ln, cmd: cmd, first: make(chan struct{})}
	go func() { // ends with the listener
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go r.serve(conn)
		}
	}()
	r.cmd.Env = append(r.cmd.Env, "AWS_LAMBDA_RUNTIME_API="+ln.Addr().String())
	r.cmd.Stderr = os.Stderr
	if err := r.cmd.Start(); err != nil {
		ln.Close()
		return nil, err
	}
	return r, nil
}

func (r *responder) stop() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	r.ln.Close()
}

func (r *responder) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	next := nextAnswer()
	for {
		get, length, chunked, err := readHead(in)
		if err != nil {
			return
		}
		if _, err := readBody(in, length, chunked); err != nil {
			return
		}
		answer := next
		if !get {
			answer = []byte(accepted)
			r.answered.Add(1)
			r.once.Do(func() { close(r.first) })
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

// bareRate is how many events a second n functions answer on bare responders.
func bareRate(program string, n int, d time.Duration) (float64, error) {
	var all []*responder
	defer func() {
		for _, r := range all {
			r.stop()
		}
	}()
	for range n {
		r, err := startResponder(program)
		if err != nil {
			return 0, err
		}
		all = append(all, r)
	}
	for _, r := range all {
		<-r.first
	}
	count := func() (sum int64) {
		for _, r := range all {
			sum += r.answered.Load()
		}
		return sum
	}
	before, start := count(), time.Now()
	time.Sleep(d)
	return float64(count()-before) / time.Since(start).Seconds(), nil
}

// bareCold is the time from the start of a bare process to its first answer.
func bareCold(program string) (time.Duration, error) {
	start := time.Now()
	r, err := startResponder(program)
	if err != nil {
		return 0, err
	}
	<-r.first
	d := time.Since(start)
	r.stop()
	return d, nil
}
