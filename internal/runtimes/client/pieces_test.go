package client_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// A reply may come in any pieces, two may come at once, and the server may end
// the connection with an answer: the next event is then asked for on another.
func TestRepliesInPieces(t *testing.T) {
	for _, test := range []struct {
		language
		handler string
	}{{node, "index.handler"}, {python, "app.handler"}} {
		t.Run(test.program, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			ln.(*net.TCPListener).SetDeadline(deadline())
			p, cmd := prepare(t, test.language, test.handler, 1)
			cmd.Env = p.environ([]string{"AWS_LAMBDA_RUNTIME_API=" + ln.Addr().String()})
			p.run(cmd)

			event := func(value string) string {
				body := fmt.Sprintf(`{"do":"echo","value":%q}`, value)
				return fmt.Sprintf("HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: id\r\nLambda-Runtime-Deadline-Ms: %d\r\nContent-Length: %d\r\n\r\n%s",
					time.Now().Add(patience).UnixMilli(), len(body), body)
			}
			const accepted = "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n"
			accept := func() (net.Conn, func(path string) string) {
				conn, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				conn.SetDeadline(deadline())
				in := bufio.NewReader(conn)
				return conn, func(path string) string {
					t.Helper()
					request, err := http.ReadRequest(in)
					if err != nil {
						t.Fatal(err)
					}
					body, err := io.ReadAll(request.Body)
					if err != nil || request.URL.Path != "/2018-06-01/runtime/invocation/"+path {
						t.Fatalf("%s, want %s (%v)", request.URL.Path, path, err)
					}
					return string(body)
				}
			}
			conn, want := accept()
			want("next")
			for _, b := range []byte(event("ü in pieces")) {
				conn.Write([]byte{b})
			}
			if got := want("id/response"); got != `"ü in pieces"` && got != `"\u00fc in pieces"` {
				t.Errorf("%s", got)
			}
			want("next")
			io.WriteString(conn, accepted+"\r\nOK"+event("two at once"))
			if got := want("id/response"); got != `"two at once"` {
				t.Errorf("%s", got)
			}
			io.WriteString(conn, accepted+"Connection: close\r\n\r\nOK")
			conn.Close()
			conn, want = accept()
			want("next")
			io.WriteString(conn, event("again"))
			if got := want("id/response"); got != `"again"` {
				t.Errorf("%s", got)
			}
			// What is no HTTP ends it, with a word.
			want("next")
			io.WriteString(conn, accepted+"\r\nOKnonsense\r\n\r\n")
			p.ends(1)
			if line := p.line(); line != "the Runtime API answered what it should not: nonsense" {
				t.Errorf("%q", line)
			}
			conn.Close()
		})
	}
}
