package identity

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/oidc"
	"github.com/gust-dev/gust/internal/access/policy"
)

// IdentityProvider is an OpenID Connect issuer whose tokens may stand for roles.
type IdentityProvider struct {
	// URL is the issuer's without "https://", as ARNs and condition keys have
	// it. Plain tells that it is "http://", of an issuer on this very machine.
	URL         string            `json:"url"`
	Plain       bool              `json:"plain,omitempty"`
	ARN         string            `json:"-"`
	ClientIDs   []string          `json:"client_ids,omitempty"`  // audiences
	Thumbprints []string          `json:"thumbprints,omitempty"` // SHA-1 of its certificate authority, hex
	Created     time.Time         `json:"created"`
	Tags        map[string]string `json:"tags,omitempty"`
}

// Identity is the subject of a token that has been verified: no principal of
// policies, which have them as the provider with conditions, but who it was in the
// audit log.
func (p *IdentityProvider) Identity(subject string) *access.Principal {
	return &access.Principal{Kind: access.KindFederated, Name: cut(subject), ARN: p.ARN + ":" + cut(subject), Provider: p.ARN}
}

// Issuer is the issuer's URL, whole.
func (p *IdentityProvider) Issuer() string {
	if p.Plain {
		return "http://" + p.URL
	}
	return "https://" + p.URL
}

func (p *IdentityProvider) copied() *IdentityProvider {
	c := *p
	c.ClientIDs, c.Thumbprints, c.Tags = slices.Clone(p.ClientIDs), slices.Clone(p.Thumbprints), maps.Clone(p.Tags)
	return &c
}

func (p *IdentityProvider) check() error {
	if n := len(p.ClientIDs); n > MaxClientIDs {
		return &LimitError{Quota: QuotaClientIDs, What: "client IDs of provider " + p.URL, Limit: MaxClientIDs}
	}
	for _, id := range p.ClientIDs {
		if id == "" || len(id) > 255 {
			return invalid("the client ID %q has %d characters: want 1 to 255", cut(id), len(id))
		}
	}
	if n := len(p.Thumbprints); n > MaxThumbprints {
		return &LimitError{Quota: QuotaThumbprints, What: "thumbprints of provider " + p.URL, Limit: MaxThumbprints}
	}
	for _, t := range p.Thumbprints {
		if len(t) != 40 || strings.Trim(strings.ToLower(t), "0123456789abcdef") != "" {
			return invalid("the thumbprint %q is not a SHA-1 of 40 hexadecimal digits", cut(t))
		}
	}
	return checkTags(p.Tags)
}

// CreateProvider makes an issuer known. n has its URL whole, "https://...".
func (d *Directory) CreateProvider(ctx context.Context, n IdentityProvider) (p *IdentityProvider, err error) {
	if err := oidc.CheckIssuer(n.URL); err != nil {
		return nil, invalid("%v", err)
	}
	scheme, rest, _ := strings.Cut(n.URL, "://")
	segments := strings.Split(strings.TrimSuffix(rest, "/"), "/")
	if !only(rest, "-._~:/%[]") || slices.ContainsFunc(segments, func(s string) bool { return s == "" || s == "." || s == ".." }) {
		return nil, invalid("the provider's URL %q: want https://HOST/PATH, with letters, digits and - . _ ~ %% between the slashes, and not dots alone", cut(n.URL))
	}
	p = n.copied()
	p.URL, p.Plain = strings.TrimSuffix(rest, "/"), scheme == "http"
	p.ARN = iamARN(d.place, KindProvider, "/", p.URL)
	if err := p.check(); err != nil {
		return nil, err
	}
	err = d.change(ctx, func(c *change) error {
		if c.providers[p.ARN] != nil {
			return &ExistsError{KindProvider, p.URL}
		}
		if len(c.providers) >= MaxProviders {
			return &LimitError{Quota: QuotaProviders, What: "OpenID Connect providers", Limit: MaxProviders}
		}
		p.Created = c.now
		return c.putProvider(p)
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Provider finds a provider by its ARN.
func (d *Directory) Provider(arn string) (*IdentityProvider, error) {
	if p := d.state.Load().providers[arn]; p != nil {
		return p, nil
	}
	return nil, &NotFoundError{Kind: KindProvider, What: "OpenID Connect provider", Name: arn}
}

// Providers lists all of them, by URL.
func (d *Directory) Providers() []*IdentityProvider {
	return slices.SortedFunc(maps.Values(d.state.Load().providers), func(a, b *IdentityProvider) int { return strings.Compare(a.URL, b.URL) })
}

// UpdateProvider changes a provider's client IDs and thumbprints: fn gets a copy
// that it may change.
func (d *Directory) UpdateProvider(ctx context.Context, arn string, fn func(*IdentityProvider) error) error {
	return d.change(ctx, func(c *change) error {
		was := c.providers[arn]
		if was == nil {
			return &NotFoundError{Kind: KindProvider, What: "OpenID Connect provider", Name: arn}
		}
		p := was.copied()
		if err := fn(p); err != nil {
			return err
		}
		p.URL, p.Plain, p.ARN, p.Created = was.URL, was.Plain, was.ARN, was.Created
		if err := p.check(); err != nil {
			return err
		}
		return c.putProvider(p)
	})
}

// DeleteProvider removes a provider; one that is not there is no error, as with
// AWS.
func (d *Directory) DeleteProvider(ctx context.Context, arn string) error {
	return d.change(ctx, func(c *change) error {
		if p := c.providers[arn]; p != nil {
			delete(c.providers, arn)
			c.delete("provider/" + p.URL)
		}
		return nil
	})
}

func (c *change) putProvider(p *IdentityProvider) error {
	c.providers[p.ARN] = p
	return c.write("provider/"+p.URL, p)
}

// Tag sets tags of a user, a role, a managed policy, a device or a provider. A key that
// differs from one it has in case alone takes its place.
func (d *Directory) Tag(ctx context.Context, r Ref, tags map[string]string) error {
	return d.editTags(ctx, r, func(has map[string]string) {
		for k := range tags {
			maps.DeleteFunc(has, func(old, _ string) bool { return policy.EqualFold(old, k) })
		}
		maps.Copy(has, tags)
	}, tags)
}

// Untag takes tags away; those that are not there are no error.
func (d *Directory) Untag(ctx context.Context, r Ref, keys []string) error {
	return d.editTags(ctx, r, func(has map[string]string) {
		for _, k := range keys {
			maps.DeleteFunc(has, func(old, _ string) bool { return policy.EqualFold(old, k) })
		}
	}, nil)
}

func (d *Directory) editTags(ctx context.Context, r Ref, edit func(map[string]string), added map[string]string) error {
	if err := checkTags(added); err != nil {
		return err
	}
	set := func(tags *map[string]string) error {
		if *tags == nil {
			*tags = make(map[string]string)
		}
		edit(*tags)
		return checkTags(*tags)
	}
	switch r.Kind {
	case KindUser, KindRole:
		return d.editOf(ctx, (*change).stored, r, func(_ *change, e *Entity) error { return set(&e.Tags) })
	case KindPolicy:
		return d.editPolicy(ctx, r.Name, func(_ *change, p *ManagedPolicy) error { return set(&p.Tags) })
	case KindDevice:
		return d.editDevice(ctx, r.Name, func(_ *change, m *MFADevice) error { return set(&m.Tags) })
	case KindProvider:
		return d.UpdateProvider(ctx, r.Name, func(p *IdentityProvider) error { return set(&p.Tags) })
	}
	return invalid("a %s has no tags", r.Kind)
}

// SetAlias gives the account a name in place of the one it has.
func (d *Directory) SetAlias(ctx context.Context, alias string) error {
	if err := checkAlias(alias); err != nil {
		return err
	}
	return d.change(ctx, func(c *change) error {
		c.alias = alias
		c.records[keyAlias] = []byte(alias)
		return nil
	})
}

// DeleteAlias takes the account's name away.
func (d *Directory) DeleteAlias(ctx context.Context, alias string) error {
	return d.change(ctx, func(c *change) error {
		if c.alias != alias || alias == "" {
			return missing(KindAlias, alias)
		}
		c.alias = ""
		c.delete(keyAlias)
		return nil
	})
}

// Alias is the account's name, or empty.
func (d *Directory) Alias() string { return d.state.Load().alias }
