package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/access/identity"
)

// user makes a user of the real directory with a policy and a key.
func (f *fixture) user(t *testing.T, name, policy string) *access.Key {
	t.Helper()
	_, err := f.directory.CreateUser(t.Context(), identity.NewEntity{Name: name})
	if err == nil {
		err = f.directory.PutInline(t.Context(), identity.User(name), "own", policy)
	}
	if err != nil {
		t.Fatal(err)
	}
	k, secret, err := f.directory.CreateKey(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return &access.Key{ID: k.ID, Secret: secret}
}

const everythingOfGust = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "gust:*", "Resource": "*"}}`

// A request whose body comes slowly is carried out with the rights that there are
// when it has come.
func TestBodiesThatComeAfterTheRightIsGone(t *testing.T) {
	f := newFixture(t)
	door := f.door(f.directory, f.directory)
	zip := bootstrapZip(t)
	deploy, err := json.Marshal(&ApplyRequest{App: app("shop", f.upload(t), "api")})
	if err != nil {
		t.Fatal(err)
	}
	other := append(bytes.Clone(zip), 0)
	digest, _, err := gust.DigestOf(bytes.NewReader(other))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, taken := range []struct {
		what   string
		take   func(user string, key *access.Key) error
		status int
		result audit.Result
	}{
		{"nothing", func(string, *access.Key) error { return nil }, 0, audit.OK},
		{"the key", func(user string, key *access.Key) error { return f.directory.DeleteKey(t.Context(), user, key.ID) }, http.StatusUnauthorized, audit.Refused},
		{"the policy", func(user string, _ *access.Key) error {
			return f.directory.DeleteInline(t.Context(), identity.User(user), "own")
		}, http.StatusForbidden, audit.Denied},
	} {
		for _, call := range []struct {
			method, path string
			body         []byte
			status       int
			done         func() bool
		}{
			{"POST", "/v1/apps/shop/plan", deploy, http.StatusOK, nil},
			{"PUT", "/v1/apps/shop", deploy, http.StatusOK, func() bool { return f.catalog.Snapshot().Apps["shop"] != nil }},
			{"PUT", "/v1/artifacts/" + string(digest), other, http.StatusCreated, nil},
		} {
			n++
			user := fmt.Sprint("user", n)
			key := f.user(t, user, everythingOfGust)
			body, sent := io.Pipe()
			r := httptest.NewRequest(call.method, call.path, body)
			r.Header.Set("Authorization", "Bearer "+key.Token())
			w := httptest.NewRecorder()
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				door.ServeHTTP(w, r)
				body.Close()
			}()
			if _, err := sent.Write(call.body[:1]); err != nil { // it is read of who may
				t.Fatal(err)
			}
			if err := taken.take(user, key); err != nil {
				t.Fatal(err)
			}
			_, _ = sent.Write(call.body[1:]) // the answer tells
			sent.Close()
			<-answered
			want := taken.status
			if want == 0 {
				want = call.status
			}
			if w.Code != want || want != call.status && call.done != nil && call.done() {
				t.Errorf("%s %s without %s: %d %s", call.method, call.path, taken.what, w.Code, w.Body)
			}
			result, denials := audit.Result(""), 0
			for r, err := range f.audit.Read(t.Context(), audit.Filter{Principal: "*/" + user}) {
				if err != nil {
					t.Fatal(err)
				}
				result = r.Result // the last is the call's end
				if result == audit.Denied {
					denials++
					if r.Reason != "because no identity-based policy allows the "+r.Action+" action" {
						t.Errorf("%+v", r)
					}
				}
			}
			if result != taken.result || denials > 1 {
				t.Errorf("%s %s without %s is recorded as %q, with %d denials", call.method, call.path, taken.what, result, denials)
			}
		}
		if _, err := f.client.Remove(t.Context(), "shop"); err != nil && taken.status == 0 {
			t.Fatal(err)
		}
	}
}

// Who follows the logs is told that their key is valid no longer, and nothing
// more.
func TestFollowingEndsWithTheKey(t *testing.T) {
	f := newFixture(t)
	key := f.user(t, "spy", everythingOfGust)
	server := httptest.NewServer(f.door(f.directory, f.directory))
	t.Cleanup(server.Close)
	spy, err := NewClient(server.URL, key, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(spy.Close)
	if _, err := f.client.Apply(t.Context(), &ApplyRequest{App: app("shop", f.upload(t), "api")}); err != nil {
		t.Fatal(err)
	}
	stream := f.recorder.Stream(app("shop", "", "api").Functions["api"], "e1")
	defer stream.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	next, stop := iter.Pull2(spy.Logs(ctx, LogQuery{Follow: true}))
	defer stop()
	stream.Line([]byte("before"))
	if r, err, ok := next(); err != nil || !ok || r.Message != "before" {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := f.directory.DeleteKey(t.Context(), "spy", key.ID); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); ; {
		stream.Line([]byte("after"))
		r, err, ok := next()
		var refused *Error
		switch {
		case errors.As(err, &refused):
			if refused.Code != codeUnauthorized {
				t.Errorf("it ends with %+v", refused)
			}
			return
		case err != nil || !ok:
			t.Fatalf("it ends with %v", err)
		case time.Since(began) > 10*seenFor:
			t.Fatalf("%q is told %v after the key was deleted", r.Message, time.Since(began))
		}
	}
}
