package identity

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gust-dev/gust/internal/access/policy"
)

// NewEntity is what a user, a group or a role is made of.
type NewEntity struct {
	Name string
	Path string // empty is "/"
	// Tags and Boundary are of users and roles.
	Tags     map[string]string
	Boundary string
	// Description, MaxSession (0 is an hour) and Trust are a role's.
	Description string
	MaxSession  time.Duration
	Trust       string
}

// CreateUser makes a user.
func (d *Directory) CreateUser(ctx context.Context, n NewEntity) (*Entity, error) {
	return d.create(ctx, KindUser, "AIDA", MaxUsers, n)
}

// CreateGroup makes a group.
func (d *Directory) CreateGroup(ctx context.Context, n NewEntity) (*Entity, error) {
	return d.create(ctx, KindGroup, "AGPA", MaxGroups, n)
}

// CreateRole makes a role.
func (d *Directory) CreateRole(ctx context.Context, n NewEntity) (*Entity, error) {
	return d.create(ctx, KindRole, "AROA", MaxRoles, n)
}

func (d *Directory) create(ctx context.Context, kind Kind, prefix string, limit int, n NewEntity) (e *Entity, err error) {
	if n.Path == "" {
		n.Path = "/"
	}
	if err := checkOwnName(kind, n.Name, n.Path); err != nil {
		return nil, err
	}
	if err := checkTags(n.Tags); err != nil {
		return nil, err
	}
	err = d.change(ctx, func(c *change) error {
		ref := Ref{kind, n.Name}
		if c.entities[ref.key()] != nil {
			return &ExistsError{kind, n.Name}
		}
		if c.count(kind) >= limit {
			return &LimitError{Quota: quotas[kind].account, What: string(kind) + "s", Limit: limit}
		}
		e = (&Entity{Kind: kind, Name: n.Name, Path: n.Path, ID: newID(prefix), Created: c.now, Tags: n.Tags}).copied()
		if kind == KindRole {
			if n.MaxSession == 0 {
				n.MaxSession = DefaultSession
			}
			if err := e.setRole(n.Description, n.MaxSession); err != nil {
				return err
			}
			if err := c.setTrust(e, n.Trust); err != nil {
				return err
			}
		}
		if n.Boundary != "" {
			if err := c.setBoundary(e, n.Boundary); err != nil {
				return err
			}
		}
		return c.put(e)
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Entity finds a user, a group or a role; functions' roles are among them.
func (d *Directory) Entity(r Ref) (*Entity, error) {
	if e := d.find(d.state.Load(), r); e != nil {
		return e, nil
	}
	return nil, missing(r.Kind, r.Name)
}

func (d *Directory) find(st *state, r Ref) *Entity {
	if r.Kind == KindRole && isFunctionRole(r.Name) {
		return d.functionRole(r.Name[len(functionPrefix):])
	}
	return st.entities[r.key()]
}

// Entities lists those of a kind whose path begins with prefix, by name.
func (d *Directory) Entities(kind Kind, prefix string) []*Entity {
	var list []*Entity
	for _, e := range d.state.Load().entities {
		if e.Kind == kind && strings.HasPrefix(e.Path, prefix) {
			list = append(list, e)
		}
	}
	if kind == KindRole && strings.HasPrefix(functionPath, prefix) {
		for name := range d.functions() {
			if e := d.functionRole(name); e != nil {
				list = append(list, e)
			}
		}
	}
	slices.SortFunc(list, func(a, b *Entity) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Rename gives a user or a group another name, another path, or both; what is
// empty stays as it is.
func (d *Directory) Rename(ctx context.Context, r Ref, name, path string) error {
	if r.Kind == KindRole {
		return invalid("a role cannot be renamed: make another one")
	}
	return d.edit(ctx, r, func(c *change, e *Entity) error {
		was := e.Ref().key()
		if name != "" {
			e.Name = name
		}
		if path != "" {
			e.Path = path
		}
		if err := checkOwnName(e.Kind, e.Name, e.Path); err != nil {
			return err
		}
		if other := c.entities[e.Ref().key()]; other != nil && other.ID != e.ID {
			return &ExistsError{e.Kind, name}
		}
		delete(c.entities, was)
		return nil
	})
}

// UpdateRole changes a role's description, and its longest session; nil leaves
// it as it is.
func (d *Directory) UpdateRole(ctx context.Context, name string, description *string, longest *time.Duration) error {
	return d.editOf(ctx, (*change).stored, Role(name), func(_ *change, e *Entity) error {
		if e.Service != "" && longest != nil {
			return e.linkedError()
		}
		if description == nil {
			description = &e.Description
		}
		if longest == nil {
			longest = &e.MaxSession
		}
		return e.setRole(*description, *longest)
	})
}

// SetTrust changes who may assume a role.
func (d *Directory) SetTrust(ctx context.Context, name, document string) error {
	return d.edit(ctx, Role(name), func(c *change, e *Entity) error { return c.setTrust(e, document) })
}

// SetBoundary bounds a user or a role by a managed policy.
func (d *Directory) SetBoundary(ctx context.Context, r Ref, arn string) error {
	return d.edit(ctx, r, func(c *change, e *Entity) error { return c.setBoundary(e, arn) })
}

// DeleteBoundary takes the boundary of a user or a role away.
func (d *Directory) DeleteBoundary(ctx context.Context, r Ref) error {
	return d.edit(ctx, r, func(_ *change, e *Entity) error {
		if e.Boundary == "" {
			return &NotFoundError{What: "permissions boundary of", Name: r.String()}
		}
		e.Boundary = ""
		return nil
	})
}

// PutInline gives a user, a group or a role an inline policy, or changes it.
func (d *Directory) PutInline(ctx context.Context, r Ref, name, document string) error {
	if err := checkName("inline policy", name, MaxLongName); err != nil {
		return err
	}
	return d.edit(ctx, r, func(_ *change, e *Entity) error {
		limit := LimitError{Quota: QuotaInline, Of: e.Ref(), Limit: map[Kind]int{KindUser: MaxUserInline, KindGroup: MaxGroupInline, KindRole: MaxRoleInline}[e.Kind]}
		what := fmt.Sprintf("inline policy %s of %s", name, r)
		doc, err := newDocument(policy.Identity, what, document, limit)
		if err != nil {
			return err
		}
		if e.Inline == nil {
			e.Inline = make(map[string]Document)
		}
		e.Inline[name] = doc
		size := 0
		for _, p := range e.Inline {
			size += sizeOf(p.text)
		}
		if size > limit.Limit {
			limit.What = fmt.Sprintf("characters of all inline policies of %s, white space not counted", r)
			return &limit
		}
		return nil
	})
}

// DeleteInline takes an inline policy away.
func (d *Directory) DeleteInline(ctx context.Context, r Ref, name string) error {
	return d.edit(ctx, r, func(_ *change, e *Entity) error {
		if _, ok := e.Inline[name]; !ok {
			return &NotFoundError{Kind: KindInline, Of: r.Kind, What: "inline policy of " + r.String(), Name: name}
		}
		delete(e.Inline, name)
		return nil
	})
}

// Attach attaches a managed policy; one that is attached already is fine.
func (d *Directory) Attach(ctx context.Context, r Ref, arn string) error {
	return d.edit(ctx, r, func(c *change, e *Entity) error {
		p, err := c.attachable(arn)
		if err != nil {
			return err
		}
		if slices.Contains(e.Attached, p.ARN) {
			return nil
		}
		if len(e.Attached) >= MaxAttached {
			return &LimitError{Quota: quotas[e.Kind].attached, What: "managed policies attached to " + r.String(), Limit: MaxAttached}
		}
		e.Attached = append(e.Attached, p.ARN)
		return nil
	})
}

// Detach takes a managed policy from whom it is attached to.
func (d *Directory) Detach(ctx context.Context, r Ref, arn string) error {
	return d.edit(ctx, r, func(_ *change, e *Entity) error {
		i := slices.Index(e.Attached, arn)
		if i < 0 {
			return &NotFoundError{Kind: KindPolicy, What: "managed policy attached to " + r.String(), Name: arn}
		}
		e.Attached = slices.Delete(e.Attached, i, i+1)
		return nil
	})
}

// Revoke ends all sessions of a user or a role that there are.
func (d *Directory) Revoke(ctx context.Context, r Ref) error {
	if r.Kind == KindRole && isFunctionRole(r.Name) {
		e, err := d.Entity(r)
		if err != nil {
			return err
		}
		return d.change(ctx, func(c *change) error {
			r := Revocation{c.revoked[e.Function].Count + 1, c.now}
			c.revoked[e.Function] = r
			return c.write("revoked/"+e.Function, r)
		})
	}
	return d.edit(ctx, r, func(c *change, e *Entity) error {
		if e.Kind == KindGroup {
			return invalid("%s has no sessions: revoke those of its users", r)
		}
		e.Revoked = Revocation{e.Revoked.Count + 1, c.now}
		return nil
	})
}

// AddToGroup makes a user a member of a group; one who is already is fine.
func (d *Directory) AddToGroup(ctx context.Context, group, user string) error {
	return d.edit(ctx, User(user), func(c *change, e *Entity) error {
		g := c.entities[Group(group).key()]
		switch {
		case g == nil:
			return missing(KindGroup, group)
		case slices.Contains(e.Groups, g.ID):
			return nil
		case len(e.Groups) >= MaxGroupsPerUser:
			return &LimitError{Quota: QuotaMemberships, What: "groups of user " + e.Name, Limit: MaxGroupsPerUser}
		}
		e.Groups = append(e.Groups, g.ID)
		return nil
	})
}

// RemoveFromGroup ends a membership.
func (d *Directory) RemoveFromGroup(ctx context.Context, group, user string) error {
	return d.edit(ctx, User(user), func(c *change, e *Entity) error {
		g := c.entities[Group(group).key()]
		if g == nil {
			return missing(KindGroup, group)
		}
		i := slices.Index(e.Groups, g.ID)
		if i < 0 {
			return &NotFoundError{What: "member of group " + g.Name, Name: user}
		}
		e.Groups = slices.Delete(e.Groups, i, i+1)
		return nil
	})
}

// Groups are the groups of a user, by name.
func (d *Directory) Groups(user string) ([]*Entity, error) {
	st := d.state.Load()
	e := st.entities[User(user).key()]
	if e == nil {
		return nil, missing(KindUser, user)
	}
	var list []*Entity
	for _, id := range e.Groups {
		list = append(list, st.byID[id])
	}
	slices.SortFunc(list, func(a, b *Entity) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Members are the users of a group, by name.
func (d *Directory) Members(group string) ([]*Entity, error) {
	st := d.state.Load()
	g := st.entities[Group(group).key()]
	if g == nil {
		return nil, missing(KindGroup, group)
	}
	return st.members(g), nil
}

func (st *state) members(g *Entity) []*Entity {
	var list []*Entity
	for _, e := range st.byID {
		if slices.Contains(e.Groups, g.ID) {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b *Entity) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Delete removes a user, a group or a role. What hangs on it has to go first, as
// with AWS: access keys, policies, memberships.
func (d *Directory) Delete(ctx context.Context, r Ref) error {
	return d.change(ctx, func(c *change) error {
		e, err := c.own(r)
		if err != nil {
			return err
		}
		in := func(has Kind, n int, what, do string) error {
			return &InUseError{e.Kind, e.Name, has, fmt.Sprintf("it has %d %s: %s first", n, what, do)}
		}
		if n := len(c.keysOf(e)); n > 0 {
			return in(KindKey, n, "access keys", "delete them")
		}
		if n := len(c.devicesOf(e)); n > 0 {
			return in(KindDevice, n, "MFA devices", "deactivate them")
		}
		if n := len(e.Attached); n > 0 {
			return in(KindPolicy, n, "managed policies", "detach them")
		}
		if n := len(e.Inline); n > 0 {
			return in(KindInline, n, "inline policies", "delete them")
		}
		if n := len(e.Groups); n > 0 {
			return in(KindGroup, n, "groups", "take it out of them")
		}
		if e.Kind == KindGroup {
			if n := len(c.members(e)); n > 0 {
				return in(KindUser, n, "users", "take them out of it")
			}
		}
		c.drop(e)
		return nil
	})
}

// drop removes e, on which nothing hangs.
func (c *change) drop(e *Entity) {
	delete(c.entities, e.Ref().key())
	delete(c.byID, e.ID)
	c.delete(e.record())
	c.delete("used/" + e.ID)
}

func (e *Entity) record() string { return "entity/" + e.ID }

// managed are the managed policies on which e's rights depend.
func (e *Entity) managed() []string {
	if e.Boundary == "" {
		return e.Attached
	}
	return append(slices.Clip(e.Attached), e.Boundary)
}

func (e *Entity) setRole(description string, longest time.Duration) error {
	if n := len([]rune(description)); n > MaxDescription {
		return invalid("the description of role %s has %d characters, at most %d are allowed", e.Name, n, MaxDescription)
	}
	if longest < MinMaxSession || longest > MaxSession || longest%time.Second != 0 {
		return invalid("the longest session of role %s is %v: want %v to %v in whole seconds", e.Name, longest, MinMaxSession, MaxSession)
	}
	e.Description, e.MaxSession = description, longest
	return nil
}

func (c *change) setTrust(e *Entity, document string) (err error) {
	what := "trust policy of role " + e.Name
	if e.Kind != KindRole {
		return invalid("a %s has no trust policy", e.Kind)
	}
	if e.Trust, err = newDocument(policy.Trust, what, document, LimitError{Quota: QuotaTrust, Limit: MaxTrust}); err != nil {
		return err
	}
	return c.bind(what, e.Trust, Document{})
}

func (c *change) setBoundary(e *Entity, arn string) error {
	if e.Kind == KindGroup {
		return invalid("a group has no permissions boundary: bound its users")
	}
	p, err := c.attachable(arn)
	if err != nil {
		return err
	}
	e.Boundary = p.ARN
	return nil
}

func (c *change) count(kind Kind) (n int) {
	for ref := range c.entities {
		if ref.Kind == kind {
			n++
		}
	}
	return n
}

// own finds what may be changed.
func (c *change) own(r Ref) (*Entity, error) {
	e, err := c.stored(r)
	if err == nil && e.Service != "" {
		return nil, e.linkedError()
	}
	return e, err
}

func (e *Entity) linkedError() error {
	return &UnmodifiableError{e.Ref().String(), "it is linked to the service " + e.Service + ", and has its description and its tags alone changed; DeleteServiceLinkedRole removes it"}
}

// stored finds what is in the records.
func (c *change) stored(r Ref) (*Entity, error) {
	if r.Kind == KindRole && isFunctionRole(r.Name) {
		return nil, &UnmodifiableError{r.String(), "it is the own role of a function, and changes with the function's policy in its manifest when that is deployed"}
	}
	e := c.entities[r.key()]
	if e == nil {
		return nil, missing(r.Kind, r.Name)
	}
	return e, nil
}

// edit changes one entity.
func (d *Directory) edit(ctx context.Context, r Ref, fn func(*change, *Entity) error) error {
	return d.editOf(ctx, (*change).own, r, fn)
}

// editOf is edit for what find finds.
func (d *Directory) editOf(ctx context.Context, find func(*change, Ref) (*Entity, error), r Ref, fn func(*change, *Entity) error) error {
	return d.change(ctx, func(c *change) error {
		e, err := find(c, r)
		if err != nil {
			return err
		}
		e = e.copied()
		if err := fn(c, e); err != nil {
			return err
		}
		return c.put(e)
	})
}

// put makes e, a copy that nobody else has, what is known under its ID.
func (c *change) put(e *Entity) error {
	e.ARN = iamARN(c.d.place, e.Kind, e.Path, e.Name)
	c.entities[e.Ref().key()], c.byID[e.ID] = e, e
	if e.Kind == KindGroup {
		c.refresh(func(u *Entity) bool { return slices.Contains(u.Groups, e.ID) })
	} else {
		c.renewed = append(c.renewed, e)
	}
	return c.write(e.record(), e)
}

// refresh gives those new rights whose rights depend on what has changed.
func (c *change) refresh(depends func(*Entity) bool) {
	for id, e := range c.byID {
		if depends(e) {
			e = e.copied()
			c.byID[id], c.entities[e.Ref().key()] = e, e
			if e.Kind != KindGroup {
				c.renewed = append(c.renewed, e)
			}
		}
	}
}
