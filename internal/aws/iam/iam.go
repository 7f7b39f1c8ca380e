// Package iam speaks the AWS IAM API (query, version 2010-05-08) over the
// directory of identities: users, groups, roles, access keys, second factors,
// policies and OpenID Connect providers. What Gust does not have is refused by its name, or
// listed as what it is: nothing. docs/compatibility.md lists all operations.
package iam

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/access/oidc"
	"github.com/gust-dev/gust/internal/aws/wire"
)

// Options are what the API works with.
type Options struct {
	Directory *identity.Directory
	// Tokens learns the thumbprints of providers that are made without.
	Tokens *oidc.Verifier
	// Place is in the ARNs of what is not there (yet).
	Place gust.Place
	// Since is when root was made.
	Since time.Time
	// Now is the clock.
	Now func() time.Time
	// Logger gets why an issuer's certificate could not be learnt; nil is
	// slog.Default.
	Logger *slog.Logger
}

type server struct {
	Options
	running sync.RWMutex // written by operations that write
}

// New makes the service's table.
func New(o Options) *wire.Service {
	s := &server{Options: o}
	if s.Logger == nil {
		s.Logger = slog.Default()
	}
	ops := slices.Concat(s.users(), s.groups(), s.keys(), s.roles(), s.linkedRoles(), s.entityPolicies(), s.managedPolicies(), s.providers(), s.devices(), s.account(),
		s.simulation(), s.absent(), refused())
	for i := range ops {
		if ops[i].Note == "" {
			ops[i].Note = "whole"
		}
	}
	return &wire.Service{Model: &model, Operations: ops, Errors: describe}
}

// none is the answer of operations that have none.
type none = struct{}

// done makes an operation's function of one that only may fail.
func done[In any](f func(context.Context, *In) error) func(context.Context, *In) (*none, error) {
	return func(ctx context.Context, in *In) (*none, error) { return &none{}, f(ctx, in) }
}

// tagsOf are tags as the API has them, by key; none are nil.
func tagsOf(tags map[string]string) []Tag {
	var list []Tag
	for k, v := range tags {
		list = append(list, Tag{Key: k, Value: v})
	}
	slices.SortFunc(list, func(a, b Tag) int { return strings.Compare(a.Key, b.Key) })
	return list
}

// tagsIn are the tags of a request.
func tagsIn(list []Tag) (map[string]string, error) {
	tags, ok := identity.ReadTags(list, func(t Tag) (key, value string) { return t.Key, t.Value })
	if !ok {
		return nil, fault("InvalidInputException", "%s", identity.DuplicateTags)
	}
	return tags, nil
}

// second is a time as the API has it: in whole seconds.
func second(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// each is f of each.
func each[A, B any](list []A, f func(A) B) []B {
	all := make([]B, len(list))
	for i, a := range list {
		all[i] = f(a)
	}
	return all
}
