package gateway

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/invoke"
)

// catalogOf holds a snapshot that a test may change.
type catalogOf struct {
	atomic.Pointer[catalog.Snapshot]
}

func (c *catalogOf) Snapshot() *catalog.Snapshot { return c.Load() }

// declare makes a catalog of one app, shop, whose routes all lead to one
// function: web of the http runtime for paths under /web, and api for others.
func declare(keys ...string) *catalogOf {
	s := &catalog.Snapshot{Revision: 1, Functions: map[string]*gust.Function{
		"api": {Name: "api", App: "shop", Version: 7, Runtime: gust.RuntimeGo, Timeout: 3 * time.Second},
		"web": {Name: "web", App: "shop", Version: 1, Runtime: gust.RuntimeHTTP, Timeout: 3 * time.Second},
	}}
	for _, k := range keys {
		s.Routes = append(s.Routes, route(k))
	}
	c := &catalogOf{}
	c.Store(s)
	return c
}

func route(key string) gust.Route {
	method, path, _ := strings.Cut(key, " ")
	r := gust.Route{App: "shop", Function: "api", Method: method, Path: path}
	if strings.HasPrefix(path, "/web") {
		r.Function = "web"
	}
	return r
}

// invokerFuncs is an invoker of two functions.
type invokerFuncs struct {
	invoke func(context.Context, *invoke.Request) (*invoke.Response, error)
	serve  func(http.ResponseWriter, *http.Request, *invoke.Request) error
}

func (f invokerFuncs) Invoke(ctx context.Context, r *invoke.Request) (*invoke.Response, error) {
	return f.invoke(ctx, r)
}

func (f invokerFuncs) ServeHTTP(w http.ResponseWriter, r *http.Request, q *invoke.Request) error {
	return f.serve(w, r, q)
}

// answers is an invoker whose functions all answer the same.
func answers(payload string) invokerFuncs {
	resp := &invoke.Response{Version: 7, Result: &gust.Result{Payload: []byte(payload), ContentType: "application/json"}}
	return invokerFuncs{invoke: func(context.Context, *invoke.Request) (*invoke.Response, error) { return resp, nil }}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

var (
	_ Catalog = (*catalog.Catalog)(nil)
	_ Invoker = (*invoke.Invoker)(nil)
)
