package identity

import (
	"context"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/store"
	"github.com/gust-dev/gust/internal/store/storetest"
)

// text is the directory as text, without unique IDs and times.
func text(d *Directory) string {
	var b strings.Builder
	st := d.state.Load()
	fmt.Fprintf(&b, "revision %d alias %q", st.revision, st.alias)
	for _, kind := range []Kind{KindUser, KindGroup, KindRole} {
		for _, e := range d.Entities(kind, "") {
			fmt.Fprintf(&b, "; %s tags %v inline %v attached %v groups %d boundary %s keys %d", e.ARN, e.Tags, e.InlineNames(), e.Attached, len(e.Groups), e.Boundary, len(st.keysOf(e)))
		}
	}
	devices, users := d.MFADevices()
	for i, m := range devices {
		fmt.Fprintf(&b, "; %s of %v last %v", m.Serial, users[i] != nil, m.Last != 0)
	}
	for _, p := range slices.Sorted(maps.Keys(st.policies)) {
		fmt.Fprintf(&b, "; policy %s default %d of %d", p, st.policies[p].Default, len(st.policies[p].Versions))
	}
	for _, p := range d.Providers() {
		fmt.Fprintf(&b, "; provider %s", p.URL)
	}
	for _, arn := range slices.Sorted(maps.Keys(st.resources)) {
		fmt.Fprintf(&b, "; resource %s", arn)
	}
	return b.String()
}

// history is what an administrator does in a day.
func history() []func(context.Context, *Directory) error {
	var key string
	var codes seed // of the device
	device, code := account+"mfa/phone", func(d *Directory, ago int64) string { return codes.code(stepOf(d.now()) - ago) }
	shared := account + "policy/shared"
	return []func(context.Context, *Directory) error{
		func(ctx context.Context, d *Directory) error {
			_, err := d.CreateUser(ctx, NewEntity{Name: "alice", Tags: map[string]string{"a": "b"}})
			return err
		},
		func(ctx context.Context, d *Directory) error {
			k, _, err := d.CreateKey(ctx, "alice")
			if err == nil {
				key = k.ID
			}
			return err
		},
		func(ctx context.Context, d *Directory) error {
			_, text, err := d.CreateMFADevice(ctx, "phone", "", nil)
			if err == nil {
				codes, err = base32.StdEncoding.DecodeString(text)
			}
			return err
		},
		func(ctx context.Context, d *Directory) error {
			return d.EnableMFADevice(ctx, "alice", device, code(d, 2), code(d, 1))
		},
		func(ctx context.Context, d *Directory) error {
			_, err := d.CreatePolicy(ctx, NewPolicy{Name: "shared", Document: allow("sqs:*", "*")})
			return err
		},
		func(ctx context.Context, d *Directory) error {
			_, err := d.CreateGroup(ctx, NewEntity{Name: "devs"})
			return err
		},
		func(ctx context.Context, d *Directory) error { return d.AddToGroup(ctx, "devs", "alice") },
		func(ctx context.Context, d *Directory) error { return d.Attach(ctx, Group("devs"), shared) },
		func(ctx context.Context, d *Directory) error {
			_, err := d.CreateRole(ctx, NewEntity{Name: "worker", Trust: trust(alice, ""), Boundary: shared})
			return err
		},
		func(ctx context.Context, d *Directory) error {
			_, err := d.CreateLinkedRole(ctx, "batch.amazonaws.com", "", "")
			return err
		},
		func(ctx context.Context, d *Directory) error {
			_, err := d.CreateVersion(ctx, shared, allow("s3:*", "*"), true)
			return err
		},
		func(ctx context.Context, d *Directory) error {
			_, err := d.CreateProvider(ctx, IdentityProvider{URL: "https://example.com"})
			return err
		},
		func(ctx context.Context, d *Directory) error {
			return d.ChangeResourcePolicy(ctx, queue, func(string) (string, error) { return statement("Allow", `"*"`, "sqs:*", queue, ""), nil })
		},
		func(ctx context.Context, d *Directory) error { return d.Rename(ctx, User("alice"), "Alicia", "/x/") },
		func(ctx context.Context, d *Directory) error {
			c, err := d.Lookup(key, "")
			if err == nil {
				_, err = d.ShowFactor(ctx, &access.Caller{Credential: c}, device, code(d, 0))
			}
			return err
		},
		func(ctx context.Context, d *Directory) error { return d.DeactivateMFADevice(ctx, "alicia", device) },
		func(ctx context.Context, d *Directory) error { return d.DeleteMFADevice(ctx, device) },
		func(ctx context.Context, d *Directory) error { return d.DeleteKey(ctx, "alicia", key) },
		func(ctx context.Context, d *Directory) error { return d.RemoveFromGroup(ctx, "devs", "alicia") },
		func(ctx context.Context, d *Directory) error { return d.Delete(ctx, User("alicia")) },
		func(ctx context.Context, d *Directory) error {
			_, err := d.DeleteLinkedRole(ctx, "AWSServiceRoleForBatch")
			return err
		},
		func(ctx context.Context, d *Directory) error { return d.SetAlias(ctx, "acme") },
	}
}

func TestPowerCutAtEverySyncOfAChange(t *testing.T) {
	var acked atomic.Int64
	disk := storetest.New(acked.Load)
	openFS := func(fs vfs.FS) (*store.Store, *Directory, error) {
		s, err := store.Open(store.Options{Dir: "data", FS: fs})
		must(t, err)
		d, err := Open(t.Context(), s, options())
		return s, d, err
	}
	s, d, err := openFS(disk.FS())
	must(t, err)
	disk.Arm()
	states := []string{text(d)}
	steps := history()
	for i, step := range steps {
		if err := step(t.Context(), d); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		states = append(states, text(d))
		acked.Add(1)
	}
	cuts := disk.Disarm()
	must(t, d.Close())
	must(t, s.Close())
	if len(cuts) < len(steps) {
		t.Fatalf("only %d cuts", len(cuts))
	}
	for i, cut := range cuts {
		s, d, err := openFS(cut.FS)
		if err != nil {
			t.Errorf("cut %d at the sync of %s: %v", i, cut.At, err)
			continue
		}
		// Every acknowledged change is there; the one under way is there whole,
		// or not at all.
		got := text(d)
		if got != states[cut.Seen] && (int(cut.Seen)+1 == len(states) || got != states[cut.Seen+1]) {
			t.Errorf("cut %d at the sync of %s, after %d changes: %s", i, cut.At, cut.Seen, got)
		}
		if _, err := d.CreateUser(t.Context(), NewEntity{Name: "later"}); err != nil {
			t.Errorf("cut %d: it takes no more: %v", i, err)
		}
		must(t, d.Close())
		must(t, s.Close())
	}
	t.Logf("%d cuts", len(cuts))
}

func TestADiskThatFailsAcknowledgesNothing(t *testing.T) {
	broken := errors.New("the disk is broken")
	var failing atomic.Bool
	hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if failing.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return broken
		}
		return nil
	})
	fatal := make(chan error, 1)
	s, err := store.Open(store.Options{Dir: "data", FS: errorfs.Wrap(vfs.NewMem(), hook), Logger: slog.New(slog.DiscardHandler), OnFatal: func(err error) { fatal <- err }})
	must(t, err)
	defer s.Close()
	d, err := Open(t.Context(), s, options())
	must(t, err)
	defer d.Close()
	_, key := user(t, d, "alice", "")
	before := d.state.Load()
	failing.Store(true)
	if err := d.PutInline(t.Context(), User("alice"), "all", allow("*", "*")); err == nil {
		t.Error("it was acknowledged")
	}
	<-fatal
	if d.state.Load() != before || may(t, d, key.ID, "", "s3:GetObject", "*") {
		t.Error("rights count that may not be there")
	}
	if err := d.SetAlias(t.Context(), "acme"); err == nil {
		t.Error("it goes on")
	}
}

// A record that is not what it was is refused by its name, and not left out: an
// identity that is gone could be a deny that is gone.
func TestDamagedRecordsAreNamed(t *testing.T) {
	d, s := open(t, options())
	for i, step := range history()[:13] {
		if err := step(t.Context(), d); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	_, err := d.CreateUser(t.Context(), NewEntity{Name: "bob"})
	must(t, err)
	bob, err := d.Entity(User("bob"))
	must(t, err)
	worker, err := d.Entity(Role("worker"))
	must(t, err)
	linked, err := d.Entity(Role("AWSServiceRoleForBatch"))
	must(t, err)
	shared, err := d.Policy(account + "policy/shared")
	must(t, err)
	must(t, d.Close())
	records := map[string][]byte{}
	must(t, s.View(partition, func(v *store.Snapshot) error {
		for k, value := range v.Scan(nil) {
			records[string(k)] = slices.Clone(value)
		}
		return nil
	}))
	write := func(key string, value []byte) {
		t.Helper()
		must(t, s.Update(t.Context(), partition, func(tx *store.Tx) error {
			if value == nil {
				return tx.Delete([]byte(key))
			}
			return tx.Set([]byte(key), value)
		}))
	}
	refusesToOpen := func(what, key string) {
		t.Helper()
		if _, err := Open(t.Context(), s, options()); !errors.Is(err, gust.ErrCorrupt) || !strings.Contains(err.Error(), key) {
			t.Errorf("%s of %s: %v", what, key, err)
		}
	}
	kinds := map[string]bool{}
	for key, value := range records {
		kind, _, named := strings.Cut(key, "/")
		if !named && key != keyRevision {
			continue
		}
		kinds[kind] = true
		write(key, value[:len(value)/2])
		refusesToOpen("half", key)
		write(key, []byte("{}"))
		if kind != "resource" && kind != "entity" {
			refusesToOpen("nothing", key)
		}
		write(key, value)
		if named {
			write(key+"x", value)
			if kind != "resource" {
				refusesToOpen("a copy", key+"x")
			}
			write(key+"x", nil)
		}
	}
	if len(kinds) != 7 {
		t.Errorf("tried are %v", kinds)
	}
	// A policy that allows anything else than what was parsed, an attachment
	// and a membership of nothing, a key of nobody.
	damage := func(key, named string, change func(map[string]any)) {
		t.Helper()
		var record map[string]any
		must(t, json.Unmarshal(records[key], &record))
		change(record)
		data, err := json.Marshal(record)
		must(t, err)
		write(key, data)
		refusesToOpen("damage", named)
		write(key, records[key])
	}
	damage(bob.record(), bob.record(), func(r map[string]any) { r["attached"] = []string{account + "policy/none"} })
	damage(bob.record(), bob.record(), func(r map[string]any) { r["boundary"] = account + "policy/none" })
	damage(bob.record(), bob.record(), func(r map[string]any) { r["groups"] = []string{"AGPANONE"} })
	damage(bob.record(), bob.record(), func(r map[string]any) { r["inline"] = map[string]any{"x": map[string]string{"text": "{"}} })
	damage(bob.record(), "another user", func(r map[string]any) { r["name"] = "ALICE" })
	damage(worker.record(), worker.record(), func(r map[string]any) { delete(r, "trust") })
	damage(worker.record(), worker.record(), func(r map[string]any) { r["kind"] = "wizard" })
	for _, part := range []string{"user", "enabled", "sealed", "path"} {
		damage("device/phone", "device/phone", func(r map[string]any) { delete(r, part) })
	}
	damage("device/phone", "device/phone", func(r map[string]any) { r["user"] = worker.ID })
	damage(linked.record(), linked.record(), func(r map[string]any) { r["path"] = "/" })
	damage(bob.record(), bob.record(), func(r map[string]any) { r["service"] = "batch.amazonaws.com" })
	damage(shared.record(), shared.record(), func(r map[string]any) { r["default"] = 7 })
	damage(shared.record(), shared.record(), func(r map[string]any) { delete(r["versions"].([]any)[0].(map[string]any), "document") })
	write("strange/x", []byte("{}"))
	refusesToOpen("a strange record", "strange/x")
	write("strange/x", nil)

	o := options()
	o.Place.Account = "210987654321"
	if _, err := Open(t.Context(), s, o); !errors.Is(err, gust.ErrInvalid) || !strings.Contains(err.Error(), "123456789012") {
		t.Errorf("another account: %v", err)
	}
	d = openOn(t, s, options())
	if len(d.Entities(KindUser, "")) != 2 {
		t.Error("what is whole is not")
	}
}

// A document that is whole and no policy was not stored so. It is found
// behind the start, or when it is needed, and whom it is about may do nothing,
// since it may have been a deny.
func TestWhoHasADamagedPolicyMayDoNothing(t *testing.T) {
	var log strings.Builder
	o := options()
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	d, s := open(t, o)
	c, key := user(t, d, "alice", allow("*", "*"))
	must(t, d.PutInline(t.Context(), User("alice"), "not", statement("Deny", "", "s3:*", "*", "")))
	role(t, d, "worker", trust(alice, ""), "")
	must(t, d.ChangeResourcePolicy(t.Context(), queue, func(string) (string, error) {
		return statement("Deny", `"*"`, "sqs:DeleteQueue", queue, ""), nil
	}))
	alice, err := d.Entity(User("alice"))
	must(t, err)
	worker, err := d.Entity(Role("worker"))
	must(t, err)
	must(t, d.Close())
	must(t, s.Update(t.Context(), partition, func(tx *store.Tx) error {
		for _, key := range []string{alice.record(), worker.record(), "resource/" + queue} {
			v, err := tx.Get([]byte(key))
			if err != nil {
				return err
			}
			v = []byte(strings.NewReplacer("Deny", "Dxny", `Principal\":{\"AWS`, `Principal\":{\"AXS`).Replace(string(v)))
			if err := tx.Set([]byte(key), v); err != nil {
				return err
			}
		}
		return nil
	}))
	d = openOn(t, s, o)
	if may(t, d, key.ID, "", "sqs:SendMessage", "*") {
		t.Error("alice may something without her deny")
	}
	if !strings.Contains(log.String(), alice.record()) {
		t.Errorf("the log does not name the record: %s", log.String())
	}
	if _, _, err := d.Layers("alice"); !errors.Is(err, gust.ErrCorrupt) {
		t.Errorf("her policies: %v", err)
	}
	must(t, d.DeleteInline(t.Context(), User("alice"), "not"))
	if !may(t, d, key.ID, "", "sqs:SendMessage", "*") || may(t, d, key.ID, "", "sqs:SendMessage", queue) {
		t.Error("what is repaired and what is not are taken for each other")
	}
	if _, err := d.Explain("alice", "sqs:SendMessage", queue, nil); !errors.Is(err, gust.ErrCorrupt) {
		t.Errorf("the queue's policy: %v", err)
	}
	_, err = d.AssumeRole(c, AssumeRole{RoleARN: worker.ARN, SessionName: "run"})
	denied(t, "a role with a damaged trust policy", err)
}

// A backup holds no secret that is worth anything without the seal key.
func TestSecretsAreSealed(t *testing.T) {
	d, s := open(t, options())
	_, err := d.CreateUser(t.Context(), NewEntity{Name: "alice"})
	must(t, err)
	key, secret, err := d.CreateKey(t.Context(), "alice")
	must(t, err)
	other, _, err := d.CreateKey(t.Context(), "alice")
	must(t, err)
	must(t, s.View(partition, func(v *store.Snapshot) error {
		for k, value := range v.Scan(nil) {
			if strings.Contains(string(value), secret) {
				t.Errorf("the record %s holds the secret", k)
			}
		}
		return nil
	}))
	must(t, d.Close())

	var log strings.Builder
	o := options()
	o.Seal[0]++
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	d = openOn(t, s, o)
	refused(t, d, "another seal key", key.ID, "")
	if !strings.Contains(log.String(), key.ID) || !strings.Contains(log.String(), "seal key") {
		t.Errorf("the log says %s", log.String())
	}
	keys, err := d.Keys("alice")
	must(t, err)
	if !keys[0].Unusable || !keys[1].Unusable {
		t.Errorf("they are shown as %+v", keys)
	}
	if err := d.SetKeyActive(t.Context(), "alice", key.ID, true); !errors.Is(err, gust.ErrInvalid) || !strings.Contains(err.Error(), "another seal key") {
		t.Errorf("letting it in: %v", err)
	}
	must(t, d.DeleteKey(t.Context(), "alice", other.ID)) // what the log advises
	_, fresh, err := d.CreateKey(t.Context(), "alice")
	must(t, err)
	if len(fresh) != 40 {
		t.Errorf("a secret of %d characters", len(fresh))
	}
	must(t, d.Close())
	d = openOn(t, s, options())
	caller(t, d, key.ID, "") // the seal key is back
}
