package identity

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/policy"
)

// rights are what an entity may do. They depend on the entity, its groups and its
// managed policies; when one of them changes, the entity gets new ones
// (change.refresh). They are compiled within the change or soon after, and by who
// asks before that.
type rights struct {
	mu   sync.Mutex
	done atomic.Pointer[compiled]
}

type compiled struct {
	layers layers
	rights *policy.Rights
	// principal is a user's; a role's session makes its own.
	principal *access.Principal
}

// compiled is what e may do, as st has it or any later state in which e is.
func (st *state) compiled(e *Entity) *compiled {
	if c := e.rights.done.Load(); c != nil {
		return c
	}
	e.rights.mu.Lock()
	defer e.rights.mu.Unlock()
	if c := e.rights.done.Load(); c != nil {
		return c
	}
	c := &compiled{layers: st.layers(e)}
	if c.layers.err != nil { // what is damaged may have been a deny
		st.log.Error("a policy is damaged; whom it is about may do nothing", "of", e.ARN, "record", e.record(), "error", c.layers.err)
		c.layers.Layers = policy.Layers{}
	}
	c.rights = policy.Compile(c.layers.Layers)
	if e.Kind == KindUser {
		c.principal = &access.Principal{Kind: access.KindUser, Name: e.Name, ARN: e.ARN, ID: e.ID, Account: st.account, Tags: e.Tags}
	}
	e.rights.done.Store(c)
	return c
}

// layers are policy.Layers, and the first error of those that were added.
type layers struct {
	policy.Layers
	err error
}

func (l *layers) add(to *[]policy.Attached, d Document, format string, args ...any) {
	name := fmt.Sprintf(format, args...)
	doc, err := d.parsed()
	if err != nil && l.err == nil {
		l.err = fmt.Errorf("%s: %w", name, err)
	}
	*to = append(*to, policy.Attached{Name: name, Document: doc})
}

// layers collects all policies of e.
func (st *state) layers(e *Entity) (l layers) {
	owners := []*Entity{e}
	for _, id := range e.Groups {
		owners = append(owners, st.byID[id])
	}
	for _, owner := range owners {
		for _, name := range owner.InlineNames() {
			l.add(&l.Identity, owner.Inline[name], "inline policy %s of %s", name, owner.Ref())
		}
		for _, arn := range owner.Attached {
			p := st.policy(arn) // what is used is there: state.check
			l.add(&l.Identity, p.document(), "%s, attached to %s", p.Name, owner.Ref())
		}
	}
	if e.Boundary != "" {
		var boundary []policy.Attached
		l.add(&boundary, st.policy(e.Boundary).document(), "permissions boundary %s", e.Boundary)
		l.Boundary = &boundary[0]
	}
	return l
}

// compiledWithin bounds the users and roles whose rights are compiled within the
// change that they depend on. A group may have thousands of users, and who changes
// it would wait for seconds, and others for who changes it.
const compiledWithin = 32

// compile makes the rights ready that the change made anew, so that nobody who
// asks waits for it. What is over the bound is left to keepCompiled.
func (c *change) compile() {
	for i, e := range c.renewed {
		if i == compiledWithin {
			select {
			case c.d.behind <- struct{}{}:
			default: // it has been told
			}
			return
		}
		c.compiled(e)
	}
}

// keepCompiled compiles what is not: all that was read from the store, and what
// changes leave.
func (d *Directory) keepCompiled() {
	for {
		d.catchUp(d.closed)
		select {
		case <-d.behind:
		case <-d.closed:
			return
		}
	}
}

// catchUp compiles, one after the other, the rights that are not compiled yet,
// and parses the policies of resources and the trust policies, until stop is
// closed. A policy that is damaged is named in the log, and no error here.
func (d *Directory) catchUp(stop <-chan struct{}) {
	st := d.state.Load()
	stopped := func() bool {
		select {
		case <-stop:
			return true
		default:
			return false
		}
	}
	for _, e := range st.byID {
		switch {
		case stopped():
			return
		case e.Kind == KindGroup, d.state.Load().byID[e.ID] != e: // changed meanwhile
			continue
		case e.Kind == KindRole:
			_, _ = e.Trust.parsed()
		}
		st.compiled(e)
	}
	for _, doc := range st.resources {
		if stopped() {
			return
		}
		_, _ = doc.parsed()
	}
}
