package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/store"
)

func openStore(t testing.TB, o store.Options) *store.Store {
	t.Helper()
	o.Dir, o.Logger = "data", slog.New(slog.DiscardHandler)
	if o.FS == nil {
		o.FS = vfs.NewMem()
	}
	s, err := store.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func open(t testing.TB, s *store.Store, o Options) *Log {
	t.Helper()
	l, err := Open(context.Background(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func all(t testing.TB, l *Log, f Filter) []*Record {
	t.Helper()
	var list []*Record
	for r, err := range l.Read(context.Background(), f) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

// short is a record in a line: what differs in the tests.
func short(r *Record) string {
	s := fmt.Sprintf("%d %s %s %s", r.Seq, r.Kind, r.Action, r.Result)
	if r.Began != 0 {
		s += fmt.Sprintf(" of %d", r.Began)
	}
	if r.Count != 0 {
		s += fmt.Sprintf(" x%d", r.Count)
	}
	return s
}

func shorts(list []*Record) string {
	var lines []string
	for _, r := range list {
		lines = append(lines, short(r))
	}
	return strings.Join(lines, "\n")
}

func whole(t testing.TB, l *Log) *Summary {
	t.Helper()
	s, err := l.Verify(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Problems) > 0 {
		t.Fatalf("the log is not whole: %v", s.Problems)
	}
	return s
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const alice = "arn:aws:iam::000000000000:user/alice"

func do(action string) *Record {
	return &Record{Principal: alice, KeyID: "AKIAX", Action: action, Resources: []string{"arn:aws:gust:r:a:app/shop"}, Source: "10.0.0.1", RequestID: "id-" + action}
}

func TestCallsAndDenialsAreRecorded(t *testing.T) {
	s := openStore(t, store.Options{})
	l := open(t, s, Options{})
	one, err := l.Begin(t.Context(), do("gust:DeployApp"))
	ok(t, err)
	two, err := l.Begin(t.Context(), do("gust:RemoveApp"))
	ok(t, err)
	want := "1 begin gust:DeployApp running\n2 begin gust:RemoveApp running"
	if got := shorts(all(t, l, Filter{})); got != want {
		t.Errorf("while they run:\n%s\nwant\n%s", got, want)
	}
	ok(t, one.End(t.Context(), Ending{Result: Failed, Code: "conflict"}))
	denied := do("iam:CreateUser")
	denied.Reason = "because no identity-based policy allows the iam:CreateUser action"
	l.Deny(t.Context(), denied, denied.Principal)
	read := do("gust:ListApps")
	read.Result = OK
	ok(t, l.Add(t.Context(), read))
	ended, cancel := context.WithCancel(t.Context())
	cancel() // the client has gone: the call's end is noted all the same
	ok(t, two.End(ended, Ending{Result: OK}))
	want = "3 end gust:DeployApp error of 1\n4 call iam:CreateUser denied\n5 call gust:ListApps ok\n6 end gust:RemoveApp ok of 2"
	list := all(t, l, Filter{})
	if got := shorts(list); got != want {
		t.Errorf("afterwards:\n%s\nwant\n%s", got, want)
	}
	end := list[0]
	if end.Principal != alice || end.KeyID != "AKIAX" || end.Code != "conflict" || end.Source != "10.0.0.1" || end.RequestID != "id-gust:DeployApp" ||
		end.Start.IsZero() || end.Time.Before(end.Start) || len(end.Resources) != 1 {
		t.Errorf("an end does not tell all: %+v", end)
	}
	if list[1].Reason != denied.Reason {
		t.Errorf("the denial's reason is %q", list[1].Reason)
	}
	for filter, want := range map[Filter]string{
		{After: 3}:                         "456",
		{Action: "GUST:*app"}:              "36",
		{Action: "iam:CreateUser"}:         "4",
		{Principal: "*user/alice"}:         "3456",
		{Principal: "alice"}:               "",
		{Result: Denied}:                   "4",
		{Result: OK, After: 5}:             "6",
		{Since: list[2].Time}:              "56",
		{Since: time.Now().Add(time.Hour)}: "",
		{Since: time.Unix(0, 0)}:           "3456",
	} {
		got := ""
		for _, r := range all(t, l, filter) {
			got += fmt.Sprint(r.Seq)
		}
		if got != want {
			t.Errorf("%+v gives %q, want %q", filter, got, want)
		}
	}
	if sum := whole(t, l); sum.Records != 6 || !strings.HasPrefix(sum.Head, "6:") {
		t.Errorf("%+v", sum)
	}
}

func TestCallsOfARunThatEndedAreCutOff(t *testing.T) {
	fs := vfs.NewMem()
	s := openStore(t, store.Options{FS: fs})
	l := open(t, s, Options{})
	_, err := l.Begin(t.Context(), do("a:Cut"))
	ok(t, err)
	e, err := l.Begin(t.Context(), do("a:Whole"))
	ok(t, err)
	ok(t, e.End(t.Context(), Ending{Result: OK}))
	ok(t, l.Close())
	ok(t, s.Close())
	s = openStore(t, store.Options{FS: fs})
	l = open(t, s, Options{})
	want := "3 end a:Whole ok of 2\n4 end a:Cut cut_off of 1"
	for range 2 {
		if got := shorts(all(t, l, Filter{})); got != want {
			t.Errorf("%s\nwant\n%s", got, want)
		}
		whole(t, l)
		ok(t, l.Close())
		l = open(t, s, Options{})
	}
}

func TestRecordsAreBounded(t *testing.T) {
	l := open(t, openStore(t, store.Options{}), Options{})
	long := strings.Repeat("é", 10_000)
	r := &Record{Principal: long, KeyID: long, Action: long, UserAgent: long, Reason: long, Code: long, Parameters: map[string]string{long: long}}
	for i := range 1000 {
		r.Resources = append(r.Resources, long)
		r.Parameters[fmt.Sprint(i)] = long
	}
	before := r.Resources[0]
	ok(t, l.Add(t.Context(), r))
	if r.Resources[0] != before || len(r.Resources) != 1000 {
		t.Error("the caller's record was changed")
	}
	got := all(t, l, Filter{})[0]
	if len(got.Principal) > maxName || len(got.UserAgent) > maxText || len(got.Parameters) > maxParameters || len(got.Resources) != maxResources+1 ||
		got.Resources[maxResources] != "and 980 more" || !strings.HasSuffix(got.Action, "é...") {
		t.Errorf("it is not bounded: %d resources, %d parameters, %q", len(got.Resources), len(got.Parameters), got.Action)
	}
	if l.size.Load() > 64<<10 {
		t.Errorf("one record has %d bytes", l.size.Load())
	}
	// So is what comes with its end, which tells the rest as its begin did.
	e, err := l.Begin(t.Context(), r)
	ok(t, err)
	ok(t, e.End(t.Context(), Ending{Result: OK, Code: long, Reason: long, Parameters: map[string]string{"00": long}}))
	list := all(t, l, Filter{})
	if got = list[len(list)-1]; len(got.Code) > maxText || len(got.Reason) > maxReason || len(got.Parameters) > maxParameters ||
		len(got.Parameters["00"]) == 0 || len(got.Parameters["00"]) > maxText || got.Resources[maxResources] != "and 980 more" {
		t.Errorf("its end is not bounded: %d of code, %d parameters, %s", len(got.Code), len(got.Parameters), got.Resources[maxResources])
	}
}

// Denials of a principal are counted above a rate, and those without a
// credential always, with bounds on whom they are counted by; Close writes what
// was counted.
func TestDenialsAreCounted(t *testing.T) {
	fs := vfs.NewMem()
	var syncs atomic.Int64
	s := openStore(t, store.Options{FS: errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo {
			syncs.Add(1)
		}
		return nil
	}))})
	l := open(t, s, Options{})
	const role = "arn:aws:iam::000000000000:role/r"
	for i := range 3 * denialsAMinute { // a new session's name each time is no way around
		l.Deny(t.Context(), &Record{Principal: fmt.Sprint("arn:aws:sts::000000000000:assumed-role/r/", i), Action: "a:B"}, role)
	}
	if got := len(all(t, l, Filter{Result: Denied})); got != denialsAMinute {
		t.Errorf("%d of %d denials are a record", got, 3*denialsAMinute)
	}
	before := syncs.Load()
	for i := range 100_000 {
		from := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if i%2 == 0 {
			from = netip.MustParseAddr("2001:db8::1").Next()
		}
		l.Refuse(from, "", fmt.Sprint("code ", i%50))
	}
	l.Refuse(netip.MustParseAddr("127.0.0.1"), "env1", "invalid credential")
	if n := syncs.Load() - before; n > 5 { // the store's own keeper may
		t.Errorf("counting took %d syncs", n)
	}
	l.mu.Lock()
	if n := len(l.tally.sources); n != maxSources+1 {
		t.Errorf("%d sources are told apart, want %d and the others", n, maxSources)
	}
	l.mu.Unlock()
	ok(t, l.Close())

	l = open(t, s, Options{})
	var principals, sources uint64
	for _, r := range all(t, l, Filter{}) {
		if r.Kind != KindCount {
			continue
		}
		if r.Start.IsZero() || r.Count == 0 {
			t.Errorf("%+v", r)
		}
		switch r.Result {
		case Denied:
			if r.Principal != role {
				t.Errorf("counted by %q", r.Principal)
			}
			principals += r.Count
		case Refused:
			if len(r.Parameters) > maxReasons+1 {
				t.Errorf("%d reasons", len(r.Parameters))
			}
			if strings.Contains(r.Source, ":") && (r.Source != "2001:db8::/64" || r.Count != 50_000) {
				t.Errorf("counted by %q: %d", r.Source, r.Count)
			}
			sources += r.Count
		}
	}
	if principals != 2*denialsAMinute || sources != 100_001 {
		t.Errorf("%d denials and %d refusals were counted, want %d and 100001", principals, sources, 2*denialsAMinute)
	}
	whole(t, l)
}

// Who makes session upon session, or reads on and on, has the first few of each
// recorded and pushes nothing out of the log.
func TestCallsThatChangeNothingAreCounted(t *testing.T) {
	s := openStore(t, store.Options{})
	l := open(t, s, Options{minute: time.Hour})
	add := func(who, sort, action string, result Result) {
		t.Helper()
		ok(t, l.AddOrCount(t.Context(), &Record{Principal: who, Action: action, Result: result}, who, sort))
	}
	for range 3 * callsAMinute {
		add("ann", "a:Session", "a:Session", OK)
		add("bob", "reads", "a:Get", OK)
	}
	add("ann", "b:Session", "b:Session", OK) // which the others do not hide
	add("bob", "reads", "a:List", OK)
	add("bob", "reads", "a:List", Failed)
	if n := len(all(t, l, Filter{})); n != 2*callsAMinute+1 {
		t.Errorf("%d records, want %d", n, 2*callsAMinute+1)
	}
	ok(t, l.Close())
	l = open(t, s, Options{})
	var got []string
	for _, r := range all(t, l, Filter{}) {
		if r.Kind == KindCount {
			got = append(got, fmt.Sprint(r.Principal, " ", r.Action, " ", r.Result, " ", r.Count, " ", r.Parameters))
		}
	}
	want := []string{
		"ann a:Session ok 40 map[a:Session:40]",
		"bob  ok 41 map[a:Get:40 a:List:1]",
		"bob a:List error 1 map[a:List:1]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("it counted\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	whole(t, l)
}

// What is counted is written a minute later, without anybody asking.
func TestCountsAreWrittenAfterAMinute(t *testing.T) {
	l := open(t, openStore(t, store.Options{}), Options{minute: time.Millisecond})
	l.Refuse(netip.MustParseAddr("192.0.2.7"), "", "missing credential")
	var list []*Record
	until(t, "it is written", func() bool { list = all(t, l, Filter{Result: Refused}); return len(list) == 1 })
	if r := list[0]; r.Source != "192.0.2.7" || r.Count != 1 || r.Parameters["missing credential"] != "1" {
		t.Errorf("%+v", r)
	}
}

// until looks again and again until ok.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	late := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-late:
			t.Fatalf("it never happened: %s", what)
		case <-tick.C:
		}
	}
}

// clock is a wall clock that the test moves.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) steady() time.Duration   { return time.Duration(c.at.Load()) }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

func TestOldRecordsGoAndTheChainHolds(t *testing.T) {
	var c clock
	c.at.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	s := openStore(t, store.Options{Now: c.now, Steady: c.steady})
	l := open(t, s, Options{MaxAge: 24 * time.Hour})
	for i := range 2500 {
		ok(t, l.Add(t.Context(), do(fmt.Sprint("old:", i))))
	}
	kept := whole(t, l).Head
	c.advance(20 * time.Hour)
	for i := range 10 {
		ok(t, l.Add(t.Context(), do(fmt.Sprint("new:", i))))
	}
	newer := whole(t, l).Head
	ok(t, l.trim(t.Context()))
	if n := whole(t, l).Records; n != 2510 {
		t.Fatalf("%d records are left, though none is old", n)
	}
	c.advance(5 * time.Hour)
	ok(t, l.trim(t.Context()))
	list := all(t, l, Filter{})
	if list[0].Action != "new:0" || list[10].Kind != KindTrim || l.Early() {
		t.Errorf("the first record is %s, and record 10 %s", short(list[0]), short(list[10]))
	}
	sum := whole(t, l)
	if sum.Trimmed != 2500 || sum.First != list[0].Time {
		t.Errorf("%+v", sum)
	}
	if s, err := l.Verify(t.Context(), newer); err != nil || len(s.Problems) > 0 {
		t.Errorf("a head that is still there: %v %v", s.Problems, err)
	}
	if s, err := l.Verify(t.Context(), kept); err != nil || len(s.Problems) > 0 {
		t.Errorf("the head of the newest record that went: %v %v", s.Problems, err)
	}
	if s, err := l.Verify(t.Context(), "7"+kept[4:]); err != nil || len(s.Problems) != 1 || !strings.Contains(s.Problems[0].Text, "kept no longer") {
		t.Errorf("a head of a record that went: %v %v", s.Problems, err)
	}
	c.advance(1000 * time.Hour)
	ok(t, l.trim(t.Context()))
	whole(t, l)
	ok(t, l.Close())
	whole(t, open(t, s, Options{}))
}

func TestTheLogHasABoundOnItsSize(t *testing.T) {
	s := openStore(t, store.Options{})
	l := open(t, s, Options{MaxSize: 100 << 10, minute: time.Hour})
	for i := range 2000 {
		ok(t, l.Add(t.Context(), do(fmt.Sprint("a:", i))))
	}
	if l.size.Load() <= l.MaxSize {
		t.Fatal("the test is too small")
	}
	ok(t, l.trim(t.Context()))
	if n := l.size.Load(); n > 100<<10 || n < 80<<10 || !l.Early() {
		t.Errorf("it has %d bytes after it was trimmed, early is %v", n, l.Early())
	}
	whole(t, l)
}

// That records went before their age is known to a node that starts anew, until
// the log reaches back to that age again.
func TestEarlyOutlivesTheNode(t *testing.T) {
	var c clock
	c.at.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	s := openStore(t, store.Options{Now: c.now, Steady: c.steady})
	small := Options{MaxAge: time.Hour, MaxSize: 50 << 10, minute: time.Hour}
	l := open(t, s, small)
	for range 500 {
		ok(t, l.Add(t.Context(), do("a:B")))
	}
	for _, step := range []struct {
		what  string
		after time.Duration
		early bool
	}{{"the log is too large", 0, true}, {"nothing is to go", time.Minute, true}, {"all goes at its age", 2 * time.Hour, false}} {
		c.advance(step.after)
		ok(t, l.trim(t.Context()))
		if l.Early() != step.early {
			t.Errorf("when %s, early is %v", step.what, l.Early())
		}
		whole(t, l)
		ok(t, l.Close())
		if l = open(t, s, small); l.Early() != step.early {
			t.Errorf("when %s, and the node starts again, early is %v", step.what, l.Early())
		}
	}
}

// A disk that is full refuses calls that change something, by name; reading the
// log goes on, and what could not be noted is made up for.
func TestFullDisk(t *testing.T) {
	fs := vfs.NewMem()
	full := func(is bool) {
		free := uint64(1 << 40)
		if is {
			free = 1 << 20
		}
		fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: free, TotalBytes: 1 << 40})
	}
	full(false)
	s := openStore(t, store.Options{FS: fs})
	l := open(t, s, Options{minute: time.Hour})
	first, err := l.Begin(t.Context(), do("a:First"))
	ok(t, err)
	full(true)
	until(t, "a call is refused", func() bool { // the disk is looked at once a second
		var e *Entry
		if e, err = l.Begin(t.Context(), do("a:More")); err == nil {
			err = e.End(t.Context(), Ending{Result: OK})
		}
		return err != nil
	})
	if !errors.Is(err, gust.ErrNoSpace) || !strings.Contains(err.Error(), "audit log") {
		t.Errorf("a call that changes something is refused with %v", err)
	}
	if err := first.End(t.Context(), Ending{Result: OK}); !errors.Is(err, gust.ErrNoSpace) || !strings.Contains(err.Error(), "was carried out") {
		t.Errorf("the end of a call that ran: %v", err)
	}
	l.Deny(t.Context(), do("a:Denied"), alice)
	for range callsAMinute + 1 {
		err = l.AddOrCount(t.Context(), &Record{Action: "a:Session", Result: OK}, "ann", "a:Session")
	}
	if err != nil {
		t.Errorf("what is only counted needs no disk: %v", err)
	}
	if err := l.Add(t.Context(), do("a:Read")); !errors.Is(err, gust.ErrNoSpace) {
		t.Errorf("a call that reads: %v", err)
	}
	if list := all(t, l, Filter{}); len(list) == 0 || list[0].Action != "a:First" || list[0].Result != Running {
		t.Errorf("reading gives\n%s", shorts(list))
	}
	if err := l.flush(t.Context()); !errors.Is(err, gust.ErrNoSpace) {
		t.Errorf("flush: %v", err)
	}
	full(false)
	until(t, "the disk has space again", func() bool { return l.flush(t.Context()) == nil })
	list := all(t, l, Filter{After: 1})
	seq := list[len(list)-3].Seq
	if got, want := shorts(list[len(list)-3:]), fmt.Sprintf("%d end a:First ok of 1\n%d count  denied x1\n%d count a:Session ok x1", seq, seq+1, seq+2); got != want {
		t.Errorf("when there is space again:\n%s\nwant\n%s", got, want)
	}
	whole(t, l)
}

// Calls that come while the disk syncs share the next sync.
func TestCallsShareSyncs(t *testing.T) {
	const callers = 100
	var armed atomic.Bool
	var syncs, inside atomic.Int64
	begun, all := make(chan struct{}), make(chan struct{})
	s := openStore(t, store.Options{FS: errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if armed.Load() && strings.HasSuffix(op.Path, ".log") && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
			if syncs.Add(1) == 1 {
				close(begun)
				<-all
			}
		}
		return nil
	}))})
	l := open(t, s, Options{minute: time.Hour})
	armed.Store(true)
	var wg sync.WaitGroup
	record := func(more func()) {
		err := l.update(context.Background(), func(c *chain) error {
			more()
			return c.append(do("a:B"))
		})
		if err != nil {
			t.Error(err)
		}
	}
	wg.Go(func() { record(func() {}) })
	<-begun
	for range callers {
		wg.Go(func() {
			record(func() {
				if inside.Add(1) == callers {
					close(all)
				}
			})
		})
	}
	wg.Wait()
	if n := syncs.Load(); n > 10 {
		t.Errorf("%d records took %d syncs", callers+1, n)
	}
	whole(t, l)
}

// Nothing is lost, doubled or out of order while the log is read, verified and
// trimmed.
func TestHammer(t *testing.T) {
	const workers, rounds = 32, 40
	s := openStore(t, store.Options{})
	l := open(t, s, Options{minute: time.Millisecond, MaxSize: 64 << 10})
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if sum, err := l.Verify(context.Background(), ""); err != nil || len(sum.Problems) > 0 {
					t.Errorf("%v %v", sum, err)
					return
				}
				last := uint64(0)
				for r, err := range l.Read(context.Background(), Filter{}) {
					if err != nil || r.Seq <= last {
						t.Errorf("%v after %d, %v", r, last, err)
						return
					}
					last = r.Seq
				}
			}
		})
	}
	for w := range workers {
		writers.Go(func() {
			for i := range rounds {
				r := do(fmt.Sprintf("w%d:%d", w, i))
				switch i % 4 {
				case 0, 1:
					e, err := l.Begin(context.Background(), r)
					if err == nil {
						err = e.End(context.Background(), Ending{Result: OK})
					}
					if err != nil {
						t.Error(err)
					}
				case 2:
					l.Deny(context.Background(), r, r.Principal)
				case 3:
					if err := l.Add(context.Background(), r); err != nil {
						t.Error(err)
					}
					l.Refuse(netip.AddrFrom4([4]byte{192, 0, 2, byte(w)}), "", "invalid credential")
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	ok(t, l.trim(t.Context()))
	ok(t, l.Close())
	sum := whole(t, open(t, s, Options{}))
	if sum.Trimmed == 0 {
		t.Error("nothing was trimmed")
	}
	if number := parse(t, sum.Head).seq; number < workers*rounds {
		t.Errorf("only %d records", number)
	}
}

func parse(t testing.TB, head string) link {
	t.Helper()
	k, err := parseLink(head)
	ok(t, err)
	return k
}

// Who follows is told of each call once, when it has ended, in order, until the
// log is closed.
func TestFollow(t *testing.T) {
	const workers, each = 4, 50
	l := open(t, openStore(t, store.Options{}), Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				e, err := l.Begin(ctx, do(fmt.Sprintf("w%d:%d", w, i)))
				if err == nil {
					err = e.End(ctx, Ending{Result: OK})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	seen, last := map[string]bool{}, uint64(0)
	for r, err := range l.Read(ctx, Filter{Follow: true}) {
		if err != nil {
			if !errors.Is(err, gust.ErrClosing) {
				t.Error(err)
			}
			break
		}
		if seen[r.Action] || r.Seq <= last || r.Kind != KindEnd {
			t.Fatalf("%s comes after %d", short(r), last)
		}
		seen[r.Action], last = true, r.Seq
		if len(seen) == workers*each {
			wg.Wait()
			ok(t, l.Close())
		}
	}
	if len(seen) != workers*each {
		t.Errorf("%d calls of %d are told", len(seen), workers*each)
	}
}

// TestAClockThatGoesBackHidesNothing: what was written since then is by each
// record's own time, wherever it stands.
func TestAClockThatGoesBackHidesNothing(t *testing.T) {
	begin := time.Now()
	now := begin
	s := openStore(t, store.Options{})
	l := open(t, s, Options{Now: func() time.Time { return now }})
	add := func(n int, at time.Duration) {
		now = begin.Add(at)
		for range n {
			ok(t, l.Add(t.Context(), &Record{Action: "a:Get", Result: OK}))
		}
	}
	since := func(at time.Duration, want int) {
		t.Helper()
		if got := len(all(t, l, Filter{Since: begin.Add(at)})); got != want {
			t.Errorf("since %v there are %d records, want %d", at, got, want)
		}
	}
	add(50, 0)
	add(60, -24*time.Hour)
	ok(t, l.Close())
	l = open(t, s, Options{Now: func() time.Time { return now }})
	add(15, time.Minute)
	since(0, 65)
	since(time.Second, 15)
	since(-24*time.Hour, 125)
	add(60, 24*time.Hour)
	add(40, time.Hour)
	since(12*time.Hour, 60)
	since(time.Hour, 100)
	since(48*time.Hour, 0)
	if first, err := l.first(begin.Add(time.Second)); err != nil || first != 111 {
		t.Errorf("the first that may be since then is %d, %v", first, err)
	}
	whole(t, l)
}

// TestCountsGoByOneClock: what is counted together began by the clock that dates
// the records.
func TestCountsGoByOneClock(t *testing.T) {
	wall := time.Now().Add(3 * time.Hour) // the store does not follow it
	l := open(t, openStore(t, store.Options{}), Options{Now: func() time.Time { return wall }})
	for range callsAMinute + 5 {
		ok(t, l.AddOrCount(t.Context(), &Record{Action: "a:Get", Principal: "p", Result: OK}, "p", "reads"))
	}
	l.Refuse(netip.MustParseAddr("10.0.0.1"), "", "x")
	list := l.tally.records()
	if len(list) != 2 {
		t.Fatalf("there are the counts\n%s", shorts(list))
	}
	for _, r := range list {
		if !r.Start.Equal(wall) {
			t.Errorf("%s began at %v, want %v", short(r), r.Start, wall)
		}
	}
}
