package node_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// memory is what a node has in memory, in bytes.
func (p *process) memory() int64 {
	p.h.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.h.t.Skip("only Linux tells what a process has in memory")
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		p.h.t.Fatalf("no VmRSS in:\n%s", status)
	}
	kb, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		p.h.t.Fatal(err)
	}
	return kb << 10
}

// Who knows the ID of a key and not its secret sends large bodies on many
// connections, and the last byte of none: the node holds a bounded part of them,
// tells the others so, and serves who is known meanwhile.
func TestManyBodiesOfWhoProvesNothing(t *testing.T) {
	const size, most = 8 << 20, 160
	h := newHouse(t)
	n := h.start()
	h.deploy("app: shop\nfunctions:\n  f: {runtime: provided, source: ./f}\n")
	n.invoke("f", "{}")
	before := n.memory()
	head := fmt.Sprintf("POST /2015-03-31/functions/f/invocations HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nX-Amz-Date: 20260101T000000Z\r\n"+
		"Authorization: AWS4-HMAC-SHA256 Credential=%s/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host;x-amz-date, Signature=%s\r\n\r\n",
		size, n.key.ID, strings.Repeat("0", 64))
	body := bytes.Repeat([]byte{'x'}, size-1)
	send := func() (net.Conn, bool) {
		conn, err := net.Dial("tcp", n.api)
		if err != nil {
			t.Error(err)
			return nil, false
		}
		_, err = io.WriteString(conn, head)
		if err == nil {
			_, err = conn.Write(body)
		}
		return conn, err == nil
	}
	var mu sync.Mutex
	var refused []string // the answers
	var open []net.Conn
	var sending, reading sync.WaitGroup
	answered := make(chan struct{}, most)
	for range most {
		sending.Go(func() {
			conn, _ := send() // some are answered before it is all sent
			if conn == nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			reading.Go(func() {
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil { // closed at the end of the test, or before the answer could be read
					return
				}
				text, err := io.ReadAll(resp.Body)
				mu.Lock()
				refused = append(refused, fmt.Sprintf("%d %s %s %v", resp.StatusCode, resp.Header.Get("Retry-After"), text, err))
				mu.Unlock()
				answered <- struct{}{}
			})
		})
	}
	sending.Wait()
	defer reading.Wait()
	closeAll := sync.OnceFunc(func() {
		for _, conn := range open {
			conn.Close()
		}
	})
	defer closeAll()
	select {
	case <-answered:
	case <-time.After(patience):
		t.Fatal("all bodies are taken")
	}
	mu.Lock()
	limit := regexp.MustCompile(`^429 1 .*signature is not verified yet, is (\d+) bytes together`).FindStringSubmatch(refused[0])
	mu.Unlock()
	if limit == nil {
		t.Fatalf("a body is refused with %s", refused[0])
	}
	bytesOf, err := strconv.ParseInt(limit[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	// What is held, and several times as much that was and waits for the garbage
	// collector.
	if grown := n.memory() - before; grown > most*size/2 {
		t.Errorf("%d bytes were sent, %d may be held, and the node has grown by %d", most*size, bytesOf, grown)
	} else {
		t.Logf("%d MB were sent, %d MB may be held, and the node has grown by %d MB", most*size>>20, bytesOf>>20, grown>>20)
	}
	for what, event := range map[string]string{"small": "{}", "large": `{"say": "` + strings.Repeat("x", 3<<20) + `"}`} {
		if r := n.invoke("f", event); r.status != http.StatusOK {
			t.Errorf("a %s event of who is known: %d %s %v", what, r.status, r.body, r.err)
		}
	}
	closeAll()
	until(t, "a body is taken again, and found to be signed by nobody", func() bool {
		conn, all := send()
		if conn == nil {
			return false
		}
		defer conn.Close()
		if !all {
			return false
		}
		if _, err := io.WriteString(conn, "x"); err != nil {
			return false
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		return err == nil && resp.StatusCode == http.StatusForbidden
	})
	n.stop()
}
