package api

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/access/guard"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/invoke"
	"github.com/gust-dev/gust/internal/logfile"
	"github.com/gust-dev/gust/internal/observe"
	"github.com/gust-dev/gust/internal/runtimes"
	"github.com/gust-dev/gust/internal/store"
)

// fixture is the API over a real store, catalog and log.
type fixture struct {
	store     *store.Store
	catalog   *catalog.Catalog
	recorder  *observe.Recorder
	options   Options
	handler   http.Handler
	client    *Client
	audit     *audit.Log
	directory *identity.Directory
	keys      *testKeys
	drain     context.CancelFunc
	forgot    int
	failed    error // of forgetting
	envs      []invoke.Environment
	warm      func(string) (*invoke.WarmUp, error)
	replaced  string // the function whose environments were
	as        func(user string) *Client
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(store.WriteFormat(dir))
	s, err := store.Open(store.Options{Dir: dir, Durability: "always"})
	must(err)
	t.Cleanup(func() { must(s.Close()) })
	log, err := logfile.Open(logfile.Options{Dir: filepath.Join(dir, "logs")})
	must(err)
	t.Cleanup(func() { must(log.Close()) })
	recorder := observe.New(observe.Options{Log: log})
	t.Cleanup(func() { must(recorder.Close()) })
	c, err := catalog.Open(t.Context(), s, catalog.Options{})
	must(err)
	t.Cleanup(func() { must(c.Close()) })

	library, err := runtimes.Open(runtimes.Options{Dir: filepath.Join(dir, "roots"), Path: t.TempDir()})
	must(err)
	t.Cleanup(func() { must(library.Close()) })

	draining, drain := context.WithCancel(context.Background())
	t.Cleanup(drain)
	log2, err := audit.Open(t.Context(), s, audit.Options{})
	must(err)
	t.Cleanup(func() { must(log2.Close()) })
	directory, err := identity.Open(t.Context(), s, identity.Options{Place: gust.DefaultPlace, Root: &access.Key{ID: "AKIAROOT", Secret: "secret"}})
	must(err)
	t.Cleanup(func() { must(directory.Close()) })
	f := &fixture{directory: directory, store: s, catalog: c, recorder: recorder, audit: log2, keys: newTestKeys(), drain: drain}
	f.options = Options{
		Catalog: c, Runtimes: library, Store: s, Recorder: recorder, Audit: log2, Directory: directory, Place: gust.DefaultPlace,
		Environments: func() []invoke.Environment { return f.envs },
		Warm:         func(_ context.Context, function string) (*invoke.WarmUp, error) { return f.warm(function) },
		Replace:      func(function string) { f.replaced = function },
		Status:       func() Status { return Status{State: "ready", Sandbox: "none"} },
		Forget:       func(context.Context) error { f.forgot++; return f.failed },
		Build:        BuildOf("1.2.3", "abc"),
		Draining:     draining,
	}
	f.handler = f.door(f.keys, f.keys)
	server := httptest.NewServer(f.handler)
	t.Cleanup(server.Close)
	f.as = func(name string) *Client {
		c, err := NewClient(server.URL, f.keys.key(name), "")
		must(err)
		t.Cleanup(c.Close)
		return c
	}
	f.client = f.as("root")
	return f
}

// door is the API behind a guard that knows the keys that keys has, and asks dir
// what they may.
func (f *fixture) door(keys access.Keys, dir guard.Directory) http.Handler {
	return guard.New(access.New(keys, access.Options{}), dir, f.audit, nil).Require(func(w http.ResponseWriter, _ *http.Request, _ error) {
		w.WriteHeader(http.StatusUnauthorized)
	}, New(f.options))
}

// bootstrapZip is a zip with a bootstrap for this machine: the start of the test's
// own program is enough of one.
func bootstrapZip(t testing.TB) []byte {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	header := &zip.FileHeader{Name: "bootstrap", Method: zip.Store}
	header.SetMode(0o755)
	w, err := z.CreateHeader(header)
	if err == nil {
		_, err = io.CopyN(w, f, 64<<10)
	}
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (f *fixture) upload(t testing.TB) gust.Digest {
	t.Helper()
	data := bootstrapZip(t)
	digest, size, err := gust.DigestOf(bytes.NewReader(data))
	if err == nil {
		err = f.client.PutArtifact(t.Context(), digest, bytes.NewReader(data), size)
	}
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// app declares functions of one app, each with a route.
func app(name string, digest gust.Digest, functions ...string) *gust.App {
	a := &gust.App{Name: name, Functions: make(map[string]*gust.Function)}
	for _, f := range functions {
		a.Functions[f] = &gust.Function{
			Name: f, App: name, Runtime: gust.RuntimeProvided, Artifact: digest,
			Memory: gust.DefaultMemory, Timeout: gust.DefaultTimeout, Ephemeral: gust.DefaultEphemeral,
			CPU: gust.CPUShared, Network: gust.Network{Mode: gust.NetworkNone}, Idle: gust.DefaultIdle,
		}
		a.Routes = append(a.Routes, gust.Route{App: name, Method: "GET", Path: "/" + f, Function: f})
	}
	return a
}

func (f *fixture) do(method, path, body string) *httptest.ResponseRecorder {
	return f.doAs("root", method, path, body)
}

func (f *fixture) doAs(user, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+f.keys.key(user).Token())
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w
}

// TestUnknownParameter: every route refuses a query parameter that it does not
// know, so that a misspelt one is not taken for one that was left out.
func TestUnknownParameter(t *testing.T) {
	f := newFixture(t)
	for _, r := range routes {
		path := strings.NewReplacer("{app}", "shop", "{name}", "api", "{sha256}", strings.Repeat("0", 64)).Replace(r.path)
		body := map[string]string{"/v1/explain": `{"principal":"root","action":"lambda:InvokeFunction","resource":"*"}`}[r.path]
		w := f.do(r.method, path+"?colour=red", body)
		if w.Code != http.StatusBadRequest || r.method != "HEAD" && !strings.Contains(w.Body.String(), `has no parameter \"colour\"`) {
			t.Errorf("%s %s: %d %s", r.method, path, w.Code, w.Body)
		}
	}
}

func TestRefusals(t *testing.T) {
	f := newFixture(t)
	digest := strings.Repeat("a", 64)
	tests := []struct {
		method, path, body string
		status             int
		code, says         string
	}{
		{"GET", "/v1/nothing", "", 404, "no_route", "/v1/nothing"},
		{"GET", "/v1/apps/x", "", 405, "method_not_allowed", "DELETE, PUT"},
		{"POST", "/v1/status", "", 405, "method_not_allowed", "GET, HEAD"},
		{"GET", "/v1/artifacts/" + digest, "", 405, "method_not_allowed", "HEAD, PUT"},
		{"GET", "/v1/status?verbose=1", "", 400, "bad_request", `"verbose"; it has none`},
		{"GET", "/v1/functions?name=x", "", 400, "bad_request", "it has: app"},
		{"GET", "/v1/environments?app=x&app=y", "", 400, "bad_request", "twice"},
		{"GET", "/v1/functions?a+b=x%20y", "", 400, "bad_request", `no parameter "a+b"`},
		{"GET", "/v1/functions?app=%zz", "", 400, "bad_request", `"app=%zz" is wrong`},

		{"PUT", "/v1/apps/x", "", 400, "bad_request", "no body"},
		{"PUT", "/v1/apps/x", "{", 400, "bad_request", "unexpected EOF"},
		{"PUT", "/v1/apps/x", "[]", 400, "bad_request", "cannot unmarshal array"},
		{"PUT", "/v1/apps/x", "{}", 400, "bad_request", `no "app"`},
		{"PUT", "/v1/apps/x", `{"app":{"name":"x"}} {}`, 400, "bad_request", "follows"},
		{"PUT", "/v1/apps/x", `{"app":{"name":"x","color":"red"}}`, 400, "bad_request", `unknown field "color"`},
		{"PUT", "/v1/apps/x", `{"app":{"name":"y"}}`, 400, "bad_request", `"y"`},
		{"PUT", "/v1/apps/x", `{"app":{"name":"x","functions":{"f":null}}}`, 400, "bad_request", `"f" is null`},
		{"PUT", "/v1/apps/x", `{"app":{"name":"x","functions":{"f":{"name":"f","app":"x"}}}}`, 422, "invalid", ""},
		{"PUT", "/v1/apps/x", `{"app":"` + strings.Repeat("x", MaxDocument) + `"}`, 413, "too_large", "32 MB"},
		{"POST", "/v1/apps/x/plan", `{"app":{"name":"x"},"expect":1}`, 400, "bad_request", `"expect"`},
		{"DELETE", "/v1/apps/x", "", 404, "not_found", "x"},

		{"HEAD", "/v1/artifacts/" + digest, "", 404, "not_found", digest},
		{"PUT", "/v1/artifacts/abc", "", 400, "bad_request", "64 lower-case hexadecimal"},
		{"PUT", "/v1/artifacts/" + strings.ToUpper(digest), "", 400, "bad_request", "64 lower-case hexadecimal"},
		{"PUT", "/v1/artifacts/" + digest, "something else", 422, "invalid", "SHA-256"},

		{"GET", "/v1/logs?since=yesterday", "", 400, "bad_request", "5m"},
		{"GET", "/v1/logs?since=-5m", "", 400, "bad_request", "future"},
		{"GET", "/v1/logs?follow=maybe", "", 400, "bad_request", "true or false"},
		{"GET", "/v1/logs?limit=0", "", 400, "bad_request", "1 to 1000000"},
		{"GET", "/v1/logs?tail=5", "", 400, "bad_request", `"tail"`},
		{"POST", "/v1/backup?to=/etc", "", 400, "bad_request", `"to"`},
	}
	for _, tt := range tests {
		w := f.do(tt.method, tt.path, tt.body)
		var got struct{ Error Error }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Errorf("%s %s: the answer %q is not JSON: %v", tt.method, tt.path, w.Body, err)
			continue
		}
		if w.Code != tt.status || got.Error.Code != tt.code || !strings.Contains(got.Error.Message, tt.says) {
			t.Errorf("%s %s %.60s: %d %s %q; want %d %s and %q", tt.method, tt.path, tt.body, w.Code, got.Error.Code, got.Error.Message, tt.status, tt.code, tt.says)
		}
		if id := w.Header().Get(HeaderRequestID); id == "" || id != got.Error.RequestID {
			t.Errorf("%s %s: request id %q in the header, %q in the error", tt.method, tt.path, id, got.Error.RequestID)
		}
	}
	if apps := f.catalog.Snapshot().Apps; len(apps) != 0 {
		t.Errorf("refused requests left apps: %v", apps)
	}
	if blobs, err := f.store.Blobs().List(); err != nil || len(blobs) != 0 {
		t.Errorf("refused requests left artifacts: %v, %v", blobs, err)
	}
}

func TestDeploying(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()

	// An app whose artifact is not there is refused, and says which.
	data := bootstrapZip(t)
	digest, _, _ := gust.DigestOf(bytes.NewReader(data))
	a := app("shop", digest, "api", "worker")
	var refused *Error
	if _, err := f.client.Apply(ctx, &ApplyRequest{App: a}); !errors.As(err, &refused) || refused.Code != "artifact_missing" || len(refused.Details) != 1 || refused.Details[0] != string(digest) {
		t.Fatalf("applying without the artifact: %#v", err)
	}
	if has, err := f.client.HasArtifact(ctx, digest); has || err != nil {
		t.Fatalf("HasArtifact before the upload: %v, %v", has, err)
	}
	f.upload(t)
	if has, err := f.client.HasArtifact(ctx, digest); !has || err != nil {
		t.Fatalf("HasArtifact after the upload: %v, %v", has, err)
	}

	plan, err := f.client.Plan(ctx, a, nil)
	if err != nil || len(plan.Changes) != 5 {
		t.Fatalf("plan: %+v, %v; want 5 changes: the app, 2 functions, 2 routes", plan, err)
	}
	if got := f.catalog.Snapshot(); len(got.Apps) != 0 {
		t.Fatal("planning changed something")
	}
	applied, err := f.client.Apply(ctx, &ApplyRequest{App: a})
	if err != nil || len(applied.Changes) != 5 {
		t.Fatalf("apply: %+v, %v; want 5 changes", applied, err)
	}
	again, err := f.client.Apply(ctx, &ApplyRequest{App: a})
	if err != nil || len(again.Changes) != 0 || again.Revision != applied.Revision {
		t.Fatalf("the same again: %+v, %v; want no change at revision %d", again, err, applied.Revision)
	}

	apps, revision, err := f.client.Apps(ctx)
	if err != nil || len(apps) != 1 || apps[0].Name != "shop" || len(apps[0].Functions) != 2 || len(apps[0].Routes) != 2 || revision != applied.Revision {
		t.Errorf("Apps() = %+v, %d, %v", apps, revision, err)
	}
	functions, err := f.client.Functions(ctx, "shop")
	if err != nil || len(functions) != 2 || functions[0].Name != "api" || functions[0].Version != 1 || functions[0].Modified.IsZero() {
		t.Errorf("Functions(shop) = %+v, %v", functions, err)
	}
	if functions, err := f.client.Functions(ctx, "other"); err != nil || len(functions) != 0 {
		t.Errorf("Functions(other) = %+v, %v", functions, err)
	}
	status, err := f.client.Status(ctx)
	if err != nil || status.Apps != 1 || status.Functions != 2 || status.Revision != revision || status.Build.Version != "1.2.3" || status.Warnings == nil {
		t.Errorf("Status() = %+v, %v", status, err)
	}

	// A revision that is not the expected one, and another app's names.
	expect := revision - 1
	a.Functions["api"].Memory *= 2
	if _, err := f.client.Apply(ctx, &ApplyRequest{App: a, Expect: &expect}); !errors.Is(err, gust.ErrConflict) {
		t.Errorf("applying on another revision: %v, want a conflict", err)
	}
	thief := app("thief", digest, "api")
	if _, err := f.client.Apply(ctx, &ApplyRequest{App: thief}); !errors.Is(err, gust.ErrConflict) || !strings.Contains(err.Error(), "shop") {
		t.Errorf("taking another app's function: %v, want a conflict that names its owner", err)
	}

	removed, err := f.client.Remove(ctx, "shop")
	if err != nil || len(removed.Changes) != 5 {
		t.Errorf("Remove() = %+v, %v", removed, err)
	}
	if _, err := f.client.Remove(ctx, "shop"); !errors.Is(err, gust.ErrNotFound) {
		t.Errorf("removing it again: %v, want not found", err)
	}
}

func TestUnusableArtifactIsRefusedBeforeAnythingChanges(t *testing.T) {
	f := newFixture(t)
	data := []byte("this is no zip")
	digest, size, _ := gust.DigestOf(bytes.NewReader(data))
	if err := f.client.PutArtifact(t.Context(), digest, bytes.NewReader(data), size); err != nil {
		t.Fatal(err)
	}
	_, err := f.client.Apply(t.Context(), &ApplyRequest{App: app("shop", digest, "api")})
	if !errors.Is(err, gust.ErrInvalid) || !strings.Contains(err.Error(), "api") {
		t.Errorf("applying it: %v, want one that is invalid and names the function", err)
	}
	if n := len(f.catalog.Snapshot().Apps); n != 0 {
		t.Errorf("there are %d apps", n)
	}
}

func TestLayersAreAskedForAndLookedInto(t *testing.T) {
	f := newFixture(t)
	digest := f.upload(t)
	layer := func(name, body string) ([]byte, gust.Digest) {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		w, err := z.Create(name)
		if err == nil {
			_, err = io.WriteString(w, body)
		}
		if err = errors.Join(err, z.Close()); err != nil {
			t.Fatal(err)
		}
		d, _, _ := gust.DigestOf(bytes.NewReader(b.Bytes()))
		return b.Bytes(), d
	}
	good, shared := layer("bin/tool", "x")
	bad, damaged := layer("nodejs/x.node", "MZ")
	a := app("shop", digest, "api", "worker")
	with := func(d gust.Digest) {
		for _, fn := range a.Functions {
			fn.Layers = []gust.Layer{{Name: "shared", Artifact: d}}
		}
	}

	with(shared)
	var refused *Error
	if _, err := f.client.Apply(t.Context(), &ApplyRequest{App: a}); !errors.As(err, &refused) || refused.Code != CodeArtifactMissing || !slices.Equal(refused.Details, []string{string(shared)}) {
		t.Errorf("without the layer: %#v", err)
	}
	for d, data := range map[gust.Digest][]byte{shared: good, damaged: bad} {
		if err := f.client.PutArtifact(t.Context(), d, bytes.NewReader(data), int64(len(data))); err != nil {
			t.Fatal(err)
		}
	}
	with(damaged)
	if _, err := f.client.Apply(t.Context(), &ApplyRequest{App: a}); !errors.Is(err, gust.ErrInvalid) || strings.Count(err.Error(), "layer shared: \"nodejs/x.node\" is a library for Windows") != 1 {
		t.Errorf("a layer that cannot be loaded: %v", err)
	}
	with(shared)
	if _, err := f.client.Apply(t.Context(), &ApplyRequest{App: a}); err != nil {
		t.Fatal(err)
	}
	if !f.catalog.Snapshot().HasArtifact(shared) {
		t.Error("the layer would be swept")
	}
}

func TestUploadThatBreaksOffLeavesNothing(t *testing.T) {
	f := newFixture(t)
	data := bootstrapZip(t)
	digest, size, _ := gust.DigestOf(bytes.NewReader(data))
	if err := f.client.PutArtifact(t.Context(), digest, broken(data[:100]), size); err == nil {
		t.Fatal("no error")
	}
	if has, err := f.client.HasArtifact(t.Context(), digest); has || err != nil {
		t.Errorf("HasArtifact() = %v, %v", has, err)
	}
	r := httptest.NewRequest("PUT", "/v1/artifacts/"+string(digest), bytes.NewReader(data))
	r.Header.Set("Authorization", "Bearer "+f.keys.key("root").Token())
	r.ContentLength = gust.MaxArtifact + 1
	w := httptest.NewRecorder()
	if f.handler.ServeHTTP(w, r); w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), "250 MB") {
		t.Errorf("announcing too much: %d %s, want 413 and the limit", w.Code, w.Body)
	}
}

// broken is what can be read of a file that is longer.
type broken []byte

func (b broken) ReadAt(p []byte, at int64) (int, error) {
	return copy(p, b[min(at, int64(len(b))):]), errors.New("broken")
}

func TestEnvironmentsAreFiltered(t *testing.T) {
	f := newFixture(t)
	f.envs = []invoke.Environment{{ID: "1", App: "a", Function: "f"}, {ID: "2", App: "a", Function: "g"}, {ID: "3", App: "b", Function: "h"}}
	for _, tt := range []struct{ app, function, want string }{{"", "", "123"}, {"a", "", "12"}, {"", "h", "3"}, {"a", "h", ""}} {
		list, err := f.client.Environments(t.Context(), tt.app, tt.function)
		got := ""
		for _, e := range list {
			got += e.ID
		}
		if err != nil || got != tt.want {
			t.Errorf("Environments(%q, %q) = %s, %v; want %s", tt.app, tt.function, got, err, tt.want)
		}
	}
}

func TestLogsFollowUntilTheNodeDrains(t *testing.T) {
	f := newFixture(t)
	fn := app("shop", "", "api").Functions["api"]
	stream := f.recorder.Stream(fn, "env1")
	defer stream.Close()
	stream.Line([]byte("first"))
	stream.Line([]byte("second"))

	var all []string
	for r, err := range f.client.Logs(t.Context(), LogQuery{Function: "api", Since: "5m"}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r.Message)
	}
	if strings.Join(all, " ") != "first second" {
		t.Errorf("the logs are %q", all)
	}

	var followed []string
	for r, err := range f.client.Logs(t.Context(), LogQuery{App: "shop", Follow: true, Limit: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		followed = append(followed, r.Message)
		switch len(followed) {
		case 1:
			stream.Line([]byte("third"))
		case 2:
			f.drain() // which ends the loop
		}
	}
	if strings.Join(followed, " ") != "second third" {
		t.Errorf("following gave %q", followed)
	}
}

func TestBackupIsWhole(t *testing.T) {
	f := newFixture(t)
	digest := f.upload(t)
	if _, err := f.client.Apply(t.Context(), &ApplyRequest{App: app("shop", digest, "api")}); err != nil {
		t.Fatal(err)
	}
	var tar bytes.Buffer
	n, err := f.client.Backup(t.Context(), &tar)
	if err != nil || n != int64(tar.Len()) || n == 0 {
		t.Fatalf("Backup() = %d, %v; %d bytes came", n, err, tar.Len())
	}
	dir := filepath.Join(t.TempDir(), "restored")
	if err := store.Restore(t.Context(), &tar, dir); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(store.Options{Dir: dir, Durability: "always"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := catalog.Open(t.Context(), s, catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if has, err := s.Blobs().Has(digest); c.Snapshot().Functions["api"] == nil || !has || err != nil {
		t.Errorf("restored: functions %v, artifact %v, %v", c.Snapshot().Functions, has, err)
	}
}

// FuzzRequests: whatever comes, the answer is JSON, and no failure of the node.
func FuzzRequests(f *testing.F) {
	x := newFixture(f)
	valid, err := json.Marshal(ApplyRequest{App: app("shop", "", "api")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("PUT", "/v1/apps/shop", valid)
	f.Add("POST", "/v1/apps/shop/plan", valid)
	f.Add("PUT", "/v1/apps/shop", []byte(`{"app":{"name":"shop","functions":{"":{}},"routes":[{}]},"take":[""]}`))
	f.Add("GET", "/v1/logs?since=1h&limit=2", []byte(nil))
	f.Add("GET", "/v1/environments?app=%zz", []byte(nil))
	f.Add("PUT", "/v1/artifacts/"+strings.Repeat("0", 64), []byte("PK"))
	f.Fuzz(func(t *testing.T, method, path string, body []byte) {
		if strings.Contains(path, "follow") || strings.HasPrefix(path, "/v1/backup") {
			t.Skip("they take their time")
		}
		req, err := http.NewRequest(method, "http://node"+path, bytes.NewReader(body))
		if err != nil || !strings.HasPrefix(req.URL.Path, "/v1/") {
			t.Skip("net/http does not let it through")
		}
		req.Header.Set("Authorization", "Bearer "+x.keys.key("root").Token())
		w := httptest.NewRecorder()
		x.handler.ServeHTTP(w, req)
		if w.Code >= 500 && !strings.Contains(w.Body.String(), "management calls a second") { // there are many
			t.Errorf("%s %q: %d %s", method, path, w.Code, w.Body)
		}
		if w.Code >= 400 && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %q: %d and no JSON: %q", method, path, w.Code, w.Body)
		}
	})
}

// What a warm-up came to is the same on both sides of the wire.
func TestWarm(t *testing.T) {
	f := newFixture(t)
	want := invoke.WarmUp{Function: "f", Version: 3, Environment: "e", Cause: gust.ColdWarmUp, Init: 3 * time.Millisecond, Pooled: true}
	f.warm = func(function string) (*invoke.WarmUp, error) {
		switch function {
		case "f":
			return &want, nil
		case "bad":
			return nil, &gust.FunctionError{Outcome: gust.OutcomeInit, Type: "T", Message: "M", Output: "O"}
		case "busy":
			return nil, &gust.ThrottledError{Function: function, Reason: gust.ThrottleMemory, Detail: "full"}
		}
		return nil, gust.ErrNotFound
	}
	if up, err := f.client.Warm(t.Context(), "f"); err != nil || *up != want {
		t.Error(up, err)
	}
	var fe *gust.FunctionError
	if up, err := f.client.Warm(t.Context(), "bad"); !errors.As(err, &fe) || fe.Outcome != gust.OutcomeInit || fe.Type != "T" || fe.Message != "M" || fe.Output != "O" {
		t.Error(up, err)
	}
	var e *Error
	if _, err := f.client.Warm(t.Context(), "busy"); !errors.As(err, &e) || e.Status != 429 || e.Code != codeThrottled || !strings.Contains(e.Message, "memory limit: full") {
		t.Error(err)
	}
	if _, err := f.client.Warm(t.Context(), "nobody"); !errors.Is(err, gust.ErrNotFound) {
		t.Error(err)
	}
	if w := f.do("POST", "/v1/functions/f/warm?x=1", ""); w.Code != 400 {
		t.Error(w.Code)
	}
}

// TestRuntimes: what the system has can be listed, what cannot be is refused by
// name, and a function that needs what is not there is neither planned nor
// applied.
func TestRuntimes(t *testing.T) {
	f := newFixture(t)
	digest := f.upload(t)
	list, err := f.client.Runtimes(t.Context())
	if err != nil || len(list) != 0 {
		t.Errorf("without isolation and interpreters there are %+v, %v", list, err)
	}
	status, err := f.client.Status(t.Context())
	if err != nil || len(status.Runtimes) != 0 || status.Runtimes == nil {
		t.Errorf("the status says %+v, %v", status, err)
	}
	if _, err := f.client.AddRuntime(t.Context(), "node@99", ""); !errors.Is(err, gust.ErrInvalid) || !strings.Contains(err.Error(), "the system has no node@99 (it has no node)") {
		t.Errorf("added: %v", err)
	}
	if err := f.client.RemoveRuntime(t.Context(), "node@99"); !errors.Is(err, gust.ErrInvalid) {
		t.Errorf("removed: %v", err)
	}
	a := app("shop", digest, "api", "worker")
	for _, fn := range a.Functions {
		fn.Runtime, fn.Interpreter = gust.RuntimeProvided, "node@99"
	}
	_, planned := f.client.Plan(t.Context(), a, nil)
	_, applied := f.client.Apply(t.Context(), &ApplyRequest{App: a})
	for _, err := range []error{planned, applied} {
		var e *Error
		if !errors.As(err, &e) || e.Code != "invalid" || len(e.Details) != 2 || !strings.HasPrefix(e.Details[0], "function api: the node has no runtime node@99 (it has none with an interpreter)") {
			t.Errorf("the error is %v", err)
		}
	}
}

// What the client asks for is what the node reads, a plus and a space included.
func TestQuery(t *testing.T) {
	const app = "a b+c&d=e%/ü"
	q := &request{Request: httptest.NewRequest("GET", "/v1/functions"+query("app", app, "name", ""), nil)}
	if got, err := parameters(q, "app", "name"); err != nil || len(got) != 1 || got["app"] != app {
		t.Errorf("%s is read as %q, %v", q.URL.RawQuery, got, err)
	}
}
