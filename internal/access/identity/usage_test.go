package identity

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gust-dev/gust/internal/store"
)

// Uses are kept in memory, and written once a minute and at the end.
func TestWhenKeysWereLastUsed(t *testing.T) {
	fs := vfs.NewMem()
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(store.Options{Dir: "data", FS: fs})
		must(t, err)
		d, err := Open(t.Context(), s, options())
		must(t, err)
		c, key := user(t, d, "alice", "")
		r := role(t, d, "worker", trust(alice, ""), "")
		session, err := d.AssumeRole(c, AssumeRole{RoleARN: r.ARN, SessionName: "run"})
		must(t, err)
		written := func() (n int) {
			must(t, s.View(partition, func(v *store.Snapshot) error {
				for range v.Scan([]byte("used/")) {
					n++
				}
				return nil
			}))
			return n
		}
		if keys, _ := d.Keys("alice"); keys[0].Used != nil {
			t.Errorf("it was used at %v", keys[0].Used)
		}
		at := time.Now()
		d.Used(c.Credential, "sts", "eu-west-1", at)
		d.Used(caller(t, d, session.KeyID, session.Token).Credential, "sqs", "us-east-1", at)
		d.Used(d.root, "iam", "us-east-1", at)
		if keys, _ := d.Keys("alice"); keys[0].Used == nil || keys[0].Used.Service != "sts" || !keys[0].Used.At.Equal(at) {
			t.Errorf("it was used at %v", keys[0].Used)
		}
		if u := d.RoleUsed(r); u == nil || u.Region != "us-east-1" {
			t.Errorf("the role was used at %v", u)
		}
		if n := written(); n != 0 {
			t.Errorf("%d are written at once", n)
		}
		time.Sleep(usageEvery + time.Second)
		synctest.Wait()
		if n := written(); n != 3 {
			t.Errorf("%d are written after a minute", n)
		}
		before := d.state.Load().revision
		d.Used(c.Credential, "s3", "eu-west-1", time.Now())
		must(t, d.Close())
		must(t, d.Close())
		d, err = Open(t.Context(), s, options())
		must(t, err)
		if keys, _ := d.Keys("alice"); keys[0].Used == nil || keys[0].Used.Service != "s3" {
			t.Errorf("it was used at %v", keys[0].Used)
		}
		if d.state.Load().revision != before {
			t.Error("a use is a change")
		}
		// A key that is gone takes its uses along, noted or written.
		d.Used(c.Credential, "s3", "eu-west-1", time.Now().Add(time.Minute))
		must(t, d.DeleteKey(t.Context(), "alice", key.ID))
		must(t, d.Close())
		if n := written(); n != 2 {
			t.Errorf("%d are written when one key is gone", n)
		}
		must(t, s.Close())
	})
}
