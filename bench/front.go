package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// front is the least that users' requests can reach a Lambda function with: a
// net/http handler that gives each request, always as the same event, to a
// function process that waits, and its answer back. Nothing is routed, admitted,
// isolated, timed, logged or counted. It runs as a process of its own, as the
// node does.
type front struct {
	idle chan *worker
}

// worker is one function process on its own connection.
type worker struct {
	conn     net.Conn
	answered chan []byte
}

// runFront serves n copies of the program and says where on standard output.
func runFront(program string, n int) error {
	f := &front{idle: make(chan *worker, n)}
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				go f.serve(&worker{conn: conn, answered: make(chan []byte, 1)})
			}
		}()
		cmd := exec.Command(program)
		cmd.Env = append(os.Environ(), "AWS_LAMBDA_RUNTIME_API="+ln.Addr().String(), "_HANDLER=bootstrap", "GOMAXPROCS=1")
		cmd.SysProcAttr = diesWithParent()
		if err := cmd.Start(); err != nil {
			return err
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	return http.Serve(ln, f)
}

func (f *front) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	worker := <-f.idle
	if _, err := worker.conn.Write(nextAnswer()); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	body := <-worker.answered
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// serve reads a worker's polls and answers.
func (f *front) serve(w *worker) {
	defer w.conn.Close()
	in := bufio.NewReader(w.conn)
	for {
		get, length, chunked, err := readHead(in)
		if err != nil {
			return
		}
		if get {
			f.idle <- w
			continue
		}
		body, err := readBody(in, length, chunked)
		if err != nil {
			return
		}
		w.answered <- body
		if _, err := io.WriteString(w.conn, accepted); err != nil {
			return
		}
	}
}

// readHead reads a request's line and headers.
func readHead(in *bufio.Reader) (get bool, length int, chunked bool, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return false, 0, false, err
	}
	get = bytes.HasPrefix(line, []byte("GET "))
	for {
		if line, err = in.ReadSlice('\n'); err != nil {
			return false, 0, false, err
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			return get, length, chunked, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return false, 0, false, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
}

// readBody reads a body without trailers.
func readBody(in *bufio.Reader, length int, chunked bool) ([]byte, error) {
	if !chunked {
		body := make([]byte, length)
		_, err := io.ReadFull(in, body)
		return body, err
	}
	var body []byte
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return nil, err
		}
		chunk := make([]byte, size+2)
		if _, err := io.ReadFull(in, chunk); err != nil {
			return nil, err
		}
		if size == 0 {
			return body, nil
		}
		body = append(body, chunk[:size]...)
	}
}

// startFront starts a front as a process and returns where it listens.
func startFront(program string, n int) (addr string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.Command(self, "-front", program, "-fronts", strconv.Itoa(n))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("the front did not start: %w", err)
	}
	return strings.TrimSpace(line), stop, nil
}
