package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// caller is one HTTP/1.1 client connection that costs as little as it can, so
// that what is measured is the server.
type caller struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte
}

func dial(addr, path string) (*caller, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &caller{conn: conn, in: bufio.NewReader(conn), request: fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, addr)}, nil
}

// call sends the request and reads the answer; any status but 200 is an error.
func (c *caller) call() error {
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	status, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	ok := bytes.HasPrefix(status, []byte("HTTP/1.1 200"))
	message := string(bytes.TrimSpace(status))
	length := 0
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if !ok {
		body := make([]byte, min(length, 512))
		_, _ = io.ReadFull(c.in, body)
		return fmt.Errorf("%s: %s", message, body)
	}
	_, err = c.in.Discard(length)
	return err
}

// sample is what a load measured.
type sample struct {
	rate     float64 // answers a second
	latency  []time.Duration
	p50, p99 time.Duration
}

func (s *sample) sum() {
	slices.Sort(s.latency)
	s.p50, s.p99 = quantile(s.latency, 0.5), quantile(s.latency, 0.99)
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// load calls addr with n callers for d, each as fast as it is answered.
func load(addr, path string, n int, d time.Duration) (sample, error) {
	var mu sync.Mutex
	var all sample
	var errs []error
	var wg sync.WaitGroup
	start := time.Now()
	for range n {
		wg.Go(func() {
			var latency []time.Duration
			err := func() error {
				c, err := dial(addr, path)
				if err != nil {
					return err
				}
				defer c.conn.Close()
				for time.Since(start) < d {
					t := time.Now()
					if err := c.call(); err != nil {
						return err
					}
					latency = append(latency, time.Since(t))
				}
				return nil
			}()
			mu.Lock()
			defer mu.Unlock()
			all.latency = append(all.latency, latency...)
			if err != nil {
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	all.rate = float64(len(all.latency)) / time.Since(start).Seconds()
	all.sum()
	return all, errors.Join(errs...)
}

// once times one call on a connection of its own.
func once(addr, path string) (time.Duration, error) {
	c, err := dial(addr, path)
	if err != nil {
		return 0, err
	}
	defer c.conn.Close()
	t := time.Now()
	err = c.call()
	return time.Since(t), err
}
