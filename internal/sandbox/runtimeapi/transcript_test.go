package runtimeapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

// TestTranscripts plays the conversations in testdata/transcripts against a
// session. A line is one of
//
//	> text          the program sends text and CRLF
//	< text          the session answers text and CRLF; the first $name in a
//	                file stands for what is there, the later ones for the same
//	>. text  <. text  the same without CRLF, with Go's escapes \r and \n
//	accepted        the session answers 202 {"status":"OK"}
//	event $id text  the session answers an event with that invocation id
//	status 400 T    the session answers this status and errorType
//	closed          the session closes the connection
//	eof             the program closes its half of the connection
//	invoke ID text            somebody invokes
//	ok ID content-type text   the invocation's result ("-" is none)
//	error ID outcome type message [document]   or its error
//	init outcome type message  the session's InitError
//
// A name before the first word is that of a connection.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			p := &play{t: t, s: start(t, Options{Function: "f"}), names: map[string]string{}, conns: map[string]*client{}, invoked: map[string]<-chan outcome{}}
			n := 0
			for lines := bufio.NewScanner(f); lines.Scan() && !t.Failed(); {
				n++
				if line := lines.Text(); line != "" && line[0] != '#' {
					p.line(line)
				}
				if t.Failed() {
					t.Errorf("%s:%d: %s", file, n, lines.Text())
				}
			}
		})
	}
}

type play struct {
	t       *testing.T
	s       *Session
	names   map[string]string
	conns   map[string]*client
	invoked map[string]<-chan outcome
}

var nameUse = regexp.MustCompile(`\$[a-z]+`)

func (p *play) line(line string) {
	conn := "a"
	if m := regexp.MustCompile(`^([a-z])( |>|<)`).FindStringSubmatch(line); m != nil {
		conn = m[1]
		line = strings.TrimPrefix(line[1:], " ")
	}
	word, rest, _ := strings.Cut(line, " ")
	unescape := strings.NewReplacer(`\r`, "\r", `\n`, "\n").Replace
	switch word {
	case ">":
		p.conn(conn).send(p.known(rest) + "\r\n")
	case ">.":
		p.conn(conn).send(unescape(rest))
	case "<":
		p.expect(conn, rest+"\r\n")
	case "<.":
		p.expect(conn, unescape(rest))
	case "accepted":
		p.expect(conn, "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"status\":\"OK\"}\n")
	case "event":
		name, payload, _ := strings.Cut(rest, " ")
		m := p.conn(conn).read()
		p.names[name] = m.headers["Lambda-Runtime-Invocation-Id"]
		if m.status != "HTTP/1.1 200 OK" || m.body != payload {
			p.t.Errorf("got %v", m)
		}
	case "status":
		code, kind, _ := strings.Cut(rest, " ")
		m := p.conn(conn).read()
		var doc struct{ ErrorType, ErrorMessage string }
		if err := json.Unmarshal([]byte(m.body), &doc); err != nil || doc.ErrorType != kind || doc.ErrorMessage == "" || !strings.HasPrefix(m.status, "HTTP/1.1 "+code+" ") {
			p.t.Errorf("got %v", m)
		}
	case "closed":
		c := p.conn(conn)
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := c.in.Read(make([]byte, 100)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			p.t.Errorf("it is not closed: %d bytes, %v", n, err)
		}
	case "eof":
		p.conn(conn).Conn.(*net.TCPConn).CloseWrite()
	case "invoke":
		id, payload, _ := strings.Cut(rest, " ")
		ch := make(chan outcome, 1)
		p.invoked[id] = ch
		go func() {
			r, err := p.s.Invoke(p.t.Context(), &gust.Invocation{
				RequestID: id, Payload: []byte(payload), Deadline: far,
				ARN:           "arn:aws:lambda:us-east-1:000000000000:function:f",
				TraceID:       "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
				ClientContext: `{"custom":{"k":"v"}}`, CognitoIdentity: `{"cognitoIdentityId":"i","cognitoIdentityPoolId":"p"}`,
			})
			ch <- outcome{r, err}
		}()
	case "ok":
		id, rest, _ := strings.Cut(rest, " ")
		o := <-p.invoked[id]
		if o.err != nil {
			p.t.Error(o.err)
			return
		}
		kind := o.result.ContentType
		if kind == "" {
			kind = "-"
		}
		if got := strings.TrimSpace(kind + " " + string(o.result.Payload)); got != rest {
			p.t.Errorf("got %s", got)
		}
	case "error":
		id, rest, _ := strings.Cut(rest, " ")
		p.functionError((<-p.invoked[id]).err, rest)
	case "init":
		<-p.s.Ready()
		p.functionError(p.s.InitError(), rest)
	default:
		p.t.Errorf("unknown word %q", word)
	}
}

func (p *play) functionError(err error, want string) {
	var fe *gust.FunctionError
	if !errors.As(err, &fe) {
		p.t.Errorf("got %v", err)
		return
	}
	got := fmt.Sprintf("%s %s %s", fe.Outcome, fe.Type, fe.Message)
	if got != want && got+" "+string(fe.Document()) != want {
		p.t.Errorf("got %s %s", got, fe.Document())
	}
}

func (p *play) conn(name string) *client {
	if p.conns[name] == nil {
		p.conns[name] = connect(p.t, p.s)
	}
	return p.conns[name]
}

// known replaces the names that stand for something.
func (p *play) known(s string) string {
	return nameUse.ReplaceAllStringFunc(s, func(name string) string {
		if v, ok := p.names[name]; ok {
			return v
		}
		return name
	})
}

func (p *play) expect(conn, want string) {
	p.t.Helper()
	c := p.conn(conn)
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	want = p.known(want)
	if name := nameUse.FindString(want); name != "" {
		line, err := c.in.line(maxLine)
		before, after, _ := strings.Cut(strings.TrimSuffix(want, "\r\n"), name)
		if err != nil || !bytes.HasPrefix(line, []byte(before)) || !bytes.HasSuffix(line, []byte(after)) || len(line) != len(before)+len(after)+36 {
			p.t.Errorf("got %q, %v", line, err)
			return
		}
		p.names[name] = string(line[len(before) : len(before)+36])
		return
	}
	got := make([]byte, len(want))
	n, err := io.ReadFull(c.in, got)
	if err != nil || string(got) != want {
		rest := c.in.pending()
		p.t.Errorf("got %q %q, %v", got[:n], rest, err)
	}
}
