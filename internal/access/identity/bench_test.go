package identity

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/store"
)

// thousand is a directory of 1,000 users with 100 statements each, and of one
// role; it returns a key of each user and a session of the role.
func thousand(b *testing.B) (*Directory, *store.Store, []string, *Session) {
	b.Helper()
	s, err := store.Open(store.Options{Dir: b.TempDir(), Durability: store.DurabilityInterval})
	must(b, err)
	b.Cleanup(func() { s.Close() })
	d := openOn(b, s, options())
	// A quarter of a hundred statements of ten services, each about a resource.
	services := []string{"sqs:SendMessage", "sns:Publish", "s3:GetObject", "dynamodb:Query", "lambda:InvokeFunction", "events:PutEvents", "states:StartExecution", "logs:PutLogEvents", "kms:Decrypt", "secretsmanager:GetSecretValue"}
	document := func(i int) string {
		var list []string
		for j := range 25 {
			service, _, _ := strings.Cut(services[j%10], ":")
			list = append(list, fmt.Sprintf(`{"Effect":"Allow","Action":[%q,"%s:Describe*"],"Resource":"arn:aws:%s:eu-west-1:123456789012:q%d-%d*"}`, services[j%10], service, service, i, j))
		}
		return `{"Version":"2012-10-17","Statement":[` + strings.Join(list, ",") + `]}`
	}
	var keys []string
	ctx := b.Context()
	for i := range 1000 {
		name := fmt.Sprintf("user-%d", i)
		_, key := user(b, d, name, "")
		keys = append(keys, key.ID)
		for j := range 4 {
			p, err := d.CreatePolicy(ctx, NewPolicy{Name: fmt.Sprintf("p-%d-%d", i, j), Document: document(4*i + j)})
			must(b, err)
			must(b, d.Attach(ctx, User(name), p.ARN))
		}
	}
	role(b, d, "worker", trust(account+"user/user-0", ""), "")
	for j := range 4 {
		must(b, d.Attach(ctx, Role("worker"), fmt.Sprintf("%spolicy/p-0-%d", account, j)))
	}
	session, err := d.AssumeRole(caller(b, d, keys[0], ""), AssumeRole{RoleARN: account + "role/worker", SessionName: "run"})
	must(b, err)
	return d, s, keys, session
}

func Benchmark1000PrincipalsOf100Statements(b *testing.B) {
	d, s, keys, session := thousand(b)
	needs := make([]access.Need, len(keys))
	for i := range needs {
		needs[i] = access.Need{Action: "sqs:SendMessage", Resource: fmt.Sprintf("arn:aws:sqs:eu-west-1:123456789012:q%d-%d/x", 4*i+3, i%2*10)}
	}
	lookup := func(b *testing.B, key, token string) *access.Credential {
		c, err := d.Lookup(key, token)
		if err != nil {
			b.Fatal(err)
		}
		return c
	}
	b.Run("Lookup/key", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			lookup(b, keys[i%1000], "")
		}
	})
	b.Run("Lookup/token", func(b *testing.B) {
		for b.Loop() {
			lookup(b, session.KeyID, session.Token)
		}
	})
	b.Run("Lookup/parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				lookup(b, session.KeyID, session.Token)
			}
		})
	})
	b.Run("Lookup/unopened", func(b *testing.B) {
		for b.Loop() {
			if _, err := d.seal.open(session.Token); err != nil {
				b.Fatal(err)
			}
		}
	})
	callers := make([]*access.Caller, len(keys))
	for i, key := range keys {
		callers[i] = caller(b, d, key, "")
	}
	b.Run("Decide/one of them", func(b *testing.B) {
		for b.Loop() {
			if !d.Decide(callers[7], &needs[7]).Allowed {
				b.Fatal("denied")
			}
		}
	})
	b.Run("Decide/each in turn", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if !d.Decide(callers[i%1000], &needs[i%1000]).Allowed {
				b.Fatal("denied")
			}
		}
	})
	b.Run("LookupDecideUsed", func(b *testing.B) {
		c := new(access.Caller)
		for i := 0; b.Loop(); i++ {
			c.Credential = lookup(b, keys[i%1000], "")
			if !d.Decide(c, &needs[i%1000]).Allowed {
				b.Fatal("denied")
			}
			d.Used(c.Credential, "sqs", "eu-west-1", time.Unix(1, 0))
		}
	})
	b.Run("Lookup/after a change", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			b.StopTimer()
			must(b, d.Tag(b.Context(), User(fmt.Sprintf("user-%d", i%1000)), map[string]string{"n": fmt.Sprint(i)}))
			b.StartTimer()
			lookup(b, keys[i%1000], "")
		}
	})
	b.Run("Change", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			must(b, d.Tag(b.Context(), User("user-7"), map[string]string{"n": fmt.Sprint(i)}))
		}
	})
	must(b, d.Close())
	b.Run("Open", func(b *testing.B) {
		for b.Loop() {
			d, err := Open(b.Context(), s, options())
			must(b, err)
			must(b, d.Close())
		}
	})
	b.Run("Open/all compiled", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			d, err := Open(b.Context(), s, options())
			must(b, err)
			must(b, d.Close())
			b.StartTimer()
			d.catchUp(nil)
		}
	})
}
