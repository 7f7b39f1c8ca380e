package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/access/policy"
	"github.com/gust-dev/gust/internal/store"
)

const alice = "arn:aws:iam::000000000000:user/alice"

// keys has one credential, alice's.
type keys struct{}

func (keys) Lookup(id, token string) (*access.Credential, error) {
	if id != "AKIAALICE" {
		return nil, &access.Error{Code: access.Invalid, Detail: "the access key is not known"}
	}
	return &access.Credential{KeyID: id, Secret: "secret", Principal: &access.Principal{Kind: access.KindUser, Name: "alice", ARN: alice, SourceIdentity: "ann"}}, nil
}

func (keys) Used(*access.Credential, string, string, time.Time) {}

// decisions is a directory that decides by action.
type decisions map[string]policy.Decision

func (d decisions) Decide(_ *access.Caller, n *access.Need) policy.Decision { return d[n.Action] }

type fixture struct {
	fs    *vfs.MemFS
	log   *audit.Log
	guard *Guard
}

func newFixture(t *testing.T, d decisions) *fixture {
	t.Helper()
	fs := vfs.NewMem()
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 40, TotalBytes: 1 << 40})
	s, err := store.Open(store.Options{Dir: "data", FS: fs, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	log, err := audit.Open(t.Context(), s, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return &fixture{fs, log, New(access.New(keys{}, access.Options{}), d, log, nil)}
}

func request(authorization string) *http.Request {
	r := httptest.NewRequest("GET", "/v1/apps", nil)
	r.RemoteAddr = "192.0.2.9:1234"
	r.Header.Set("User-Agent", "test/1")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

func (f *fixture) call(t *testing.T) *Call {
	t.Helper()
	c, err := f.guard.Admit(request("Bearer AKIAALICE.secret"), "id-1")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (f *fixture) records(t *testing.T) (list []*audit.Record) {
	t.Helper()
	for r, err := range f.log.Read(context.Background(), audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

// The sentences are those of AWS's documentation on access denied messages.
func TestDenialsAreWordedAndRecorded(t *testing.T) {
	const bucket = "arn:aws:s3:::secret"
	tests := []struct {
		decision policy.Decision
		want     string
	}{
		{policy.Decision{Layer: policy.LayerIdentity}, "because no identity-based policy allows the a:B action"},
		{policy.Decision{Layer: policy.LayerResource}, "because no resource-based policy allows the a:B action"},
		{policy.Decision{Layer: policy.LayerBoundary}, "because no permissions boundary allows the a:B action"},
		{policy.Decision{Layer: policy.LayerSession}, "because no session policy allows the a:B action"},
		{policy.Decision{Denied: true, Layer: policy.LayerIdentity, Policy: "inline p of user alice", Statement: "No"}, "with an explicit deny in an identity-based policy (statement No of inline p of user alice)"},
		{policy.Decision{Denied: true, Layer: policy.LayerSession, Policy: "session", Statement: "#2"}, "with an explicit deny in a session policy (statement #2 of session)"},
	}
	for _, tt := range tests {
		f := newFixture(t, decisions{"a:B": tt.decision, "a:A": {Allowed: true}})
		c := f.call(t)
		err := c.Allow(t.Context(), access.Need{Action: "a:A", Resource: "arn:aws:a:::x"}, access.Need{Action: "a:B", Resource: bucket})
		var denied *DeniedError
		want := "User: " + alice + " is not authorized to perform: a:B on resource: " + bucket + " " + tt.want
		if !errors.As(err, &denied) || err.Error() != want || denied.Explicit != tt.decision.Denied || denied.Layer != tt.decision.Layer {
			t.Errorf("%#v, want %q", err, want)
		}
		list := f.records(t)
		if len(list) != 1 {
			t.Fatalf("%d records", len(list))
		}
		r := list[0]
		got := fmt.Sprint(r.Result, r.Principal, r.KeyID, r.SourceIdentity, r.Action, r.Resources, r.Source, r.UserAgent, r.RequestID, r.Reason)
		if want := fmt.Sprint(audit.Denied, alice, "AKIAALICE", "ann", "a:B", []string{bucket}, "192.0.2.9", "test/1", "id-1", tt.want); got != want {
			t.Errorf("the record says\n%s\nwant\n%s", got, want)
		}
		if _, n := f.guard.Figures(); n[Denial{tt.decision.Layer, tt.decision.Denied}] != 1 {
			t.Errorf("the figures are %v", n)
		}
	}
}

func TestCallsAreRecordedByTheirLevel(t *testing.T) {
	f := newFixture(t, decisions{"a:B": {Allowed: true}})
	for _, tt := range []struct {
		level Level
		err   error
		want  string
	}{
		{Read, nil, "call ok"}, {Read, gust.ErrNotFound, "call error not_found"}, {Read, errors.New("x"), "call error internal"},
		{Write, nil, "end ok"}, {Write, fmt.Errorf("x: %w", gust.ErrConflict), "end error conflict"}, {Write, coded{}, "end error Own"},
		{Write, &DeniedError{}, "end denied"}, {Data, nil, ""}, {Data, gust.ErrNotFound, ""}, {Session, nil, "call ok"}, {Session, gust.ErrInvalid, "call error invalid"},
		{Write, &access.Error{Code: access.Invalid}, "end refused invalid credential"},
	} {
		before := len(f.records(t))
		c := f.call(t)
		if err := c.Allow(t.Context(), access.Need{Action: "a:B", Resource: "arn:one"}); err != nil {
			t.Fatal(err)
		}
		end, err := c.Record(t.Context(), tt.level, "a:B", "arn:two", Param{"Name", "x"})
		if err != nil {
			t.Fatal(err)
		}
		if running := f.records(t)[before:]; tt.level == Write != (len(running) == 1) {
			t.Errorf("%d records while a call of level %d runs", len(running), tt.level)
		}
		if err := end(tt.err); err != tt.err {
			t.Fatal(err)
		}
		got := ""
		for _, r := range f.records(t)[before:] {
			got = strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Kind, r.Result, r.Code))
			if fmt.Sprint(r.Resources) != "[arn:one arn:two]" || r.Parameters["Name"] != "x" {
				t.Errorf("%+v", r)
			}
		}
		if got != tt.want {
			t.Errorf("level %d with %v: %q, want %q", tt.level, tt.err, got, tt.want)
		}
	}
}

// What a call is denied while it runs is on record once: by its end if it is what
// it began with, and by itself if it is something else.
func TestDenialsInTheMiddleOfACall(t *testing.T) {
	for _, tt := range []struct {
		need access.Need
		want string
	}{
		{access.Need{Action: "a:B", Resource: "arn:one"}, "end a:B [arn:one] denied"},
		{access.Need{Action: "a:B", Resource: "arn:two"}, "call a:B [arn:two] denied, end a:B [arn:one] denied"},
		{access.Need{Action: "a:C", Resource: "arn:one"}, "call a:C [arn:one] denied, end a:B [arn:one] denied"},
	} {
		f := newFixture(t, decisions{})
		c := f.call(t)
		end, err := c.Record(t.Context(), Write, "a:B", "arn:one")
		if err != nil {
			t.Fatal(err)
		}
		denied := c.Allow(t.Context(), tt.need)
		if err := end(denied); denied == nil || err != denied {
			t.Fatal(denied, err)
		}
		var got []string
		for _, r := range f.records(t) {
			got = append(got, fmt.Sprint(r.Kind, " ", r.Action, " ", r.Resources, " ", r.Result))
			if (r.Result == audit.Denied) != (r.Reason == "because no "+policy.Layer("").Words()+" allows the "+tt.need.Action+" action") {
				t.Errorf("%+v", r)
			}
		}
		if got := strings.Join(got, ", "); got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
		if _, n := f.guard.Figures(); n[Denial{}] != 1 {
			t.Errorf("the figures are %v", n)
		}
	}
}

// Nobody without a credential writes records by calling what needs none: what
// fails is counted, and what succeeds is recorded before it is answered.
func TestTheAnonymousAreCounted(t *testing.T) {
	f := newFixture(t, nil)
	for i := range 100 {
		c := f.guard.Anonymous(request(""), "id-1")
		end, err := c.Record(t.Context(), Session, "sts:AssumeRoleWithWebIdentity", "*", Param{"RoleArn", "arn:one"})
		if err != nil {
			t.Fatal(err)
		}
		failed := error(coded{})
		if i == 50 {
			failed = nil
		}
		if err := end(failed); err != failed {
			t.Fatal(err)
		}
	}
	list := f.records(t)
	if len(list) != 1 || list[0].Result != audit.OK || list[0].Principal != "anonymous" || list[0].Parameters["RoleArn"] != "arn:one" {
		t.Errorf("%+v", list)
	}
	if err := f.log.Close(); err != nil {
		t.Fatal(err)
	}
	if list = f.records(t); len(list) != 2 || list[1].Count != 99 || list[1].Source != "192.0.2.9" || list[1].Parameters["Own"] != "99" {
		t.Errorf("%+v", list)
	}
}

type coded struct{}

func (coded) Error() string     { return "x" }
func (coded) ErrorCode() string { return "Own" }

// Who has no valid credential is counted; nobody is told more than before.
func TestWithoutACredential(t *testing.T) {
	f := newFixture(t, nil)
	served := false
	h := f.guard.Require(func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, err.Error(), http.StatusUnauthorized)
	},
		http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			c := CallFrom(r.Context())
			served = c.Caller.Principal.ARN == alice && len(c.RequestID) == 36
		}))
	for _, authorization := range []string{"", "Bearer AKIAALICE.wrong", "Bearer AKIABOB.secret", "Bearer AKIAALICE.secret"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request(authorization))
		if id := w.Header().Get("X-Amzn-Requestid"); len(id) != 36 || w.Code == 401 != !served {
			t.Errorf("%q: %d with the id %q", authorization, w.Code, id)
		}
	}
	if !served {
		t.Error("alice is not let in")
	}
	if refused, _ := f.guard.Figures(); refused[access.Missing] != 1 || refused[access.Invalid] != 2 {
		t.Errorf("the figures are %v", refused)
	}
	if err := f.log.Close(); err != nil {
		t.Fatal(err)
	}
	list := f.records(t)
	if len(list) != 1 || list[0].Result != audit.Refused || list[0].Count != 3 || list[0].Source != "192.0.2.9" || list[0].Parameters["invalid credential"] != "2" {
		t.Errorf("%+v", list)
	}
}

// On a full disk calls that change something are refused, and those that read
// go on.
func TestFullDisk(t *testing.T) {
	f := newFixture(t, decisions{"a:B": {Allowed: true}})
	f.fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 20, TotalBytes: 1 << 40})
	c := f.call(t)
	began := time.Now()
	for {
		c.Caller.At = c.Caller.At.Add(time.Second) // or there are too many calls
		end, err := c.Record(t.Context(), Write, "a:B", "")
		if err == nil {
			err = end(nil) // the disk is looked at once a second
		}
		if errors.Is(err, gust.ErrNoSpace) {
			break
		}
		if err != nil || time.Since(began) > time.Minute {
			t.Fatalf("it never gets full: %v", err)
		}
	}
	c.Caller.At = c.Caller.At.Add(time.Second)
	if _, err := c.Record(t.Context(), Write, "a:B", ""); !errors.Is(err, gust.ErrNoSpace) {
		t.Errorf("a call that changes something: %v", err)
	}
	end, err := c.Record(t.Context(), Read, "a:B", "")
	if err == nil {
		err = end(nil)
	}
	if err != nil {
		t.Errorf("a call that reads: %v", err)
	}
}

// Who may hardly anything cannot fill the audit log with what they may, and so
// push out of it what they have done.
func TestManagementCallsArePaced(t *testing.T) {
	f := newFixture(t, nil)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	calls := func(kind access.Kind, session string, level Level, n int) (made int) {
		for range n {
			c := f.call(t)
			c.Caller.At = now
			c.Caller.Credential.Principal = &access.Principal{Kind: kind, Name: "x", ARN: "arn:" + string(kind) + session, RoleARN: map[access.Kind]string{access.KindRole: "arn:r"}[kind]}
			end, err := c.Record(t.Context(), level, "sts:GetSessionToken", "*")
			if err != nil {
				if !errors.Is(err, gust.ErrBusy) || !strings.Contains(err.Error(), "20 management calls a second") {
					t.Fatal(err)
				}
				continue
			}
			if err := end(nil); err != nil {
				t.Fatal(err)
			}
			made++
		}
		return made
	}
	for _, tt := range []struct {
		what    string
		kind    access.Kind
		session string
		level   Level
		after   time.Duration
		n, want int
	}{
		{"as many as may come at once", access.KindUser, "", Read, 0, 210, callsAtOnce},
		{"none more at that moment", access.KindUser, "", Write, 0, 1, 0},
		{"those of a second", access.KindUser, "", Write, time.Second, 50, callsASecond},
		{"a clock that went back gives none", access.KindUser, "", Read, -time.Hour, 1, 0},
		{"uses of data are not held up", access.KindUser, "", Data, 0, 50, 50},
		{"a role", access.KindRole, "/a", Read, 0, callsAtOnce, callsAtOnce},
		{"whatever its session is called", access.KindRole, "/b", Read, 0, 1, 0},
		{"root", access.KindRoot, "", Read, 0, 300, 300},
	} {
		now = now.Add(tt.after)
		if made := calls(tt.kind, tt.session, tt.level, tt.n); made != tt.want {
			t.Errorf("%s: %d of %d calls were made, want %d", tt.what, made, tt.n, tt.want)
		}
	}
}

// TestPaceIsNotWoundBack: a request that held its body back comes later than it
// arrived.
func TestPaceIsNotWoundBack(t *testing.T) {
	p := pace{of: make(map[string]*allowance)}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	calls := 0
	for range 5 {
		for p.take("somebody", now) == nil {
			calls++
		}
		_ = p.take("somebody", now.Add(-20*time.Second))
	}
	if calls != callsAtOnce {
		t.Errorf("%d calls in one instant, want %d", calls, callsAtOnce)
	}
}

// Who is kept in mind is bounded, and whoever comes when there are too many shares
// what one has.
func TestPaceIsBounded(t *testing.T) {
	f := newFixture(t, nil)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	busy := 0
	vouch := func(subject string) error {
		c := f.guard.Anonymous(request(""), "id-1")
		c.Caller.At = now
		return c.Vouched(&access.Principal{Kind: access.KindFederated, ARN: subject, Provider: "arn:provider"}, "arn:role")
	}
	for i := range maxPaced + 2*callsAtOnce {
		if err := vouch(fmt.Sprint("subject ", i)); errors.Is(err, gust.ErrBusy) {
			busy++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n := len(f.guard.pace.of); n != maxPaced+1 || busy != callsAtOnce {
		t.Errorf("%d are kept in mind, %d were refused", n, busy)
	}
	now = now.Add(time.Hour)
	if err := vouch("new"); err != nil || len(f.guard.pace.of) != 1 {
		t.Errorf("when all have rested: %v, %d are kept in mind", err, len(f.guard.pace.of))
	}
}
