package identity

import (
	"errors"
	"log/slog"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/store"
)

var place = gust.Place{Account: "123456789012", Region: "eu-west-1"}

// options are a test's: fixed keys, and no log.
func options() Options {
	return Options{
		Place: place, Seal: [32]byte{1, 2, 3}, Logger: slog.New(slog.DiscardHandler),
		Root: &access.Key{ID: "AKIAROOTROOTROOTROOT", Secret: "root secret"},
	}
}

func open(t testing.TB, o Options) (*Directory, *store.Store) {
	t.Helper()
	s, err := store.Open(store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return openOn(t, s, o), s
}

func openOn(t testing.TB, s *store.Store, o Options) *Directory {
	t.Helper()
	d, err := Open(t.Context(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// must fails the test by an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestKeysLetUsersInUntilTheyAreInactiveOrDeleted(t *testing.T) {
	d, s := open(t, options())
	alice, err := d.CreateUser(t.Context(), NewEntity{Name: "Alice", Path: "/team/blue/", Tags: map[string]string{"Team": "blue"}})
	must(t, err)
	if want := "arn:aws:iam::123456789012:user/team/blue/Alice"; alice.ARN != want {
		t.Errorf("the ARN is %s, want %s", alice.ARN, want)
	}
	key, secret, err := d.CreateKey(t.Context(), "alice")
	must(t, err)
	in := func(d *Directory) {
		t.Helper()
		c, err := d.Lookup(key.ID, "")
		must(t, err)
		if c.Secret != secret || c.Principal.ID != alice.ID || c.Principal.ARN != alice.ARN || c.Principal.Kind != access.KindUser {
			t.Errorf("the key stands for %+v", c.Principal)
		}
	}
	out := func(why string) {
		t.Helper()
		var e *access.Error
		if _, err := d.Lookup(key.ID, ""); !errors.As(err, &e) || e.Code != access.Invalid {
			t.Errorf("%s: %v", why, err)
		}
	}
	in(d)
	must(t, d.SetKeyActive(t.Context(), "alice", key.ID, false))
	out("inactive")
	must(t, d.SetKeyActive(t.Context(), "alice", key.ID, true))
	in(d)
	must(t, d.Close())
	d = openOn(t, s, options())
	in(d)
	if err := d.Delete(t.Context(), User("alice")); !errors.Is(err, gust.ErrConflict) {
		t.Errorf("deleting a user with a key: %v", err)
	}
	must(t, d.DeleteKey(t.Context(), "alice", key.ID))
	out("deleted")
	must(t, d.Delete(t.Context(), User("alice")))
}
