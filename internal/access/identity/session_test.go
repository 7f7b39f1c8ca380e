package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
)

// statement writes a policy of one statement; what is empty is left out.
func statement(effect, principal, action, resource, condition string) string {
	s := map[string]any{"Effect": effect, "Action": strings.Split(action, ",")}
	if principal != "" {
		s["Principal"] = json.RawMessage(principal)
	}
	if resource != "" {
		s["Resource"] = resource
	}
	if condition != "" {
		s["Condition"] = json.RawMessage(condition)
	}
	doc, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{s}})
	if err != nil {
		panic(err)
	}
	return string(doc)
}

func allow(action, resource string) string { return statement("Allow", "", action, resource, "") }

// trust lets somebody assume, tag and name the source of sessions.
func trust(principal, condition string) string {
	return statement("Allow", `{"AWS":"`+principal+`"}`, "sts:AssumeRole,sts:TagSession,sts:SetSourceIdentity", "", condition)
}

const (
	account = "arn:aws:iam::123456789012:"
	alice   = account + "user/alice"
)

// user makes a user with a key and an inline policy, and returns its caller.
func user(t testing.TB, d *Directory, name, document string) (*access.Caller, *AccessKey) {
	t.Helper()
	_, err := d.CreateUser(t.Context(), NewEntity{Name: name})
	must(t, err)
	if document != "" {
		must(t, d.PutInline(t.Context(), User(name), "own", document))
	}
	key, _, err := d.CreateKey(t.Context(), name)
	must(t, err)
	return caller(t, d, key.ID, ""), key
}

func role(t testing.TB, d *Directory, name, trust, document string) *Entity {
	t.Helper()
	e, err := d.CreateRole(t.Context(), NewEntity{Name: name, Trust: trust})
	must(t, err)
	if document != "" {
		must(t, d.PutInline(t.Context(), Role(name), "own", document))
	}
	return e
}

func caller(t testing.TB, d *Directory, keyID, token string) *access.Caller {
	t.Helper()
	c, err := d.Lookup(keyID, token)
	must(t, err)
	return &access.Caller{Credential: c, At: d.now()}
}

// may tells whether somebody may do something now, as the next request would.
func may(t testing.TB, d *Directory, keyID, token, action, resource string) bool {
	t.Helper()
	return d.Decide(caller(t, d, keyID, token), &access.Need{Action: action, Resource: resource}).Allowed
}

func refused(t testing.TB, d *Directory, why, keyID, token string) {
	t.Helper()
	var e *access.Error
	if c, err := d.Lookup(keyID, token); !errors.As(err, &e) || e.Code != access.Invalid {
		t.Errorf("%s: it is let in as %v, %v", why, c, err)
	} else if e.Public() != "the credential of the request is not valid" {
		t.Errorf("%s: outsiders learn %q", why, e.Public())
	}
}

func denied(t testing.TB, why string, err error) {
	t.Helper()
	if e := (*DeniedError)(nil); !errors.As(err, &e) {
		t.Errorf("%s: %v", why, err)
	}
}

// clock is a time that tests move.
type clock struct{ now time.Time }

func (c *clock) options() Options {
	o := options()
	o.Now = func() time.Time { return c.now }
	return o
}

func newClock() *clock { return &clock{time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)} }

const queue = "arn:aws:sqs:eu-west-1:123456789012:orders"

func TestASessionIsTheRoleAndNothingMore(t *testing.T) {
	at := newClock()
	d, _ := open(t, at.options())
	c, _ := user(t, d, "alice", allow("s3:*", "*"))
	r := role(t, d, "worker", trust(alice, ""), allow("sqs:*", queue))
	s, err := d.AssumeRole(c, AssumeRole{RoleARN: r.ARN, SessionName: "night-run"})
	must(t, err)
	if want := "arn:aws:sts::123456789012:assumed-role/worker/night-run"; s.ARN != want || s.ID != r.ID+":night-run" {
		t.Errorf("the session is %s, %s", s.ARN, s.ID)
	}
	got := caller(t, d, s.KeyID, s.Token)
	p := got.Principal
	if got.Secret != s.Secret || p.Kind != access.KindRole || p.ARN != s.ARN || p.RoleARN != r.ARN || p.ID != s.ID || !got.Expires.Equal(at.now.Add(time.Hour)) {
		t.Errorf("its token stands for %+v, until %v", p, got.Expires)
	}
	for action, want := range map[string]bool{"sqs:SendMessage": true, "s3:GetObject": false} {
		if may(t, d, s.KeyID, s.Token, action, queue) != want {
			t.Errorf("the session may %s: want %v", action, want)
		}
	}
}

// The role's policies count as they are now, whatever they were when the session
// began.
func TestChangesCountForRunningSessionsAtOnce(t *testing.T) {
	d, _ := open(t, options())
	c, key := user(t, d, "alice", allow("sts:AssumeRole", "*"))
	_, err := d.CreateGroup(t.Context(), NewEntity{Name: "devs"})
	must(t, err)
	shared, err := d.CreatePolicy(t.Context(), NewPolicy{Name: "shared", Document: allow("sqs:*", "*")})
	must(t, err)
	r := role(t, d, "worker", trust(account+"root", ""), "")
	s, err := d.AssumeRole(c, AssumeRole{RoleARN: r.ARN, SessionName: "run"})
	must(t, err)
	ut, err := d.SessionToken(c, 0)
	must(t, err)
	check := func(what string, want bool, of ...[2]string) {
		t.Helper()
		for _, k := range of {
			if may(t, d, k[0], k[1], "sqs:SendMessage", queue) != want {
				t.Errorf("%s: %s may: want %v", what, k[0][:4], want)
			}
		}
	}
	ofKey, ofUser, ofRole := [2]string{key.ID, ""}, [2]string{ut.KeyID, ut.Token}, [2]string{s.KeyID, s.Token}
	check("nothing yet", false, ofKey, ofUser, ofRole)
	must(t, d.AddToGroup(t.Context(), "devs", "alice"))
	must(t, d.Attach(t.Context(), Group("devs"), shared.ARN))
	must(t, d.Attach(t.Context(), Role("worker"), shared.ARN))
	check("attached", true, ofKey, ofUser, ofRole)
	_, err = d.CreateVersion(t.Context(), shared.ARN, allow("s3:*", "*"), true)
	must(t, err)
	check("another version", false, ofKey, ofUser, ofRole)
	must(t, d.SetDefaultVersion(t.Context(), shared.ARN, 1))
	check("the first version", true, ofKey, ofUser, ofRole)
	bound, err := d.CreatePolicy(t.Context(), NewPolicy{Name: "bound", Document: allow("s3:*", "*")})
	must(t, err)
	for _, ref := range []Ref{User("alice"), Role("worker")} {
		must(t, d.SetBoundary(t.Context(), ref, bound.ARN))
	}
	check("bounded", false, ofKey, ofUser, ofRole)
	for _, ref := range []Ref{User("alice"), Role("worker")} {
		must(t, d.DeleteBoundary(t.Context(), ref))
	}
	check("unbounded", true, ofKey, ofUser, ofRole)
	must(t, d.PutInline(t.Context(), Group("devs"), "no", statement("Deny", "", "sqs:*", "*", "")))
	must(t, d.PutInline(t.Context(), Role("worker"), "no", statement("Deny", "", "sqs:*", "*", "")))
	check("denied", false, ofKey, ofUser, ofRole)
	must(t, d.DeleteInline(t.Context(), Group("devs"), "no"))
	must(t, d.DeleteInline(t.Context(), Role("worker"), "no"))
	check("not denied", true, ofKey, ofUser, ofRole)
	must(t, d.RemoveFromGroup(t.Context(), "devs", "alice"))
	must(t, d.Detach(t.Context(), Role("worker"), shared.ARN))
	check("detached", false, ofKey, ofUser, ofRole)
}

func TestASessionPolicyOnlyNarrows(t *testing.T) {
	d, _ := open(t, options())
	c, _ := user(t, d, "alice", "")
	r := role(t, d, "worker", trust(alice, ""), allow("sqs:*", "*"))
	only, err := d.CreatePolicy(t.Context(), NewPolicy{Name: "only", Document: allow("sqs:SendMessage,s3:*", "*")})
	must(t, err)
	for name, test := range map[string]struct {
		limits Limits
		may    map[string]bool
	}{
		"inline":      {Limits{Policy: allow("sqs:SendMessage", "*")}, map[string]bool{"sqs:SendMessage": true, "sqs:DeleteQueue": false}},
		"widening":    {Limits{Policy: allow("*", "*")}, map[string]bool{"sqs:SendMessage": true, "s3:GetObject": false, "iam:CreateUser": false}},
		"managed":     {Limits{PolicyARNs: []string{only.ARN}}, map[string]bool{"sqs:SendMessage": true, "sqs:DeleteQueue": false, "s3:GetObject": false}},
		"AWS's":       {Limits{PolicyARNs: []string{awsPolicies + "AdministratorAccess"}}, map[string]bool{"sqs:SendMessage": true, "iam:CreateUser": false}},
		"a deny only": {Limits{Policy: statement("Deny", "", "s3:*", "*", "")}, map[string]bool{"sqs:SendMessage": false}},
	} {
		s, err := d.AssumeRole(c, AssumeRole{RoleARN: r.ARN, SessionName: "run", Limits: test.limits})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for action, want := range test.may {
			if may(t, d, s.KeyID, s.Token, action, "*") != want {
				t.Errorf("%s: it may %s: want %v", name, action, want)
			}
		}
	}
	// A managed session policy that is deleted allows nothing any more.
	s, err := d.AssumeRole(c, AssumeRole{RoleARN: r.ARN, SessionName: "run", Limits: Limits{PolicyARNs: []string{only.ARN}}})
	must(t, err)
	must(t, d.DeletePolicy(t.Context(), only.ARN))
	if may(t, d, s.KeyID, s.Token, "sqs:SendMessage", "*") {
		t.Error("a deleted session policy still allows")
	}
	long := allow("sqs:SendMessage", queue+strings.Repeat("x", MaxSessionPolicy))
	if _, err := d.AssumeRole(c, AssumeRole{RoleARN: r.ARN, SessionName: "run", Limits: Limits{Policy: long}}); !errors.As(err, new(*PackedError)) || !strings.Contains(err.Error(), "2048") {
		t.Errorf("a long session policy: %v", err)
	}
	if _, err := d.AssumeRole(c, AssumeRole{RoleARN: r.ARN, SessionName: "run", Limits: Limits{Policy: "{"}}); !errors.As(err, new(*MalformedPolicyError)) {
		t.Errorf("a broken session policy: %v", err)
	}
}

// The confused deputy ("The confused deputy problem" in the IAM User Guide): who
// acts for many knows each one's external ID, and a role that asks for one is
// not assumed for somebody else.
func TestTheExternalIDKeepsTheDeputyHonest(t *testing.T) {
	d, _ := open(t, options())
	c, _ := user(t, d, "alice", "")
	r := role(t, d, "customer", trust(alice, `{"StringEquals":{"sts:ExternalId":"Unique-1"}}`), "")
	for id, ok := range map[string]bool{"Unique-1": true, "Unique-2": false, "unique-1": false, "": false} {
		if _, err := d.AssumeRole(c, AssumeRole{RoleARN: r.ARN, SessionName: "run", ExternalID: id}); (err == nil) != ok {
			t.Errorf("external ID %q: %v", id, err)
		}
	}
}

func TestWhoMayAssumeARole(t *testing.T) {
	d, _ := open(t, options())
	named, _ := user(t, d, "alice", "")
	other, _ := user(t, d, "bob", "")
	permitted, _ := user(t, d, "carol", allow("sts:AssumeRole", "*"))
	byName := role(t, d, "by-name", trust(alice, ""), "")
	byAccount := role(t, d, "by-account", trust(account+"root", ""), "")
	in := func(r *Entity) AssumeRole { return AssumeRole{RoleARN: r.ARN, SessionName: "run"} }
	for _, test := range []struct {
		who string
		c   *access.Caller
		r   *Entity
		ok  bool
	}{
		{"named", named, byName, true}, {"not named", other, byName, false}, {"permitted but not trusted", permitted, byName, false},
		{"of the account without a policy", other, byAccount, false}, {"of the account with a policy", permitted, byAccount, true},
		{"root", &access.Caller{Credential: d.root, At: d.now()}, byAccount, true},
	} {
		_, err := d.AssumeRole(test.c, in(test.r))
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", test.who, err)
		}
		if !test.ok {
			denied(t, test.who, err)
		}
	}
	// What is not there is refused in the same words.
	_, err := d.AssumeRole(other, AssumeRole{RoleARN: account + "role/nobody", SessionName: "run"})
	denied(t, "no such role", err)
	if want := "User: arn:aws:iam::123456789012:user/bob is not authorized to perform: sts:AssumeRole on resource: " + account + "role/nobody because no resource-based policy allows the sts:AssumeRole action"; err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
}

func TestHowLongSessionsLast(t *testing.T) {
	at := newClock()
	d, _ := open(t, at.options())
	c, _ := user(t, d, "alice", "")
	root := &access.Caller{Credential: d.root, At: d.now()}
	r := role(t, d, "first", trust(alice, ""), allow("sts:*", "*"))
	longest := 4 * time.Hour
	must(t, d.UpdateRole(t.Context(), "first", nil, &longest))
	second := role(t, d, "second", trust(r.ARN, ""), "")
	must(t, d.UpdateRole(t.Context(), "second", nil, &longest))
	assume := func(c *access.Caller, r *Entity, ttl time.Duration) (*Session, error) {
		return d.AssumeRole(c, AssumeRole{RoleARN: r.ARN, SessionName: "run", Limits: Limits{Duration: ttl}})
	}
	s, err := assume(c, r, longest)
	must(t, err)
	chained := caller(t, d, s.KeyID, s.Token)
	token := func(c *access.Caller) func(time.Duration) error {
		return func(ttl time.Duration) error { _, err := d.SessionToken(c, ttl); return err }
	}
	role := func(c *access.Caller, r *Entity) func(time.Duration) error {
		return func(ttl time.Duration) error { _, err := assume(c, r, ttl); return err }
	}
	for _, test := range []struct {
		what     string
		make     func(time.Duration) error
		min, max time.Duration
	}{
		{"a role", role(c, r), 15 * time.Minute, longest},
		{"a role from a role", role(chained, second), 15 * time.Minute, time.Hour},
		{"a user's token", token(c), 15 * time.Minute, 36 * time.Hour},
		{"root's token", token(root), 15 * time.Minute, time.Hour},
	} {
		for ttl, ok := range map[time.Duration]bool{0: true, test.min: true, test.max: true, test.min - time.Second: false, test.max + time.Second: false, test.min + time.Millisecond: false, -time.Hour: false} {
			if err := test.make(ttl); (err == nil) != ok {
				t.Errorf("%s for %v: %v", test.what, ttl, err)
			} else if !ok && !errors.Is(err, gust.ErrInvalid) {
				t.Errorf("%s for %v: %v is not invalid", test.what, ttl, err)
			}
		}
	}
	denied(t, "a token from a token", token(chained)(0))
	must(t, role(chained, second)(0))
}

func TestSessionsEnd(t *testing.T) {
	at := newClock()
	d, _ := open(t, at.options())
	c, key := user(t, d, "alice", "")
	r := role(t, d, "worker", trust(alice, ""), allow("sqs:*", "*"))
	assume := func() *Session {
		t.Helper()
		s, err := d.AssumeRole(c, AssumeRole{RoleARN: r.ARN, SessionName: "run"})
		must(t, err)
		return s
	}
	s := assume()
	// An expired one is found, so that its holder is told that it is.
	at.now = at.now.Add(time.Hour)
	if got := caller(t, d, s.KeyID, s.Token); got.Expires.After(at.now) {
		t.Errorf("it expires at %v", got.Expires)
	}
	// Revoked: those that began by then, and no others.
	s = assume()
	caller(t, d, s.KeyID, s.Token)
	at.now = at.now.Add(-time.Minute) // whatever the clock does meanwhile
	must(t, d.Revoke(t.Context(), Role("worker")))
	refused(t, d, "revoked", s.KeyID, s.Token)
	s = assume()
	caller(t, d, s.KeyID, s.Token)

	// A user's token ends with the key that it was made with.
	ut, err := d.SessionToken(c, 0)
	must(t, err)
	caller(t, d, ut.KeyID, ut.Token)
	must(t, d.SetKeyActive(t.Context(), "alice", key.ID, false))
	refused(t, d, "its key is not active", ut.KeyID, ut.Token)
	must(t, d.SetKeyActive(t.Context(), "alice", key.ID, true))
	caller(t, d, ut.KeyID, ut.Token)

	// What is made anew under an old name is somebody else.
	must(t, d.DeleteInline(t.Context(), Role("worker"), "own"))
	must(t, d.Delete(t.Context(), Role("worker")))
	refused(t, d, "the role is gone", s.KeyID, s.Token)
	role(t, d, "worker", trust(alice, ""), allow("*", "*"))
	refused(t, d, "another role of the name", s.KeyID, s.Token)
	must(t, d.DeleteKey(t.Context(), "alice", key.ID))
	must(t, d.Delete(t.Context(), User("alice")))
	refused(t, d, "the user is gone", ut.KeyID, ut.Token)
	again, _ := user(t, d, "alice", allow("*", "*"))
	refused(t, d, "another user of the name", ut.KeyID, ut.Token)

	// Nor does a trust policy mean who has got the name of whom it named, until
	// it is set again.
	_, err = d.AssumeRole(again, AssumeRole{RoleARN: r.ARN, SessionName: "run"})
	denied(t, "another user of the trusted name", err)
	must(t, d.SetTrust(t.Context(), "worker", trust(alice, "")))
	_, err = d.AssumeRole(again, AssumeRole{RoleARN: r.ARN, SessionName: "run"})
	must(t, err)
}

func TestATokenIsOnlyTheNodesOwnAndWhole(t *testing.T) {
	d, s := open(t, options())
	c, _ := user(t, d, "alice", "")
	r := role(t, d, "worker", trust(alice, ""), "")
	in := AssumeRole{RoleARN: r.ARN, SessionName: "run"}
	one, err := d.AssumeRole(c, in)
	must(t, err)
	two, err := d.AssumeRole(c, in)
	must(t, err)
	caller(t, d, one.KeyID, one.Token)
	refused(t, d, "another session's key", two.KeyID, one.Token)
	refused(t, d, "no token", one.KeyID, "")
	refused(t, d, "a long token", one.KeyID, one.Token+strings.Repeat("A", MaxToken))
	refused(t, d, "a user's key with a token", c.KeyID, one.Token)
	for i := range len(one.Token) {
		b := []byte(one.Token)
		for _, ch := range []byte{'A', 'B', '_', '='} {
			if b[i] = ch; string(b) != one.Token {
				refused(t, d, fmt.Sprintf("character %d is %c", i, ch), one.KeyID, string(b))
			}
		}
		refused(t, d, fmt.Sprintf("cut after %d", i), one.KeyID, one.Token[:i])
	}
	// Of another node, or of this one with another seal key or account.
	for name, change := range map[string]func(*Options){
		"seal key": func(o *Options) { o.Seal[31]++ },
		"account":  func(o *Options) { o.Place.Account = "210987654321" },
	} {
		o := options()
		change(&o)
		other, _ := open(t, o)
		refused(t, other, "another "+name, one.KeyID, one.Token)
	}
	must(t, d.Close())
	d = openOn(t, s, options())
	caller(t, d, one.KeyID, one.Token) // the same node after a restart
}

func TestTagsAndSourceIdentityGoOnThroughRoles(t *testing.T) {
	d, _ := open(t, options())
	c, _ := user(t, d, "alice", "")
	first := role(t, d, "first", trust(alice, ""), "")
	must(t, d.Tag(t.Context(), Role("first"), map[string]string{"team": "blue", "stage": "test"}))
	second := role(t, d, "second", trust(first.ARN, ""), allow("sqs:*", "arn:aws:sqs:*:*:${aws:PrincipalTag/project}-*"))
	in := AssumeRole{RoleARN: first.ARN, SessionName: "one", Limits: Limits{
		Tags: map[string]string{"Project": "shop", "TEAM": "red", "note": "x"}, Transitive: []string{"project"}, SourceIdentity: "alice",
	}}
	s, err := d.AssumeRole(c, in)
	must(t, err)
	one := caller(t, d, s.KeyID, s.Token)
	if got := fmt.Sprint(one.Principal.Tags); got != "map[Project:shop TEAM:red note:x stage:test]" {
		t.Errorf("the first session's tags are %s", got)
	}
	s, err = d.AssumeRole(one, AssumeRole{RoleARN: second.ARN, SessionName: "two"})
	must(t, err)
	two := caller(t, d, s.KeyID, s.Token)
	if got := fmt.Sprintln(two.Principal.Tags, two.Principal.SourceIdentity, s.SourceIdentity); got != "map[Project:shop] alice alice\n" {
		t.Errorf("the second session has %s", got)
	}
	if !may(t, d, s.KeyID, s.Token, "sqs:SendMessage", "arn:aws:sqs:eu-west-1:123456789012:shop-orders") || may(t, d, s.KeyID, s.Token, "sqs:SendMessage", "arn:aws:sqs:eu-west-1:123456789012:bank-orders") {
		t.Error("its tag does not decide")
	}
	again := AssumeRole{RoleARN: second.ARN, SessionName: "two", Limits: Limits{Tags: map[string]string{"PROJECT": "bank"}}}
	if _, err := d.AssumeRole(one, again); !errors.Is(err, gust.ErrInvalid) {
		t.Errorf("a transitive tag was set again: %v", err)
	}
	// A long s is no s: a session's tag that has one is not the role's.
	must(t, d.Tag(t.Context(), Role("first"), map[string]string{"class": "low"}))
	s, err = d.AssumeRole(c, AssumeRole{RoleARN: first.ARN, SessionName: "one", Limits: Limits{Tags: map[string]string{"cla\u017fs": "high"}}})
	must(t, err)
	if tags := caller(t, d, s.KeyID, s.Token).Principal.Tags; tags["class"] != "low" || tags["cla\u017fs"] != "high" {
		t.Errorf("the session's tags are %v", tags)
	}
	_, err = d.AssumeRole(one, AssumeRole{RoleARN: second.ARN, SessionName: "two", Limits: Limits{SourceIdentity: "mallory"}})
	denied(t, "another source identity", err)

	// Without sts:TagSession and sts:SetSourceIdentity there are none.
	plain := role(t, d, "plain", statement("Allow", `{"AWS":"`+alice+`"}`, "sts:AssumeRole", "", ""), "")
	for what, l := range map[string]Limits{"tags": {Tags: map[string]string{"a": "b"}}, "source identity": {SourceIdentity: "alice"}} {
		_, err := d.AssumeRole(c, AssumeRole{RoleARN: plain.ARN, SessionName: "run", Limits: l})
		denied(t, what, err)
	}
	many := map[string]string{}
	for i := range 20 {
		many[fmt.Sprint("key", i)] = strings.Repeat("v", 250)
	}
	if _, err := d.AssumeRole(c, AssumeRole{RoleARN: first.ARN, SessionName: "run", Limits: Limits{Tags: many}}); !errors.As(err, new(*PackedError)) {
		t.Errorf("5,000 bytes of tags: %v", err)
	}
}

func TestATokenOfAUsersKeyMakesNoLastingCredentials(t *testing.T) {
	d, _ := open(t, options())
	c, _ := user(t, d, "alice", allow("*", "*"))
	for who, c := range map[string]*access.Caller{"a user": c, "root": {Credential: d.root, At: d.now()}} {
		s, err := d.SessionToken(c, 0)
		must(t, err)
		for action, want := range map[string]bool{
			"s3:GetObject": true, "sts:GetCallerIdentity": true, "sts:AssumeRole": true, "STS:assumerole": true,
			"iam:CreateAccessKey": false, "IAM:GetUser": false, "sts:GetSessionToken": false, "sts:GetFederationToken": false,
		} {
			if may(t, d, s.KeyID, s.Token, action, "*") != want {
				t.Errorf("%s' token may %s: want %v", who, action, want)
			}
		}
	}
}

func TestWebIdentities(t *testing.T) {
	d, _ := open(t, options())
	p, err := d.CreateProvider(t.Context(), IdentityProvider{URL: "https://token.example.com/org", ClientIDs: []string{"sts.amazonaws.com"}})
	must(t, err)
	r := role(t, d, "ci", statement("Allow", `{"Federated":"`+p.ARN+`"}`, "sts:AssumeRoleWithWebIdentity", "",
		`{"StringEquals":{"token.example.com/org:aud":"sts.amazonaws.com"},"StringLike":{"token.example.com/org:sub":"repo:acme/*"}}`), allow("sqs:*", "*"))
	anonymous := &access.Caller{Credential: &access.Credential{Principal: &access.Principal{Kind: access.KindAnonymous}}, At: d.now()}
	in := WebIdentity{AssumeRole: AssumeRole{RoleARN: r.ARN, SessionName: "build"}, Issuer: "https://token.example.com/org", Subject: "repo:acme/shop", Audience: []string{"x", "sts.amazonaws.com"}}
	s, err := d.AssumeRoleWithWebIdentity(anonymous, in)
	must(t, err)
	got := caller(t, d, s.KeyID, s.Token)
	if got.Principal.RoleARN != r.ARN || got.Principal.Provider != p.ARN || s.Subject != in.Subject || s.Audience != "sts.amazonaws.com" {
		t.Errorf("it is %+v, %+v", got.Principal, s)
	}
	for what, change := range map[string]func(*WebIdentity){
		"another subject":  func(in *WebIdentity) { in.Subject = "repo:evil/shop" },
		"another audience": func(in *WebIdentity) { in.Audience = []string{"x"} },
		"another issuer":   func(in *WebIdentity) { in.Issuer = "https://token.example.com" },
		"http":             func(in *WebIdentity) { in.Issuer = "http://token.example.com/org" },
		"claims that lie":  func(in *WebIdentity) { in.Subject, in.Claims = "x", map[string][]string{"sub": {"repo:acme/shop"}} },
		"claims of one key": func(in *WebIdentity) {
			in.Claims = map[string][]string{"Repository": {"acme/shop"}, "repository": {"evil/shop"}}
		},
		"no such role": func(in *WebIdentity) { in.RoleARN += "x" },
		"tags":         func(in *WebIdentity) { in.Tags = map[string]string{"a": "b"} },
	} {
		in := in
		change(&in)
		if _, err := d.AssumeRoleWithWebIdentity(anonymous, in); err == nil {
			t.Errorf("%s: it is let in", what)
		}
	}
	in.Claims = map[string][]string{"groups": {strings.Repeat("g", MaxToken)}}
	if _, err := d.AssumeRoleWithWebIdentity(anonymous, in); !errors.As(err, new(*PackedError)) || !strings.Contains(err.Error(), "claims of its provider") {
		t.Errorf("claims that are too long: %v", err)
	}
	_, err = d.AssumeRole(&access.Caller{Credential: d.root, At: d.now()}, in.AssumeRole)
	denied(t, "root, who is not the provider", err)
}

func TestAFunctionsRoleIsTheNodesToAssume(t *testing.T) {
	functions := map[string]*gust.Function{
		"api":   {Name: "api", App: "shop", Policy: []gust.Grant{{Effect: gust.Allow, Actions: []string{"sqs:SendMessage"}, Resources: []string{queue}}}},
		"quiet": {Name: "quiet", App: "shop"},
	}
	at := newClock()
	o := at.options()
	o.Functions = func() map[string]*gust.Function { return functions }
	d, _ := open(t, o)
	s, err := d.FunctionSession("api", "env-1", time.Hour)
	must(t, err)
	p := caller(t, d, s.KeyID, s.Token).Principal
	if p.ARN != "arn:aws:sts::123456789012:assumed-role/fn.api/env-1" || p.RoleARN != account+"role/gust/fn.api" || p.Function != "api" {
		t.Errorf("it is %+v", p)
	}
	if !may(t, d, s.KeyID, s.Token, "sqs:SendMessage", queue) || may(t, d, s.KeyID, s.Token, "sqs:DeleteQueue", queue) {
		t.Error("it may not do what its policy says")
	}
	quiet, err := d.FunctionSession("quiet", "env-2", time.Hour)
	must(t, err)
	if may(t, d, quiet.KeyID, quiet.Token, "sqs:SendMessage", queue) {
		t.Error("without a policy it may something")
	}
	d.Used(caller(t, d, s.KeyID, s.Token).Credential, "sqs", "eu-west-1", at.now)
	if e, _ := d.Entity(Role("fn.api")); d.RoleUsed(e) == nil || d.RoleUsed(e).Service != "sqs" {
		t.Errorf("its role was used %v", d.RoleUsed(e))
	}
	// Nobody else gets in, root neither.
	everything, _ := user(t, d, "alice", allow("*", "*"))
	for _, c := range []*access.Caller{everything, {Credential: d.root, At: d.now()}, caller(t, d, quiet.KeyID, quiet.Token)} {
		for _, arn := range []string{account + "role/gust/fn.api", account + "role/gust/FN.api", account + "role/fn.api"} {
			_, err := d.AssumeRole(c, AssumeRole{RoleARN: arn, SessionName: "run"})
			denied(t, c.Principal.ARN, err)
		}
	}
	// It is shown, and not changed; nor does anybody get such a name.
	if e, err := d.Entity(Role("fn.api")); err != nil || e.ARN != p.RoleARN || e.Function != "api" || len(e.Inline) != 1 {
		t.Errorf("it is shown as %+v, %v", e, err)
	}
	if list := d.Entities(KindRole, "/gust/"); len(list) != 2 || list[0].Name != "fn.api" {
		t.Errorf("listed are %v", list)
	}
	for what, err := range map[string]error{
		"policy": d.PutInline(t.Context(), Role("fn.api"), "x", allow("*", "*")),
		"attach": d.Attach(t.Context(), Role("Fn.Api"), awsPolicies+"AdministratorAccess"),
		"trust":  d.SetTrust(t.Context(), "fn.api", trust(alice, "")),
		"delete": d.Delete(t.Context(), Role("fn.api")),
		"tag":    d.Tag(t.Context(), Role("fn.nobody"), map[string]string{"a": "b"}),
	} {
		if !errors.As(err, new(*UnmodifiableError)) || !strings.Contains(err.Error(), "manifest") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, n := range []NewEntity{{Name: "fn.other"}, {Name: "FN.api"}, {Name: "Fn.x"}, {Name: "x", Path: "/gust/"}, {Name: "x", Path: "/GUST/y/"}} {
		n.Trust = trust(alice, "")
		if _, err := d.CreateRole(t.Context(), n); !errors.Is(err, gust.ErrInvalid) {
			t.Errorf("role %s%s: %v", n.Path, n.Name, err)
		}
		if _, err := d.CreateUser(t.Context(), NewEntity{Name: n.Name, Path: n.Path}); !errors.Is(err, gust.ErrInvalid) {
			t.Errorf("user %s%s: %v", n.Path, n.Name, err)
		}
	}
	// A deploy counts for environments that run.
	functions = map[string]*gust.Function{"api": {Name: "api", App: "shop", Version: 2, Policy: []gust.Grant{{Effect: gust.Allow, Actions: []string{"s3:*"}, Resources: []string{"*"}}}}}
	if may(t, d, s.KeyID, s.Token, "sqs:SendMessage", queue) || !may(t, d, s.KeyID, s.Token, "s3:GetObject", "*") {
		t.Error("a deploy changes nothing")
	}
	refused(t, d, "the function is gone", quiet.KeyID, quiet.Token)
	must(t, d.Revoke(t.Context(), Role("fn.api")))
	refused(t, d, "revoked", s.KeyID, s.Token)
	s, err = d.FunctionSession("api", "env-1", time.Hour)
	must(t, err)
	caller(t, d, s.KeyID, s.Token)
	functions = nil
	at.now = at.now.Add(time.Hour)
	must(t, d.Sweep(t.Context()))
	if len(d.state.Load().revoked) != 1 {
		t.Error("a revocation is forgotten while what it revoked has not expired")
	}
	at.now = at.now.Add(MaxFunctionToken)
	must(t, d.Sweep(t.Context()))
	if len(d.state.Load().revoked) != 0 {
		t.Error("a revocation is kept for ever")
	}
	functions = map[string]*gust.Function{"api": {Name: "api", App: "bank"}}
	refused(t, d, "another app's function of the name", s.KeyID, s.Token)
	if _, err := d.FunctionSession("gone", "env-1", time.Hour); !errors.Is(err, gust.ErrNotFound) {
		t.Errorf("a function that is not declared: %v", err)
	}
	if _, err := d.FunctionSession("api", "../x", time.Hour); !errors.Is(err, gust.ErrInvalid) {
		t.Errorf("an environment of a strange name: %v", err)
	}
}
