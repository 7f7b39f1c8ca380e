package identity

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/store"
)

// Many ask while one grants and takes away, and says what counts: whoever asks
// after a change has returned is answered by it.
func TestNobodyIsAnsweredByStaleRights(t *testing.T) {
	s, err := store.Open(store.Options{Dir: t.TempDir(), Durability: store.DurabilityInterval})
	must(t, err)
	defer s.Close()
	d := openOn(t, s, options())
	c, key := user(t, d, "alice", "")
	r := role(t, d, "worker", trust(alice, ""), "")
	_, err = d.CreateGroup(t.Context(), NewEntity{Name: "devs"})
	must(t, err)
	must(t, d.AddToGroup(t.Context(), "devs", "alice"))
	shared, err := d.CreatePolicy(t.Context(), NewPolicy{Name: "shared", Document: allow("sqs:*", "*")})
	must(t, err)
	session, err := d.AssumeRole(c, AssumeRole{RoleARN: r.ARN, SessionName: "run", Limits: Limits{PolicyARNs: []string{awsPolicies + "AmazonSQSFullAccess"}}})
	must(t, err)
	// epoch is even while nothing may be done, odd while everything may, and
	// negative while it changes.
	var epoch atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	need := &access.Need{Action: "sqs:SendMessage", Resource: queue}
	var asked atomic.Int64
	for _, k := range [][2]string{{key.ID, ""}, {session.KeyID, session.Token}} {
		for range 3 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					before := epoch.Load()
					c, err := d.Lookup(k[0], k[1])
					if err != nil {
						t.Error(err)
						return
					}
					got := d.Decide(&access.Caller{Credential: c}, need).Allowed
					if after := epoch.Load(); before == after && before >= 0 && got != (before%2 == 1) {
						t.Errorf("in epoch %d it is allowed: %v", before, got)
						return
					}
					d.Used(c, "sqs", "eu-west-1", d.now())
					asked.Add(1)
				}
			})
		}
	}
	turn := func(i int64, fn func() error) {
		epoch.Store(-1)
		if err := fn(); err != nil {
			t.Error(err)
		}
		epoch.Store(i)
	}
	for i := int64(1); i < 200 && !t.Failed(); i += 2 {
		turn(i, func() error {
			return errors.Join(d.Attach(context.Background(), Group("devs"), shared.ARN), d.Attach(context.Background(), Role("worker"), shared.ARN))
		})
		turn(i+1, func() error {
			if i%4 == 1 {
				return errors.Join(d.Detach(context.Background(), Group("devs"), shared.ARN), d.Detach(context.Background(), Role("worker"), shared.ARN))
			}
			_, err := d.CreateVersion(context.Background(), shared.ARN, allow("s3:*", "*"), true)
			return err
		})
		turn(i+1, func() error {
			if i%4 == 1 {
				return nil
			}
			return errors.Join(d.Detach(context.Background(), Group("devs"), shared.ARN), d.Detach(context.Background(), Role("worker"), shared.ARN),
				d.SetDefaultVersion(context.Background(), shared.ARN, 1), d.DeleteVersion(context.Background(), shared.ARN, d.state.Load().policy(shared.ARN).Last))
		})
	}
	close(stop)
	wg.Wait()
	t.Logf("asked %d times", asked.Load())
}

// Many change at once: no change is lost, and names stay unique.
func TestChangesAreOneAfterTheOther(t *testing.T) {
	s, err := store.Open(store.Options{Dir: t.TempDir(), Durability: store.DurabilityInterval})
	must(t, err)
	defer s.Close()
	d := openOn(t, s, options())
	var made, taken atomic.Int64
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 25 {
				_, err := d.CreateUser(context.Background(), NewEntity{Name: fmt.Sprintf([]string{"user%d", "USER%d"}[w%2], i)})
				switch {
				case err == nil:
					made.Add(1)
				case errors.As(err, new(*ExistsError)):
					taken.Add(1)
				default:
					t.Error(err)
				}
				if err := d.Tag(context.Background(), User(fmt.Sprint("user", i)), map[string]string{fmt.Sprint("by", w): "x"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if made.Load() != 25 || taken.Load() != 7*25 {
		t.Errorf("%d were made, %d were taken", made.Load(), taken.Load())
	}
	must(t, d.Close())
	d = openOn(t, s, options())
	for _, e := range d.Entities(KindUser, "") {
		if len(e.Tags) != 8 {
			t.Errorf("%s has the tags %v", e.Name, e.Tags)
		}
	}
}

// More tokens than are kept open, by several at once: each is found, and the
// memory is bounded.
func TestOpenedTokensAreBounded(t *testing.T) {
	var o opened
	var wg sync.WaitGroup
	const length = 4 * gust.KB
	for w := range 4 {
		wg.Go(func() {
			for i := range maxOpened / length {
				token := fmt.Sprintf("%-*s", length, fmt.Sprintf("%d-%d", w, i))
				s := &session{claims: claims{Key: token}}
				if got := o.keep(token, s); got != s {
					t.Errorf("%.10s is %.10s", token, got.Key)
				}
				if got := o.find(token); got != nil && got != s {
					t.Errorf("%.10s is found as %.10s", token, got.Key)
				}
			}
		})
	}
	wg.Wait()
	n := 0
	for _, g := range []*generation{o.newer.Load(), o.last.Load()} {
		for range g.sessions.Range {
			n++
		}
	}
	if most := maxOpened / length; n > 2*(most+4) || n < most {
		t.Errorf("%d are kept", n)
	}
}
