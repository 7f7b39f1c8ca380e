package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/access/policy"
	"github.com/gust-dev/gust/internal/invoke"
)

// testKeys are root and users, each with what they may: "action resource", with
// * at the end of either for any. One that begins with ! denies.
type testKeys struct {
	mu     sync.Mutex
	rights map[string][]string
	asked  int // decisions
}

func newTestKeys() *testKeys { return &testKeys{rights: map[string][]string{"root": {"* *"}}} }

// may sets what a user may.
func (k *testKeys) may(user string, rights ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rights[user] = rights
}

func (k *testKeys) key(user string) *access.Key {
	return &access.Key{ID: "AKIA" + strings.ToUpper(user), Secret: "secret"}
}

func (k *testKeys) Lookup(id, _ string) (*access.Credential, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for user := range k.rights {
		if key := k.key(user); key.ID == id {
			p := &access.Principal{Kind: access.KindUser, Name: user, ARN: "arn:aws:iam::000000000000:user/" + user, Account: "000000000000", ID: "AIDA" + user}
			return &access.Credential{KeyID: id, Secret: key.Secret, Principal: p}, nil
		}
	}
	return nil, &access.Error{Code: access.Invalid, Detail: "the access key is not known"}
}

func (*testKeys) Used(*access.Credential, string, string, time.Time) {}

func (k *testKeys) Decide(c *access.Caller, n *access.Need) policy.Decision {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked++
	d := policy.Decision{Layer: policy.LayerIdentity}
	fits := func(pattern, s string) bool {
		prefix, open := strings.CutSuffix(pattern, "*")
		return pattern == s || open && strings.HasPrefix(s, prefix)
	}
	for _, right := range k.rights[c.Principal.Name] {
		deny := strings.HasPrefix(right, "!")
		action, resource, _ := strings.Cut(strings.TrimPrefix(right, "!"), " ")
		switch {
		case !fits(action, n.Action) || !fits(resource, n.Resource):
		case deny:
			return policy.Decision{Denied: true, Layer: policy.LayerIdentity, Policy: "p", Statement: "#1"}
		default:
			d.Allowed = true
		}
	}
	return d
}

const (
	appShop = "arn:aws:gust:us-east-1:000000000000:app/shop"
	appMine = "arn:aws:gust:us-east-1:000000000000:app/mine"
	fnAPI   = "arn:aws:lambda:us-east-1:000000000000:function:api"
)

// Who may nothing is denied at every route, alike whether what is named is there
// or not; who may the route's action with its resource is let through. Both as
// docs/API.md has it.
func TestEveryRouteAsksWhoItIs(t *testing.T) {
	f := newFixture(t)
	f.keys.may("nobody")
	f.warm = func(string) (*invoke.WarmUp, error) { return &invoke.WarmUp{}, nil }
	digest := strings.Repeat("0", 64)
	resources := map[string]string{
		"GET /v1/apps": appShop, "POST /v1/apps/{app}/plan": appShop, "PUT /v1/apps/{app}": appShop, "DELETE /v1/apps/{app}": appShop,
		"GET /v1/functions": fnAPI, "GET /v1/environments": "arn:aws:lambda:us-east-1:000000000000:function:*", "POST /v1/functions/{name}/warm": fnAPI,
		"POST /v1/runtimes": "arn:aws:gust:us-east-1:000000000000:runtime/node@0", "DELETE /v1/runtimes/{name}": "arn:aws:gust:us-east-1:000000000000:runtime/api",
		"HEAD /v1/artifacts/{sha256}": "arn:aws:gust:us-east-1:000000000000:artifact/" + digest,
		"PUT /v1/artifacts/{sha256}":  "arn:aws:gust:us-east-1:000000000000:artifact/" + digest, "GET /v1/logs": fnAPI,
		"POST /v1/explain": "arn:aws:iam::000000000000:user/eve", "POST /v1/roles/{name}/revoke": "arn:aws:iam::000000000000:role/api",
		"POST /v1/users/{name}/revoke": "arn:aws:iam::000000000000:user/api",
	}
	page, err := os.ReadFile("../../docs/API.md")
	if err != nil {
		t.Fatal(err)
	}
	_, actions, _ := strings.Cut(string(page), "\n### Actions")
	actions, _, _ = strings.Cut(actions, "\n## ")
	for _, r := range routes {
		name := r.method + " " + r.path
		if _, err := f.client.Apply(t.Context(), &ApplyRequest{App: app("shop", f.upload(t), "api")}); err != nil {
			t.Fatal(err)
		}
		ask := func(user, named string) (int, Error) {
			path := strings.NewReplacer("{app}", named, "{name}", strings.Replace(named, "shop", "api", 1), "{sha256}", digest).Replace(r.path)
			body := map[string]string{"POST /v1/runtimes": `{"name":"node@0"}`, "POST /v1/explain": `{"principal":"user/eve"}`}[name]
			w := f.doAs(user, r.method, path, body)
			var got struct{ Error Error }
			if w.Body.Len() > 0 && r.method != "HEAD" && w.Code >= 400 {
				if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
					t.Fatalf("%s: %v: %s", name, err, w.Body)
				}
			}
			got.Error.RequestID = ""
			return w.Code, got.Error
		}
		if r.action == "" {
			if status, _ := ask("nobody", "shop"); status != http.StatusOK {
				t.Errorf("%s answers %d to who may nothing", name, status)
			}
			continue
		}
		if !strings.Contains(actions, r.path) || !strings.Contains(actions, "`"+r.action+"`") {
			t.Errorf("docs/API.md has no line of %s with the action %s", name, r.action)
		}
		status, there := ask("nobody", "shop")
		if status != http.StatusForbidden {
			t.Errorf("%s answers %d to who may nothing", name, status)
		}
		if r.method != "HEAD" && (there.Code != CodeDenied || there.Denied == nil || there.Denied.Action != r.action || !strings.HasSuffix(there.Denied.Principal, "user/nobody")) {
			t.Errorf("%s denies with %+v", name, there)
		}
		text := func(e Error, named string) string {
			return strings.ReplaceAll(fmt.Sprintf("%+v %+v", e, e.Denied), named, "NAME")
		}
		if _, missing := ask("nobody", "nothere"); r.method != "HEAD" && strings.Contains(r.path, "{app}") {
			there.Denied, missing.Denied = nil, nil
			if a, b := text(there, "shop"), text(missing, "nothere"); a != b {
				t.Errorf("%s tells what is there: %s, %s", name, a, b)
			}
		}
		resource := resources[name]
		if resource == "" {
			resource = "*"
		}
		f.keys.may("some", r.action+" "+resource)
		if status, e := ask("some", "shop"); status == http.StatusForbidden {
			t.Errorf("%s is denied to who may %s on %s: %s", name, r.action, resource, e.Message)
		}
		f.keys.may("some", r.action+"X "+resource, r.action+" "+resource+"x")
		if status, _ := ask("some", "shop"); status != http.StatusForbidden {
			t.Errorf("%s answers %d to who may something alike", name, status)
		}
	}
}

func TestWhoIsDeniedIsRecorded(t *testing.T) {
	f := newFixture(t)
	f.keys.may("ann", "gust:DeployApp "+appMine)
	_, err := f.as("ann").Remove(t.Context(), "shop")
	var denied *Error
	if !errors.As(err, &denied) || denied.Status != 403 || denied.Denied.Resource != appShop || denied.Denied.Explicit ||
		denied.Denied.Reason != "because no identity-based policy allows the gust:RemoveApp action" || !strings.Contains(denied.Message, denied.Denied.Reason) {
		t.Fatalf("%#v", err)
	}
	if _, err := f.as("ann").Apply(t.Context(), &ApplyRequest{App: app("mine", f.upload(t), "a")}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.client.Remove(t.Context(), "nothere"); !errors.Is(err, gust.ErrNotFound) {
		t.Fatal(err)
	}
	page, err := f.client.Audit(t.Context(), AuditQuery{Limit: 2})
	if err != nil || len(page.Records) != 2 || !page.More {
		t.Fatalf("%+v, %v", page, err)
	}
	var got []string
	for more := true; more; {
		for _, r := range page.Records {
			got = append(got, fmt.Sprint(r.Action, " ", r.Resources, " ", r.Result, " ", r.Code))
		}
		if more = page.More; more {
			if page, err = f.client.Audit(t.Context(), AuditQuery{Limit: 2, After: page.Next}); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := []string{
		"gust:RemoveApp [" + appShop + "] denied ",
		"gust:PutArtifact [arn:aws:gust:us-east-1:000000000000:artifact/" + string(f.upload(t)) + "] ok ",
		"gust:DeployApp [" + appMine + "] ok ",
		"gust:RemoveApp [arn:aws:gust:us-east-1:000000000000:app/nothere] error not_found",
		"gust:ReadAudit [] ok ",
	}
	if text := strings.Join(got, "\n"); !strings.HasPrefix(text, strings.Join(want, "\n")) {
		t.Errorf("the audit log says\n%s\nwant\n%s", text, strings.Join(want, "\n"))
	}
	for q, n := range map[AuditQuery]int{
		{Principal: "*user/ann"}: 2, {Principal: "*user/ann", Action: "gust:deployapp"}: 1, {Result: audit.Denied}: 1, {Since: "1h", Result: audit.Failed}: 1,
		{Action: "iam:*"}: 0,
	} {
		if page, err := f.client.Audit(t.Context(), q); err != nil || len(page.Records) != n {
			t.Errorf("%+v: %d records, %v; want %d", q, len(page.Records), err, n)
		}
	}
	sum, err := f.client.VerifyAudit(t.Context(), "")
	if err != nil || len(sum.Problems) != 0 || sum.Records == 0 {
		t.Fatalf("%+v, %v", sum, err)
	}
	if sum, err = f.client.VerifyAudit(t.Context(), sum.Head); err != nil || len(sum.Problems) != 0 {
		t.Errorf("%+v, %v", sum, err)
	}
	if _, err = f.client.VerifyAudit(t.Context(), "x"); !errors.Is(err, gust.ErrInvalid) {
		t.Errorf("a head that is none: %v", err)
	}
}

// A deployer gives no rights by a manifest that they may not give, takes
// nothing from an app that is not theirs, and learns nothing of it.
func TestDeployingIsNoWayAround(t *testing.T) {
	f := newFixture(t)
	digest := f.upload(t)
	ctx := t.Context()
	if _, err := f.client.Apply(ctx, &ApplyRequest{App: app("shop", digest, "api", "worker")}); err != nil {
		t.Fatal(err)
	}
	deploy := []string{"gust:DeployApp " + appMine, "gust:PlanApp " + appMine}
	f.keys.may("ann", deploy...)
	ann := f.as("ann")
	allow := func(actions ...string) gust.Grant {
		return gust.Grant{Effect: gust.Allow, Actions: actions, Resources: []string{"*"}}
	}
	deny := gust.Grant{Effect: gust.Deny, Actions: []string{"iam:*"}, Resources: []string{"*"}}
	mine := func(grants ...gust.Grant) *gust.App {
		a := app("mine", digest, "tool")
		a.Functions["tool"].Policy = grants
		a.Functions["tool"].Memory += gust.MB * int64(time.Now().UnixNano()%100) // it is changed each time
		return a
	}
	denied := func(what string, err error, action, resource string) {
		t.Helper()
		var e *Error
		if !errors.As(err, &e) || e.Code != CodeDenied || e.Denied.Action != action || e.Denied.Resource != resource {
			t.Errorf("%s: %v, want %s to be denied on %s", what, err, action, resource)
		}
	}
	fine := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	const role = "arn:aws:iam::000000000000:role/gust/fn.tool"
	try := func(grants ...gust.Grant) error {
		_, err := ann.Apply(ctx, &ApplyRequest{App: mine(grants...)})
		return err
	}
	denied("a new function with rights", try(allow("iam:*")), "iam:PutRolePolicy", role)
	if f.catalog.Snapshot().Apps["mine"] != nil {
		t.Error("it was deployed")
	}
	ends := 0
	for r, err := range f.audit.Read(ctx, audit.Filter{Action: "gust:DeployApp", Result: audit.Denied}) {
		if ends++; err != nil || r.Reason != "because no identity-based policy allows the iam:PutRolePolicy action" {
			t.Errorf("the audit log does not say why the deploy was denied: %+v, %v", r, err)
		}
	}
	if ends != 1 {
		t.Errorf("%d records say that the deploy was denied", ends)
	}
	fine("a function without rights", try())
	denied("a function gets rights", try(allow("iam:*")), "iam:PutRolePolicy", role)
	if got := f.catalog.Snapshot().Functions["tool"].Policy; len(got) != 0 {
		t.Errorf("it has %v", got)
	}
	_, err := f.client.Apply(ctx, &ApplyRequest{App: mine(allow("sqs:*"), deny)})
	fine("root gives rights", err)
	fine("a change that leaves them", try(allow("sqs:*"), deny))
	denied("a right more", try(allow("sqs:*"), allow("s3:*"), deny), "iam:PutRolePolicy", role)
	denied("another right", try(allow("s3:*"), deny), "iam:PutRolePolicy", role)
	denied("a denial less", try(allow("sqs:*")), "iam:PutRolePolicy", role)
	fine("a right less", try(deny))
	f.keys.may("ann", append(deploy, "iam:PutRolePolicy "+role)...)
	fine("who may give rights", try(allow("iam:*")))

	// Another app's.
	f.keys.may("ann", append(deploy, "iam:PutRolePolicy *")...)
	taken := app("mine", digest, "tool", "api")
	for _, take := range [][]string{nil, {"function:api", "route:GET /api"}, {"route:GET /worker"}} {
		for what, err := range map[string]error{
			"plan":  func() error { _, err := ann.Plan(ctx, taken, take); return err }(),
			"apply": func() error { _, err := ann.Apply(ctx, &ApplyRequest{App: taken, Take: take}); return err }(),
		} {
			if !errors.Is(err, gust.ErrConflict) || strings.Contains(err.Error(), "shop") || !strings.Contains(err.Error(), "another app") {
				t.Errorf("%s with %v: %v; want a conflict that does not name the other app", what, take, err)
			}
		}
	}
	f.keys.may("ann", append(deploy, "gust:ListApps *")...)
	_, err = ann.Apply(ctx, &ApplyRequest{App: taken, Take: []string{"function:api", "route:GET /api"}})
	denied("taking from an app", err, "gust:DeployApp", appShop)
	_, err = ann.Plan(ctx, taken, []string{"function:api", "route:GET /api"})
	denied("planning it", err, "gust:PlanApp", appShop)
	f.keys.may("ann", append(deploy, "gust:ListApps *", "gust:DeployApp "+appShop)...)
	_, err = ann.Apply(ctx, &ApplyRequest{App: taken, Take: []string{"function:api", "route:GET /api"}})
	fine("who may deploy both", err)
	if f.forgot != 0 {
		t.Error("something was forgotten, and nothing removed")
	}
	f.failed = gust.ErrNoSpace // what is done is not answered as failed
	if _, err = f.client.Remove(ctx, "mine"); err != nil || f.forgot != 1 {
		t.Errorf("%v, and what belonged to the functions was forgotten %d times", err, f.forgot)
	}
}

func TestListsShowWhatTheirReaderMaySee(t *testing.T) {
	f := newFixture(t)
	digest := f.upload(t)
	for _, name := range []string{"shop", "mine"} {
		if _, err := f.client.Apply(t.Context(), &ApplyRequest{App: app(name, digest, "in-"+name, "also-in-"+name)}); err != nil {
			t.Fatal(err)
		}
	}
	f.envs = []invoke.Environment{{ID: "1", App: "shop", Function: "in-shop"}, {ID: "2", App: "mine", Function: "in-mine"}}
	for name, fn := range f.catalog.Snapshot().Functions {
		s := f.recorder.Stream(fn, "env-"+name)
		s.Line([]byte("line of " + name))
		s.Close()
	}
	const lambda = "arn:aws:lambda:us-east-1:000000000000:function:"
	f.keys.may("ann",
		"gust:ListApps "+appMine, "gust:ListFunctions "+lambda+"in-*", "gust:ListEnvironments "+lambda+"in-mine",
		"gust:ReadLogs "+appMine, "!gust:ReadLogs "+lambda+"also-in-mine", "gust:ReadLogs "+lambda+"in-shop",
	)
	ann := f.as("ann")
	apps, _, err := ann.Apps(t.Context())
	if err != nil || len(apps) != 1 || apps[0].Name != "mine" {
		t.Errorf("apps: %v, %v", apps, err)
	}
	functions, err := ann.Functions(t.Context(), "")
	if err != nil || len(functions) != 2 || functions[0].Name != "in-mine" || functions[1].Name != "in-shop" {
		t.Errorf("functions: %v, %v", functions, err)
	}
	environments, err := ann.Environments(t.Context(), "", "")
	if err != nil || len(environments) != 1 || environments[0].ID != "2" {
		t.Errorf("environments: %v, %v", environments, err)
	}
	read := func(q LogQuery) string {
		var lines []string
		for r, err := range ann.Logs(t.Context(), q) {
			if err != nil {
				return err.Error()
			}
			lines = append(lines, strings.TrimPrefix(r.Message, "line of "))
		}
		return strings.Join(lines, " ")
	}
	for _, tt := range []struct {
		q    LogQuery
		want []string
	}{
		{LogQuery{}, []string{"in-mine", "in-shop"}}, {LogQuery{App: "mine"}, []string{"in-mine"}}, {LogQuery{App: "shop"}, []string{"in-shop"}},
		{LogQuery{Function: "in-mine"}, []string{"in-mine"}}, {LogQuery{Function: "also-in-mine"}, []string{"not authorized", "gust:ReadLogs", "with an explicit deny"}},
		{LogQuery{Function: "also-in-shop"}, []string{"not authorized"}}, {LogQuery{Function: "nothere"}, []string{"not authorized"}}, {LogQuery{App: "nothere"}, []string{"not authorized"}},
	} {
		got := read(tt.q)
		for _, want := range tt.want {
			if !strings.Contains(got, want) {
				t.Errorf("logs of %+v: %q, want %q", tt.q, got, want)
			}
		}
		if strings.Contains(got, "also-in-mine") && tt.q.Function == "" || strings.Contains(got, "also-in-shop") && tt.q.Function == "" {
			t.Errorf("logs of %+v: %q", tt.q, got)
		}
	}
	// Who may see all sees that there is nothing.
	f.keys.may("bob", "gust:ListApps "+"arn:aws:gust:us-east-1:000000000000:app/*")
	if _, err := f.client.Remove(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.client.Remove(t.Context(), "mine"); err != nil {
		t.Fatal(err)
	}
	if apps, _, err := f.as("bob").Apps(t.Context()); err != nil || len(apps) != 0 {
		t.Errorf("apps: %v, %v", apps, err)
	}
}

// A list is not made for who has left: it takes a decision for each thing.
func TestListsEndWithTheirReader(t *testing.T) {
	f := newFixture(t)
	if _, err := f.client.Apply(t.Context(), &ApplyRequest{App: app("shop", f.upload(t), "api", "tool")}); err != nil {
		t.Fatal(err)
	}
	left, cancel := context.WithCancel(t.Context())
	cancel()
	for _, path := range []string{"/v1/functions", "/v1/apps"} {
		r := httptest.NewRequestWithContext(left, "GET", path, nil)
		r.Header.Set("Authorization", "Bearer "+f.keys.key("root").Token())
		before := f.keys.asked
		f.handler.ServeHTTP(httptest.NewRecorder(), r)
		if f.keys.asked != before {
			t.Errorf("%s: %d decisions", path, f.keys.asked-before)
		}
	}
}

// Rights that are taken away count for who follows the logs already.
func TestFollowingEndsWithTheRight(t *testing.T) {
	f := newFixture(t)
	functions := app("shop", "", "api", "tool").Functions
	const tool = "arn:aws:lambda:us-east-1:000000000000:function:tool"
	f.keys.may("ann", "gust:ReadLogs "+fnAPI, "gust:ReadLogs "+tool)
	if _, err := f.client.Apply(t.Context(), &ApplyRequest{App: app("shop", f.upload(t), "api", "tool")}); err != nil {
		t.Fatal(err)
	}
	secret, marks := f.recorder.Stream(functions["api"], "e1"), f.recorder.Stream(functions["tool"], "e2")
	defer secret.Close()
	defer marks.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	next, stop := iter.Pull2(f.as("ann").Logs(ctx, LogQuery{Follow: true}))
	defer stop()
	for n := 0; ; n++ {
		mark := fmt.Sprint("mark ", n)
		secret.Line([]byte("secret"))
		marks.Line([]byte(mark))
		told := false
		for {
			r, err, ok := next()
			if err != nil || !ok {
				t.Fatalf("after %d marks: %v", n, err)
			}
			if r.Message == mark {
				break
			}
			told = told || r.Message == "secret"
		}
		switch {
		case n == 0 && !told:
			t.Fatal("who may read is told nothing")
		case n == 0:
			f.keys.may("ann", "gust:ReadLogs "+tool)
		case !told:
			return
		}
	}
}

func TestARequestThatPanicsIsRecordedAsFailed(t *testing.T) {
	f := newFixture(t)
	f.warm = func(string) (*invoke.WarmUp, error) { panic("a defect") }
	func() {
		defer func() { _ = recover() }()
		f.do("POST", "/v1/functions/api/warm", "")
	}()
	page, err := f.client.Audit(t.Context(), AuditQuery{})
	if err != nil || len(page.Records) != 1 || page.Records[0].Result != audit.Failed || page.Records[0].Code != "internal" {
		t.Errorf("%+v, %v", page, err)
	}
}

func TestWhoAmI(t *testing.T) {
	f := newFixture(t)
	f.keys.may("ann")
	who, err := f.as("ann").WhoAmI(t.Context())
	if err != nil || who.Kind != access.KindUser || who.ARN != "arn:aws:iam::000000000000:user/ann" || who.Account != "000000000000" || who.KeyID != "AKIAANN" || !who.Expires.IsZero() {
		t.Errorf("%+v, %v", who, err)
	}
	if page, err := f.client.Audit(t.Context(), AuditQuery{}); err != nil || len(page.Records) != 0 {
		t.Errorf("it is recorded: %+v, %v", page, err)
	}
}

func TestFindKey(t *testing.T) {
	dir := t.TempDir()
	root, _, err := access.OpenRootKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	aws := map[string]string{"AWS_ACCESS_KEY_ID": "AKIAAWS", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}
	for _, tt := range []struct {
		key, dir, want string
		env            map[string]string
	}{
		{"", dir, root.Token(), nil}, {"", dir, root.Token(), aws}, {"", t.TempDir(), "neither GUST_KEY nor", nil}, {"", "", "its own node alone", nil},
		{"AKIAX.y", dir, "AKIAX.y", aws}, {"ASIAX.y.to.ken", dir, "ASIAX.y.to.ken", nil},
		{"x", dir, "want ID.SECRET", nil}, {"x.", dir, "want ID.SECRET", nil}, {".y", dir, "want ID.SECRET", nil}, {"x.y.", dir, "want ID.SECRET", nil},
		{"aws", dir, "AKIAAWS.s.t", aws}, {"aws", dir, "is not set", nil},
	} {
		key, err := FindKey(func(name string) string {
			if name == "GUST_KEY" {
				return tt.key
			}
			return tt.env[name]
		}, tt.dir)
		got := fmt.Sprint(err)
		if err == nil {
			got = key.Token()
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("GUST_KEY=%s: %s, want %s", tt.key, got, tt.want)
		}
	}
}

// TestActionsAreKnown: the linter of policies knows every action of the API.
func TestActionsAreKnown(t *testing.T) {
	for _, r := range routes {
		if r.action == "" {
			continue
		}
		if ps := policy.CheckGrants([]gust.Grant{{Effect: gust.Allow, Actions: []string{r.action}, Resources: []string{"*"}}}); len(ps) > 0 {
			t.Errorf("%v: add it to internal/access/policy/actions.txt", ps)
		}
	}
}

// What has to be read before it is known whether its sender may anything is small.
func TestWhoMayNothingSendsNoLargeDocument(t *testing.T) {
	f := newFixture(t)
	f.keys.may("nobody")
	for path, body := range map[string]string{"/v1/runtimes": `{"name":"node@0","from":"`, "/v1/explain": `{"principal":"root","action":"`} {
		if w := f.doAs("nobody", "POST", path, body+strings.Repeat("x", 20<<10)+`"}`); w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := f.doAs("nobody", "PUT", "/v1/apps/shop", `{"app":`+strings.Repeat("[", 20<<10)); w.Code != http.StatusForbidden {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Who follows the audit log asks once, which is in it, and is not told of it
// again and again.
func TestFollowingTheAuditLog(t *testing.T) {
	f := newFixture(t)
	f.keys.may("ann", "gust:ReadAudit *")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	next, stop := iter.Pull2(f.as("ann").AuditRecords(ctx, AuditQuery{}, true))
	defer stop()
	told := func(want string) {
		t.Helper()
		r, err, _ := next()
		if err != nil {
			t.Fatalf("%v, want %s", err, want)
		}
		if got := fmt.Sprint(r.Action, " ", r.Result); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	told("gust:ReadAudit ok")
	for range 3 { // one record each, when it has ended
		if _, err := f.client.Remove(t.Context(), "nothere"); !errors.Is(err, gust.ErrNotFound) {
			t.Fatal(err)
		}
		told("gust:RemoveApp error")
	}
	f.keys.may("ann")
	if _, _, err := f.client.Apps(t.Context()); err != nil {
		t.Fatal(err)
	}
	var denied *Error
	if r, err, _ := next(); !errors.As(err, &denied) || denied.Code != CodeDenied {
		t.Errorf("who lost the right is told %+v, %v", r, err)
	}

	f.keys.may("ann", "gust:ReadAudit *")
	next, stop = iter.Pull2(f.as("ann").AuditRecords(ctx, AuditQuery{Action: "gust:ListRuntimes"}, true))
	defer stop()
	if _, err := f.client.Runtimes(t.Context()); err != nil {
		t.Fatal(err)
	}
	told("gust:ListRuntimes ok")
	f.drain()
	if r, err, more := next(); err != nil || more {
		t.Errorf("when the node drains: %+v, %v", r, err)
	}
	if w := f.do("GET", "/v1/audit?follow=true&limit=1", ""); w.Code != 400 || !strings.Contains(w.Body.String(), "leave one of them out") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := f.do("GET", "/v1/audit?follow=x", ""); w.Code != 400 || !strings.Contains(w.Body.String(), "want true or false") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// What does not fit is looked at once, not again with each page.
func TestPagesOfTheAuditLogGoOnBehindWhatDoesNotFit(t *testing.T) {
	f := newFixture(t)
	for range 3 {
		if _, _, err := f.client.Apps(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	q := AuditQuery{Action: "nothing:*"}
	for _, want := range []uint64{3, 4} { // asking is in it, too
		page, err := f.client.Audit(t.Context(), q)
		if err != nil || page.More || len(page.Records) != 0 || page.Next != want {
			t.Fatalf("%+v, %v; want %d to be next", page, err, want)
		}
		q.After = page.Next
	}
}
