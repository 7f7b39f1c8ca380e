// Package aws is all AWS APIs of a node, behind one door: internal/aws/wire
// speaks their protocols, and each service is a table of operations over the
// domain. docs/compatibility.md is made of the tables.
package aws

import (
	"log/slog"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access/guard"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/access/oidc"
	"github.com/gust-dev/gust/internal/aws/iam"
	"github.com/gust-dev/gust/internal/aws/lambda"
	"github.com/gust-dev/gust/internal/aws/sts"
	"github.com/gust-dev/gust/internal/aws/wire"
)

// Options are what the APIs work with. All but Logger are needed.
type Options struct {
	Catalog   lambda.Catalog
	Invoker   lambda.Invoker
	Directory *identity.Directory
	Guard     *guard.Guard
	Place     gust.Place
	// Since is when the root key was made. Now is the clock.
	Since time.Time
	Now   func() time.Time
	// Logger gets the node's own failures; nil is slog.Default.
	Logger *slog.Logger
}

// New returns the handler of all services. It lets nobody in whom the guard does
// not.
func New(o Options) (*wire.Handler, error) {
	return wire.New(wire.Options{Services: services(&o), Guard: o.Guard, Logger: o.Logger})
}

// services are in the order of docs/compatibility.md.
func services(o *Options) []*wire.Service {
	tokens := oidc.New(o.Now)
	return []*wire.Service{
		iam.New(iam.Options{Directory: o.Directory, Tokens: tokens, Place: o.Place, Since: o.Since, Now: o.Now, Logger: o.Logger}),
		sts.New(sts.Options{Directory: o.Directory, Tokens: tokens, Place: o.Place, Logger: o.Logger}),
		lambda.New(lambda.Options{Catalog: o.Catalog, Invoker: o.Invoker, Directory: o.Directory, Place: o.Place}),
	}
}
