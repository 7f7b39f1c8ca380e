package identity

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gust-dev/gust/internal/access/policy"
)

// ManagedPolicy is a policy that can be attached to several. What the directory
// gives out is shared and never changed.
type ManagedPolicy struct {
	Name        string            `json:"name"`
	Path        string            `json:"path"`
	ID          string            `json:"id"` // ANPA...
	ARN         string            `json:"-"`
	Description string            `json:"description,omitempty"`
	Created     time.Time         `json:"created"`
	Updated     time.Time         `json:"updated"`
	Tags        map[string]string `json:"tags,omitempty"`
	// Versions are from the oldest to the newest. Default is the number of the
	// one that counts, Last that of the newest there ever was.
	Versions []Version `json:"versions"`
	Default  int       `json:"default"`
	Last     int       `json:"last"`
	// AWS tells that it is one of AWS's, which nobody changes.
	AWS bool `json:"-"`
}

// Version is one version of a managed policy: "v1" is Number 1.
type Version struct {
	Number   int       `json:"number"`
	Created  time.Time `json:"created"`
	Document Document  `json:"document"`
}

func (p *ManagedPolicy) record() string { return "policy/" + p.ID }

// Version finds a version by its number, or nil.
func (p *ManagedPolicy) Version(number int) *Version {
	for i := range p.Versions {
		if p.Versions[i].Number == number {
			return &p.Versions[i]
		}
	}
	return nil
}

// document is the default version's, which always is there.
func (p *ManagedPolicy) document() Document { return p.Version(p.Default).Document }

func (p *ManagedPolicy) copied() *ManagedPolicy {
	c := *p
	c.Tags, c.Versions = maps.Clone(p.Tags), slices.Clone(p.Versions)
	return &c
}

// policy finds a managed policy, of the account's or of AWS's, or nil.
func (st *state) policy(arn string) *ManagedPolicy {
	if p := st.aws[arn]; p != nil {
		return p
	}
	if p := st.policies[policy.Lower(arn[strings.LastIndexByte(arn, '/')+1:])]; p != nil && p.ARN == arn {
		return p
	}
	return nil
}

// managed is policy, and says what is wrong if there is none.
func (st *state) managed(arn string) (*ManagedPolicy, error) {
	if p := st.policy(arn); p != nil {
		return p, nil
	}
	if strings.HasPrefix(arn, awsPolicies) {
		return nil, &NotFoundError{What: "managed policy of AWS's among those that Gust has (ListPolicies shows them), by the name", Name: arn}
	}
	return nil, &NotFoundError{Kind: KindPolicy, What: "managed policy", Name: arn}
}

// Attachable tells whether p may be attached: a service's own role alone has its
// policy.
func (p *ManagedPolicy) Attachable() bool { return !p.AWS || p.Path != linkedPath }

// attachable is managed, of what may be attached.
func (st *state) attachable(arn string) (*ManagedPolicy, error) {
	p, err := st.managed(arn)
	if err == nil && !p.Attachable() {
		return nil, &NotAttachableError{arn}
	}
	return p, err
}

// NewPolicy is what a managed policy is made of.
type NewPolicy struct {
	Name, Path  string // an empty path is "/"
	Description string
	Document    string
	Tags        map[string]string
}

// CreatePolicy makes a managed policy, with the version 1.
func (d *Directory) CreatePolicy(ctx context.Context, n NewPolicy) (p *ManagedPolicy, err error) {
	if n.Path == "" {
		n.Path = "/"
	}
	if err := checkName("policy", n.Name, MaxLongName); err != nil {
		return nil, err
	}
	if err := checkPath(n.Path); err != nil {
		return nil, err
	}
	if err := checkTags(n.Tags); err != nil {
		return nil, err
	}
	if count := len([]rune(n.Description)); count > MaxDescription {
		return nil, invalid("the description of policy %s has %d characters, at most %d are allowed", n.Name, count, MaxDescription)
	}
	doc, err := newDocument(policy.Identity, "managed policy "+n.Name, n.Document, LimitError{Quota: QuotaManaged, Limit: MaxManaged})
	if err != nil {
		return nil, err
	}
	err = d.change(ctx, func(c *change) error {
		if c.policies[policy.Lower(n.Name)] != nil {
			return &ExistsError{KindPolicy, n.Name}
		}
		if len(c.policies) >= MaxPolicies {
			return &LimitError{Quota: QuotaPolicies, What: "managed policies", Limit: MaxPolicies}
		}
		p = &ManagedPolicy{
			Name: n.Name, Path: n.Path, ID: newID("ANPA"), ARN: iamARN(c.d.place, KindPolicy, n.Path, n.Name), Description: n.Description,
			Created: c.now, Updated: c.now, Tags: maps.Clone(n.Tags), Default: 1, Last: 1, Versions: []Version{{1, c.now, doc}},
		}
		return c.putPolicy(p)
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Policy finds a managed policy of the account's or of AWS's.
func (d *Directory) Policy(arn string) (*ManagedPolicy, error) { return d.state.Load().managed(arn) }

// Policies lists the managed policies of the account and of AWS, by name.
func (d *Directory) Policies() []*ManagedPolicy {
	st := d.state.Load()
	list := slices.AppendSeq(slices.Collect(maps.Values(st.policies)), maps.Values(st.aws))
	slices.SortFunc(list, func(a, b *ManagedPolicy) int {
		return strings.Compare(a.Name+"\x00"+a.ARN, b.Name+"\x00"+b.ARN)
	})
	return list
}

// CreateVersion makes a version of a managed policy, and with asDefault the one
// that counts.
func (d *Directory) CreateVersion(ctx context.Context, arn, document string, asDefault bool) (v *Version, err error) {
	err = d.editPolicy(ctx, arn, func(c *change, p *ManagedPolicy) error {
		if len(p.Versions) >= MaxVersions {
			return &LimitError{Quota: QuotaVersions, Of: Policy(p.Name), What: "versions of policy " + p.Name, Limit: MaxVersions}
		}
		doc, err := newDocument(policy.Identity, "managed policy "+p.Name, document, LimitError{Quota: QuotaManaged, Limit: MaxManaged})
		if err != nil {
			return err
		}
		p.Last++
		p.Versions = append(p.Versions, Version{p.Last, c.now, doc})
		if asDefault {
			p.Default = p.Last
		}
		p.Updated = c.now
		v = &p.Versions[len(p.Versions)-1]
		return nil
	})
	if err != nil {
		return nil, err
	}
	return v, nil
}

// SetDefaultVersion says which version of a managed policy counts.
func (d *Directory) SetDefaultVersion(ctx context.Context, arn string, number int) error {
	return d.editPolicy(ctx, arn, func(c *change, p *ManagedPolicy) error {
		if p.Version(number) == nil {
			return &NotFoundError{Kind: KindVersion, What: "version of policy " + p.Name, Name: fmt.Sprintf("v%d", number)}
		}
		p.Default, p.Updated = number, c.now
		return nil
	})
}

// DeleteVersion removes a version that does not count.
func (d *Directory) DeleteVersion(ctx context.Context, arn string, number int) error {
	return d.editPolicy(ctx, arn, func(_ *change, p *ManagedPolicy) error {
		if p.Version(number) == nil {
			return &NotFoundError{Kind: KindVersion, What: "version of policy " + p.Name, Name: fmt.Sprintf("v%d", number)}
		}
		if number == p.Default {
			return &InUseError{KindVersion, fmt.Sprintf("v%d", number), "", "it is the default version of policy " + p.Name + ": make another one the default first"}
		}
		p.Versions = slices.DeleteFunc(p.Versions, func(v Version) bool { return v.Number == number })
		return nil
	})
}

// DeletePolicy removes a managed policy that is attached to nobody, bounds
// nobody and has one version.
func (d *Directory) DeletePolicy(ctx context.Context, arn string) error {
	return d.change(ctx, func(c *change) error {
		p, err := c.ownPolicy(arn)
		if err != nil {
			return err
		}
		if u := c.uses(arn); len(u.Attached)+len(u.Bounded) > 0 {
			return &InUseError{KindPolicy, p.Name, "", fmt.Sprintf("it is attached to %d and bounds %d: detach it from all of them first", len(u.Attached), len(u.Bounded))}
		}
		if n := len(p.Versions); n > 1 {
			return &InUseError{KindPolicy, p.Name, KindVersion, fmt.Sprintf("it has %d versions: delete those that are not the default first", n)}
		}
		delete(c.policies, policy.Lower(p.Name))
		c.delete(p.record())
		return nil
	})
}

// Uses are those to whom a managed policy is attached, and those whom it bounds,
// by name.
type Uses struct{ Attached, Bounded []*Entity }

// Uses tells where a managed policy is used.
func (d *Directory) Uses(arn string) Uses { return d.state.Load().uses(arn) }

// Attachments counts to how many each managed policy is attached, and how many
// it bounds, by ARN.
func (d *Directory) Attachments() (attached, bounded map[string]int) {
	attached, bounded = make(map[string]int), make(map[string]int)
	for _, e := range d.state.Load().byID {
		for _, arn := range e.Attached {
			attached[arn]++
		}
		if e.Boundary != "" {
			bounded[e.Boundary]++
		}
	}
	return attached, bounded
}

func (st *state) uses(arn string) (u Uses) {
	for _, e := range st.byID {
		if slices.Contains(e.Attached, arn) {
			u.Attached = append(u.Attached, e)
		}
		if e.Boundary == arn {
			u.Bounded = append(u.Bounded, e)
		}
	}
	for _, list := range [][]*Entity{u.Attached, u.Bounded} {
		slices.SortFunc(list, func(a, b *Entity) int { return strings.Compare(a.Name, b.Name) })
	}
	return u
}

func (c *change) ownPolicy(arn string) (*ManagedPolicy, error) {
	p, err := c.managed(arn)
	if err != nil {
		return nil, err
	}
	if p.AWS {
		return nil, &UnmodifiableError{"policy " + arn, "it is one of AWS's; make one of your own with its document"}
	}
	return p, nil
}

func (d *Directory) editPolicy(ctx context.Context, arn string, fn func(*change, *ManagedPolicy) error) error {
	return d.change(ctx, func(c *change) error {
		p, err := c.ownPolicy(arn)
		if err != nil {
			return err
		}
		p = p.copied()
		if err := fn(c, p); err != nil {
			return err
		}
		return c.putPolicy(p)
	})
}

// putPolicy makes p, a copy that nobody else has, what is known under its ARN.
func (c *change) putPolicy(p *ManagedPolicy) error {
	c.policies[policy.Lower(p.Name)] = p
	groups := make(map[string]bool)
	uses := func(e *Entity) bool { return slices.Contains(e.managed(), p.ARN) }
	for _, e := range c.byID {
		if e.Kind == KindGroup && uses(e) {
			groups[e.ID] = true
		}
	}
	c.refresh(func(e *Entity) bool {
		return uses(e) || slices.ContainsFunc(e.Groups, func(id string) bool { return groups[id] })
	})
	return c.write(p.record(), p)
}
