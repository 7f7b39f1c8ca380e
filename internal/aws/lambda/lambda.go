// Package lambda speaks the AWS Lambda API (REST-JSON, version 2015-03-31) for
// what Gust carries out of it: invoking functions and looking at them. Every
// other operation is refused by its name. docs/compatibility.md lists all.
package lambda

import (
	"context"
	"slices"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/aws/wire"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/invoke"
)

// Catalog tells what is declared: *catalog.Catalog.
type Catalog interface{ Snapshot() *catalog.Snapshot }

// Invoker runs functions: *invoke.Invoker.
type Invoker interface {
	Invoke(context.Context, *invoke.Request) (*invoke.Response, error)
	InvokeAsync(context.Context, *invoke.Request) (requestID string, err error)
}

// Options are what the API works with.
type Options struct {
	Catalog Catalog
	Invoker Invoker
	// Directory keeps the functions' policies.
	Directory *identity.Directory
	// Place is in the ARNs; its zero value is gust.DefaultPlace.
	Place gust.Place
}

type server struct {
	Options
}

// New returns the service.
func New(o Options) *wire.Service {
	if o.Place == (gust.Place{}) {
		o.Place = gust.DefaultPlace
	}
	s := &server{o}
	return &wire.Service{Model: &model, Operations: slices.Concat(s.operations(), refused), Errors: describe,
		Invalid: "InvalidParameterValueException", MaxBody: gust.MaxSyncPayload, Page: page()}
}

// function finds what a request names, at the version it asks for.
func (s *server) function(label string, qualifier *string) (*gust.Function, name, error) {
	n, err := parseName(label, qualifier)
	if err != nil {
		return nil, n, err
	}
	if n.place.Account != "" && n.place.Account != s.Place.Account || n.place.Region != "" && n.place.Region != s.Place.Region {
		return nil, n, notFound(&n, s.Place)
	}
	f := s.Catalog.Snapshot().Functions[n.function]
	if f == nil || !n.asksFor(f.Version) {
		return nil, n, notFound(&n, s.Place)
	}
	return f, n, nil
}

// need is an action on what a request names. A name that is wrong is refused
// after who asks has been found to be allowed to do it to whatever has it.
func (s *server) need(action, label string, qualifier *string) []access.Need {
	n, err := parseName(label, qualifier)
	if err != nil {
		n = name{function: label}
	}
	return []access.Need{{Action: "lambda:" + action, Resource: n.arn(s.Place)}}
}
