package identity

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

func TestNamesPathsAndTags(t *testing.T) {
	d, _ := open(t, options())
	long := func(n int) string { return strings.Repeat("a", n) }
	for name, ok := range map[string]bool{
		"alice": true, "Bob.Smith+test=1,2@x_y-z": true, long(64): true,
		"": false, long(65): false, ".": false, "..": false, "a/b": false, "../alice": false, "a b": false, "a*": false, "a?": false,
		"a:b": false, "${aws:username}": false, "a\x00": false, "ümlaut": false, "a\n": false, "fn.x": false,
	} {
		if _, err := d.CreateUser(t.Context(), NewEntity{Name: name}); (err == nil) != ok {
			t.Errorf("user %q: %v", name, err)
		} else if !ok && !errors.Is(err, gust.ErrInvalid) {
			t.Errorf("user %q: %v is not invalid", name, err)
		}
	}
	for i, test := range []struct {
		path string
		ok   bool
	}{
		{"/", true}, {"/a/", true}, {"/team/Blue_1.x/", true}, {"/" + strings.Repeat("abc/", 127), true},
		{"a", false}, {"/a", false}, {"a/", false}, {"//", false}, {"/a//b/", false}, {"/../", false}, {"/a/../b/", false}, {"/./", false},
		{"/*/", false}, {"/${aws:username}/", false}, {"/a:b/", false}, {"/a b/", false}, {"/\x7f/", false}, {"/%2e%2e/", false},
		{"/" + strings.Repeat("abc/", 128), false}, {"/gust/", false},
	} {
		n := NewEntity{Name: fmt.Sprint("path", i), Path: test.path}
		if e, err := d.CreateUser(t.Context(), n); (err == nil) != test.ok {
			t.Errorf("path %q: %v", test.path, err)
		} else if test.ok && e.ARN != account+"user"+test.path+n.Name {
			t.Errorf("path %q: the ARN is %s", test.path, e.ARN)
		}
	}
	for i, test := range []struct {
		key, value string
		ok         bool
	}{
		{"Team", "blue", true}, {"a:b/c=d", "", true}, {"ключ", "ñ x", true}, {long(128), long(256), true},
		{"", "x", false}, {long(129), "", false}, {"a", long(257), false}, {"aws:x", "", false}, {"AWS:x", "", false},
		{"a*", "", false}, {"a", "<b>", false}, {"a", "\x00", false}, {"a", "\xff", false},
	} {
		if _, err := d.CreateUser(t.Context(), NewEntity{Name: fmt.Sprint("tag", i), Tags: map[string]string{test.key: test.value}}); (err == nil) != test.ok {
			t.Errorf("tag %q=%q: %v", test.key, test.value, err)
		}
	}
	if _, err := d.CreateUser(t.Context(), NewEntity{Name: "twice", Tags: map[string]string{"Team": "a", "team": "b"}}); !errors.Is(err, gust.ErrInvalid) {
		t.Errorf("one tag twice: %v", err)
	}
	for alias, ok := range map[string]bool{"my-company": true, "abc": true, "a1b": true, "ab": false, "-abc": false, "abc-": false, "a--b": false, "ABC": false, "123456789012": false, long(63): true, long(64): false} {
		if err := d.SetAlias(t.Context(), alias); (err == nil) != ok {
			t.Errorf("alias %q: %v", alias, err)
		}
	}
}

func TestNamesAreOneWhateverTheirCase(t *testing.T) {
	d, s := open(t, options())
	_, err := d.CreateUser(t.Context(), NewEntity{Name: "Alice"})
	must(t, err)
	if _, err := d.CreateUser(t.Context(), NewEntity{Name: "ALICE", Path: "/x/"}); !errors.As(err, new(*ExistsError)) {
		t.Errorf("ALICE beside Alice: %v", err)
	}
	_, err = d.CreateGroup(t.Context(), NewEntity{Name: "alice"})
	must(t, err)
	_, err = d.CreateUser(t.Context(), NewEntity{Name: "bob"})
	must(t, err)
	if err := d.Rename(t.Context(), User("bob"), "aLiCe", ""); !errors.As(err, new(*ExistsError)) {
		t.Errorf("bob becomes aLiCe: %v", err)
	}
	must(t, d.Rename(t.Context(), User("alice"), "ALICE", "/x/"))
	must(t, d.Rename(t.Context(), User("bob"), "carol", ""))
	if err := d.Rename(t.Context(), User("carol"), "fn.x", ""); !errors.Is(err, gust.ErrInvalid) {
		t.Errorf("carol becomes a function: %v", err)
	}
	must(t, d.Close())
	d = openOn(t, s, options())
	e, err := d.Entity(User("Alice"))
	must(t, err)
	if e.Name != "ALICE" || e.ARN != account+"user/x/ALICE" {
		t.Errorf("alice is %s", e.ARN)
	}
	if list := d.Entities(KindUser, ""); len(list) != 2 || list[1].Name != "carol" {
		t.Errorf("the users are %v", list)
	}
}

// Every limit names itself and its number.
func TestLimits(t *testing.T) {
	d, _ := open(t, options())
	_, key := user(t, d, "alice", "")
	role(t, d, "worker", trust(alice, ""), "")
	_, err := d.CreateGroup(t.Context(), NewEntity{Name: "devs"})
	must(t, err)
	pol, err := d.CreatePolicy(t.Context(), NewPolicy{Name: "p0", Document: allow("s3:*", "*")})
	must(t, err)
	ctx := t.Context()
	// big has n characters that count, and some that do not.
	big := func(n int) string {
		doc := allow("sqs:*", "arn:aws:sqs:*:*:")
		doc = strings.Repeat(" \n", 500) + doc
		for sizeOf(doc) < n {
			doc = strings.Replace(doc, `"sqs:*"`, fmt.Sprintf(`"sqs:*","sqs:%s*"`, strings.Repeat("x", min(100, max(0, n-sizeOf(doc)-len(`,"sqs:*"`))))), 1)
		}
		return doc
	}
	if n := sizeOf(big(2048)); n < 2048 || n > 2060 {
		t.Fatalf("the test's document has %d characters", n)
	}
	repeated := func(n int, fn func(i int) error) error {
		for i := range n {
			if err := fn(i); err != nil {
				return fmt.Errorf("already at %d: %v", i, err)
			}
		}
		return fn(n)
	}
	_, err2 := d.CreatePolicy(ctx, NewPolicy{Name: "big", Document: big(MaxManaged + 1)})
	_, err3 := d.CreateRole(ctx, NewEntity{Name: "big", Trust: strings.Replace(trust(alice, ""), "sts:AssumeRole", "sts:AssumeRole"+strings.Repeat(`","sts:TagSession`, 300), 1)})
	_, err4 := d.CreateProvider(ctx, IdentityProvider{URL: "https://example.com", ClientIDs: make([]string, 101)})
	_, err5 := d.CreateProvider(ctx, IdentityProvider{URL: "https://example.com", Thumbprints: make([]string, 6)})
	for what, test := range map[string]struct {
		err  error
		want string
	}{
		"keys":         {repeated(1, func(int) error { _, _, err := d.CreateKey(ctx, "alice"); return err }), "access keys of user alice is 2"},
		"user inline":  {d.PutInline(ctx, User("alice"), "x", big(MaxUserInline+1)), "is 2048"},
		"group inline": {d.PutInline(ctx, Group("devs"), "x", big(MaxGroupInline+1)), "is 5120"},
		"role inline":  {d.PutInline(ctx, Role("worker"), "x", big(MaxRoleInline+1)), "is 10240"},
		"all inline":   {repeated(3, func(i int) error { return d.PutInline(ctx, User("alice"), fmt.Sprint("x", i), big(600)) }), "all inline policies of user alice, white space not counted is 2048"},
		"managed":      {err2, "is 6144"},
		"trust":        {err3, "is 4096"},
		"client IDs":   {err4, "client IDs of provider example.com is 100"},
		"thumbprints":  {err5, "thumbprints of provider example.com is 5"},
		"versions":     {repeated(4, func(int) error { _, err := d.CreateVersion(ctx, pol.ARN, allow("s3:*", "*"), false); return err }), "versions of policy p0 is 5"},
		"groups of user": {repeated(10, func(i int) error {
			name := fmt.Sprint("g", i)
			d.CreateGroup(ctx, NewEntity{Name: name})
			return d.AddToGroup(ctx, name, "alice")
		}), "groups of user alice is 10"},
		"attached": {repeated(10, func(i int) error {
			p, err := d.CreatePolicy(ctx, NewPolicy{Name: fmt.Sprint("a", i), Document: allow("s3:*", "*")})
			if err != nil {
				return err
			}
			return d.Attach(ctx, Role("worker"), p.ARN)
		}), "managed policies attached to role worker is 10"},
		"tags": {repeated(50, func(i int) error { return d.Tag(ctx, User("alice"), map[string]string{fmt.Sprint("k", i): "v"}) }), "tags is 50"},
	} {
		if !errors.As(test.err, new(*LimitError)) || !errors.Is(test.err, gust.ErrTooLarge) || !strings.Contains(test.err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", what, test.err, test.want)
		}
	}
	for _, longest := range []time.Duration{time.Hour - time.Second, 12*time.Hour + time.Second, 0, -1} {
		if err := d.UpdateRole(ctx, "worker", nil, &longest); !errors.Is(err, gust.ErrInvalid) {
			t.Errorf("a longest session of %v: %v", longest, err)
		}
	}
	if keys, _ := d.Keys("alice"); len(keys) != 2 || keys[0].ID != key.ID {
		t.Errorf("alice has the keys %v", keys)
	}
}

func TestNumbersOfEntitiesAreLimited(t *testing.T) {
	d, _ := open(t, options())
	st := *d.state.Load()
	st.entities = map[Ref]*Entity{}
	for i := range MaxGroups {
		st.entities[Group(fmt.Sprint(i))] = &Entity{Kind: KindGroup}
	}
	d.state.Store(&st)
	if _, err := d.CreateGroup(t.Context(), NewEntity{Name: "one-more"}); !errors.As(err, new(*LimitError)) || !strings.Contains(err.Error(), "groups is 500") {
		t.Errorf("the 501st group: %v", err)
	}
}

// As with AWS, what hangs on something goes first.
func TestWhatIsInUseIsNotDeleted(t *testing.T) {
	d, _ := open(t, options())
	ctx := t.Context()
	_, key := user(t, d, "alice", allow("s3:*", "*"))
	role(t, d, "worker", trust(alice, ""), allow("s3:*", "*"))
	_, err := d.CreateGroup(ctx, NewEntity{Name: "devs"})
	must(t, err)
	must(t, d.PutInline(ctx, Group("devs"), "own", allow("s3:*", "*")))
	p, err := d.CreatePolicy(ctx, NewPolicy{Name: "shared", Document: allow("s3:*", "*")})
	must(t, err)
	for _, r := range []Ref{User("alice"), Role("worker"), Group("devs")} {
		must(t, d.Attach(ctx, r, p.ARN))
	}
	must(t, d.SetBoundary(ctx, User("alice"), p.ARN))
	must(t, d.AddToGroup(ctx, "devs", "alice"))
	_, err = d.CreateVersion(ctx, p.ARN, allow("sqs:*", "*"), true)
	must(t, err)
	if u := d.Uses(p.ARN); len(u.Attached) != 3 || len(u.Bounded) != 1 {
		t.Errorf("it is used by %v", u)
	}
	if attached, bounded := d.Attachments(); attached[p.ARN] != 3 || bounded[p.ARN] != 1 {
		t.Errorf("it is attached %d times and bounds %d", attached[p.ARN], bounded[p.ARN])
	}
	inUse := func(err error, want string) {
		t.Helper()
		if !errors.As(err, new(*InUseError)) || !errors.Is(err, gust.ErrConflict) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q", err, want)
		}
	}
	inUse(d.Delete(ctx, User("alice")), "1 access keys")
	must(t, d.DeleteKey(ctx, "alice", key.ID))
	inUse(d.Delete(ctx, User("alice")), "detach")
	must(t, d.Detach(ctx, User("alice"), p.ARN))
	inUse(d.Delete(ctx, User("alice")), "1 inline policies")
	must(t, d.DeleteInline(ctx, User("alice"), "own"))
	inUse(d.Delete(ctx, User("alice")), "1 groups")
	inUse(d.Delete(ctx, Role("worker")), "detach")
	must(t, d.Detach(ctx, Role("worker"), p.ARN))
	inUse(d.Delete(ctx, Role("worker")), "1 inline policies")
	inUse(d.Delete(ctx, Group("devs")), "detach")
	must(t, d.Detach(ctx, Group("devs"), p.ARN))
	inUse(d.Delete(ctx, Group("devs")), "1 inline policies")
	must(t, d.DeleteInline(ctx, Group("devs"), "own"))
	inUse(d.Delete(ctx, Group("devs")), "1 users")
	inUse(d.DeletePolicy(ctx, p.ARN), "bounds 1")
	must(t, d.RemoveFromGroup(ctx, "devs", "alice"))
	must(t, d.Delete(ctx, User("alice"))) // its boundary goes with it
	inUse(d.DeletePolicy(ctx, p.ARN), "2 versions")
	inUse(d.DeleteVersion(ctx, p.ARN, 2), "default version")
	must(t, d.DeleteVersion(ctx, p.ARN, 1))
	must(t, d.DeletePolicy(ctx, p.ARN))
	must(t, d.Delete(ctx, Group("devs")))
	for what, err := range map[string]error{
		"user": d.Delete(ctx, User("alice")), "policy": d.DeletePolicy(ctx, p.ARN), "version": d.SetDefaultVersion(ctx, p.ARN, 1),
		"inline": d.DeleteInline(ctx, Role("worker"), "none"), "key": d.DeleteKey(ctx, "worker", key.ID), "boundary": d.DeleteBoundary(ctx, Role("worker")),
		"attach": d.Attach(ctx, Role("worker"), p.ARN), "member": d.AddToGroup(ctx, "devs", "worker"),
	} {
		if !errors.As(err, new(*NotFoundError)) || !errors.Is(err, gust.ErrNotFound) {
			t.Errorf("%s that is not there: %v", what, err)
		}
	}
}

// A trust policy or a resource's policy that names nobody is refused, as AWS
// does, so that nobody can make themselves who is named.
func TestPoliciesNameWhoIsThere(t *testing.T) {
	d, _ := open(t, options())
	for principal, ok := range map[string]bool{
		account + "root": true, "123456789012": true, "arn:aws:iam::999999999999:user/x": true, "*": true,
		alice: false, account + "role/worker": false, "arn:aws:sts::123456789012:assumed-role/worker/run": false,
	} {
		_, err := d.CreateRole(t.Context(), NewEntity{Name: "r" + fmt.Sprint(len(principal)), Trust: trust(principal, "")})
		if (err == nil) != ok || !ok && !errors.As(err, new(*MalformedPolicyError)) {
			t.Errorf("%s: %v", principal, err)
		}
	}
}

func TestProviders(t *testing.T) {
	d, s := open(t, options())
	for u, ok := range map[string]bool{
		"https://token.example.com": true, "https://example.com:8443/realms/x/": true, "https://example.com/a%20b": true,
		"http://localhost:8080/realms/x": true, "http://example.com": false, "https://": false, "example.com": false, "https://a@example.com": false, "https://example.com?x": false,
		"https://example.com/../x": false, "https://example.com//x": false, "https://example.com/#x": false, "https://example.com/*": false,
		"https://" + strings.Repeat("a", 255): false,
	} {
		if _, err := d.CreateProvider(t.Context(), IdentityProvider{URL: u}); (err == nil) != ok {
			t.Errorf("%s: %v", u, err)
		}
	}
	for issuer, ok := range map[string]bool{
		"https://token.example.com": true, "https://token.example.com/": true, "http://token.example.com": false, "token.example.com": false,
		"http://localhost:8080/realms/x": true, "https://localhost:8080/realms/x": false, "": false,
	} {
		if p, err := d.ProviderOf(issuer); (err == nil) != ok || ok && p.Issuer() != strings.TrimSuffix(issuer, "/") {
			t.Errorf("the provider of %q is %+v: %v", issuer, p, err)
		}
	}
	arn := account + "oidc-provider/example.com:8443/realms/x"
	must(t, d.UpdateProvider(t.Context(), arn, func(p *IdentityProvider) error {
		p.ClientIDs, p.Thumbprints = []string{"me"}, []string{strings.Repeat("a1", 20)}
		return nil
	}))
	must(t, d.Tag(t.Context(), Provider(arn), map[string]string{"a": "b"}))
	if err := d.UpdateProvider(t.Context(), arn, func(p *IdentityProvider) error { p.Thumbprints = []string{"x"}; return nil }); !errors.Is(err, gust.ErrInvalid) {
		t.Errorf("a thumbprint that is none: %v", err)
	}
	must(t, d.Close())
	d = openOn(t, s, options())
	p, err := d.Provider(arn)
	must(t, err)
	if p.URL != "example.com:8443/realms/x" || len(p.ClientIDs) != 1 || p.Tags["a"] != "b" || len(d.Providers()) != 4 {
		t.Errorf("it is %+v of %d", p, len(d.Providers()))
	}
	must(t, d.DeleteProvider(t.Context(), arn))
	must(t, d.DeleteProvider(t.Context(), arn))
}
