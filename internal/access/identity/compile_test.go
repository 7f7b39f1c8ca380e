package identity

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/gust-dev/gust/internal/store"
)

// compiledOf is how many of those whose names begin with prefix have their rights
// ready.
func compiledOf(d *Directory, prefix string) (n int) {
	for _, e := range d.state.Load().byID {
		if strings.HasPrefix(e.Name, prefix) && e.rights.done.Load() != nil {
			n++
		}
	}
	return n
}

// Whatever changes what somebody may do has it compiled when the change is
// acknowledged: no request waits for that.
func TestRightsAreCompiledWithTheChange(t *testing.T) {
	d, _ := open(t, options())
	ctx := t.Context()
	p, err := d.CreatePolicy(ctx, NewPolicy{Name: "p", Document: allow("sqs:*", "*")})
	must(t, err)
	_, err = d.CreateGroup(ctx, NewEntity{Name: "devs"})
	must(t, err)
	must(t, d.Close()) // nothing is compiled but with the changes
	for _, c := range []struct {
		what   string
		change func() error
	}{
		{"those who are made", func() error {
			_, err := d.CreateUser(ctx, NewEntity{Name: "ann"})
			must(t, err)
			_, err = d.CreateRole(ctx, NewEntity{Name: "anchor", Trust: trust(account+"root", "")})
			return err
		}},
		{"an inline policy", func() error { return d.PutInline(ctx, User("ann"), "own", allow("sns:*", "*")) }},
		{"a role's boundary", func() error { return d.SetBoundary(ctx, Role("anchor"), p.ARN) }},
		{"a membership", func() error { return d.AddToGroup(ctx, "devs", "ann") }},
		{"a policy of the group", func() error { return d.Attach(ctx, Group("devs"), p.ARN) }},
		{"a version of a policy", func() error { _, err := d.CreateVersion(ctx, p.ARN, allow("sqs:Get*", "*"), true); return err }},
	} {
		must(t, c.change())
		if got := compiledOf(d, "an"); got != 2 {
			t.Errorf("%s: the rights of %d are compiled, want those of ann and anchor", c.what, got)
		}
	}

	// Those of a large group do not hold up who changes it, and follow.
	const members = compiledWithin + 8
	for i := range members {
		name := fmt.Sprintf("member-%d", i)
		_, err := d.CreateUser(ctx, NewEntity{Name: name})
		must(t, err)
		must(t, d.AddToGroup(ctx, "devs", name))
	}
	if len(d.behind) != 0 {
		t.Error("something is left to be compiled after small changes")
	}
	must(t, d.Detach(ctx, Group("devs"), p.ARN))
	if got := compiledOf(d, "member-") + compiledOf(d, "ann"); got != compiledWithin || len(d.behind) != 1 {
		t.Errorf("with a change of all the rights of %d are compiled, want %d, and the others soon", got, compiledWithin)
	}
	d.catchUp(nil)
	if got := compiledOf(d, "member-"); got != members {
		t.Errorf("then the rights of %d are compiled, want those of all %d", got, members)
	}
}

// told is a log that tells of one message.
type told struct {
	slog.Handler
	message string
	heard   chan struct{}
}

func (l *told) Enabled(context.Context, slog.Level) bool { return true }

func (l *told) Handle(_ context.Context, r slog.Record) error {
	if r.Message == l.message {
		close(l.heard)
	}
	return nil
}

// After a start what was stored is compiled, whether anybody asks or not: the log
// names what is damaged.
func TestWhatIsStoredIsCompiledAfterAStart(t *testing.T) {
	d, s := open(t, options())
	user(t, d, "alice", allow("sqs:*", "*"))
	alice, err := d.Entity(User("alice"))
	must(t, err)
	must(t, d.Close())
	must(t, s.Update(t.Context(), partition, func(tx *store.Tx) error {
		v, err := tx.Get([]byte(alice.record()))
		if err != nil {
			return err
		}
		return tx.Set([]byte(alice.record()), []byte(strings.Replace(string(v), "Allow", "Axlow", 1)))
	}))
	o := options()
	l := &told{message: "a policy is damaged; whom it is about may do nothing", heard: make(chan struct{})}
	o.Logger = slog.New(l)
	openOn(t, s, o)
	<-l.heard
}
