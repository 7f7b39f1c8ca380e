// Package awstest opens the door of the AWS APIs in a test's process: a directory
// of identities, a guard with its audit log, and the services on one port.
package awstest

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // as devices have it
	"encoding/base32"
	"encoding/binary"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/access/guard"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/access/oidc"
	"github.com/gust-dev/gust/internal/aws/iam"
	"github.com/gust-dev/gust/internal/aws/sts"
	"github.com/gust-dev/gust/internal/aws/wire"
	"github.com/gust-dev/gust/internal/store"
)

// Account is the node's.
const Account = "123456789012"

// Door is the door. Root is the bearer token of the root key.
type Door struct {
	*httptest.Server
	Directory *identity.Directory
	Log       *audit.Log
	Root      string
	t         testing.TB
}

// Open opens a door on a folder of its own, with functions as if they were
// declared, until the test ends.
func Open(t testing.TB, functions ...*gust.Function) *Door {
	t.Helper()
	s, err := store.Open(store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() }) //nolint:errcheck // the test is over
	place := gust.Place{Account: Account, Region: "us-east-1"}
	declared := map[string]*gust.Function{}
	for _, f := range functions {
		declared[f.Name] = f
	}
	root := &access.Key{ID: "AKIAROOTROOTROOTROOT", Secret: strings.Repeat("r00t", 10)}
	logger := slog.New(slog.DiscardHandler)
	d, err := identity.Open(t.Context(), s, identity.Options{
		Place: place, Seal: [32]byte{1}, Root: root, Logger: logger, Functions: func() map[string]*gust.Function { return declared },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() }) //nolint:errcheck // the test is over
	log, err := audit.Open(t.Context(), s, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() }) //nolint:errcheck // the test is over
	tokens := oidc.New(time.Now)
	h, err := wire.New(wire.Options{
		Guard:  guard.New(access.New(d, access.Options{}), d, log, logger),
		Logger: logger,
		Services: []*wire.Service{
			iam.New(iam.Options{Directory: d, Tokens: tokens, Place: place, Now: time.Now, Logger: logger}),
			sts.New(sts.Options{Directory: d, Tokens: tokens, Place: place, Logger: logger}),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return &Door{Server: server, Directory: d, Log: log, Root: root.ID + "." + root.Secret, t: t}
}

// Answer is what came of a call.
type Answer struct {
	Status        int
	Code, Message string // of an error
	Body          string
	texts         map[string][]string
}

// All are the texts of all elements of a name, in order.
func (a *Answer) All(name string) []string { return a.texts[name] }

// Text is that of the first element of a name.
func (a *Answer) Text(name string) string {
	if all := a.texts[name]; len(all) > 0 {
		return all[0]
	}
	return ""
}

// Is tells whether the call failed with a code, or with "" did not.
func (a *Answer) Is(code string) bool {
	return a.Code == code && (a.Status == http.StatusOK) == (code == "")
}

// Call makes a call of the query API as whose bearer token it is, "" for nobody.
// params are names and values in turn.
func (d *Door) Call(who, service, operation string, params ...string) *Answer {
	d.t.Helper()
	r, form := d.request(who, service, operation, params)
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(form)), int64(len(form))
	resp, err := d.Client().Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return answer(resp.StatusCode, body)
}

// Begin makes a call of which the body does not come before finish is called. It
// returns when the caller is let in.
func (d *Door) Begin(who, service, operation string, params ...string) (finish func() *Answer) {
	d.t.Helper()
	r, form := d.request(who, service, operation, params)
	body, sent := io.Pipe()
	r.Body, r.ContentLength, r.RemoteAddr = body, int64(len(form)), "127.0.0.1:1"
	w := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.Config.Handler.ServeHTTP(w, r)
		body.Close() //nolint:errcheck // nobody reads it any more
	}()
	if _, err := sent.Write([]byte(form[:1])); err != nil { // which is read of those who are let in
		d.t.Fatal(err)
	}
	return func() *Answer {
		_, _ = sent.Write([]byte(form[1:])) // the answer tells
		sent.Close()                        //nolint:errcheck // it has no error
		<-done
		return answer(w.Code, w.Body.Bytes())
	}
}

func (d *Door) request(who, service, operation string, params []string) (r *http.Request, form string) {
	d.t.Helper()
	version := map[string]string{"iam": "2010-05-08", "sts": "2011-06-15"}[service]
	values := url.Values{"Action": {operation}, "Version": {version}}
	for i := 0; i+1 < len(params); i += 2 {
		values.Set(params[i], params[i+1])
	}
	r, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, d.URL, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	r.Host = service + ".localhost"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if who != "" {
		r.Header.Set("Authorization", "Bearer "+who)
	}
	return r, values.Encode()
}

func answer(status int, body []byte) *Answer {
	a := &Answer{Status: status, Body: string(body), texts: map[string][]string{}}
	a.read()
	if status != http.StatusOK {
		a.Code, a.Message = a.Text("Code"), a.Text("Message")
	}
	return a
}

func (a *Answer) read() {
	var open []string
	text := ""
	for dec := xml.NewDecoder(strings.NewReader(a.Body)); ; {
		token, err := dec.Token()
		if err != nil {
			return
		}
		switch token := token.(type) {
		case xml.StartElement:
			open, text = append(open, token.Name.Local), ""
		case xml.CharData:
			text += string(token)
		case xml.EndElement:
			open = slices.Delete(open, len(open)-1, len(open))
			a.texts[token.Name.Local] = append(a.texts[token.Name.Local], text)
			text = ""
		}
	}
}

// Code is what a device with this seed shows, ago steps ago.
func (d *Door) Code(seed string, ago int64) string {
	d.t.Helper()
	key, err := base32.StdEncoding.DecodeString(seed)
	if err != nil {
		d.t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix()/30-ago)))
	sum := mac.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&(1<<31-1)%1e6)
}

// User makes a user with an inline policy, which may be empty, and a key, and
// returns the key's bearer token.
func (d *Door) User(name, policy string) string {
	d.t.Helper()
	if _, err := d.Directory.CreateUser(d.t.Context(), identity.NewEntity{Name: name}); err != nil {
		d.t.Fatal(err)
	}
	if policy != "" {
		if err := d.Directory.PutInline(d.t.Context(), identity.User(name), "own", policy); err != nil {
			d.t.Fatal(err)
		}
	}
	key, secret, err := d.Directory.CreateKey(d.t.Context(), name)
	if err != nil {
		d.t.Fatal(err)
	}
	return key.ID + "." + secret
}
