package identity

import (
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/store"
)

// The values of RFC 6238, appendix B, for SHA-1; AWS's devices show the last six
// of its eight digits.
func TestCodesAreThoseOfRFC6238(t *testing.T) {
	s := seed("12345678901234567890")
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"} {
		if got := s.code(stepOf(time.Unix(at, 0))); got != want {
			t.Errorf("at %d the code is %s, want %s", at, got, want)
		}
	}
}

// phone is an app with a device's seed, and a clock of its own.
type phone struct {
	seed   seed
	serial string
	clock  *clock
	off    time.Duration
}

// code is what it shows, or showed so many steps ago.
func (p *phone) code(ago int) string {
	return p.seed.code(stepOf(p.clock.now.Add(p.off)) - int64(ago))
}

func newPhone(t testing.TB, d *Directory, at *clock, name string) *phone {
	t.Helper()
	m, text, err := d.CreateMFADevice(t.Context(), name, "", nil)
	must(t, err)
	s, err := base32.StdEncoding.DecodeString(text)
	must(t, err)
	if len(s) != 40 {
		t.Errorf("the seed has %d bytes", len(s))
	}
	return &phone{s, m.Serial, at, 0}
}

// enable makes the phone a user's, and lets a step go by.
func (p *phone) enable(t testing.TB, d *Directory, user string) {
	t.Helper()
	must(t, d.EnableMFADevice(t.Context(), user, p.serial, p.code(1), p.code(0)))
	p.clock.now = p.clock.now.Add(codeStep)
}

func faulty(t testing.TB, what string, err error, want FactorFault) {
	t.Helper()
	if e := (*FactorError)(nil); !errors.As(err, &e) || e.Fault != want {
		t.Errorf("%s: %v, want that it %s", what, err, want)
	}
}

func TestACodeIsGoodOnceAndForAMoment(t *testing.T) {
	at := newClock()
	d, s := open(t, at.options())
	c, _ := user(t, d, "alice", "")
	other, _ := user(t, d, "bob", "")
	p := newPhone(t, d, at, "phone")
	_, err := d.ShowFactor(t.Context(), c, p.serial, p.code(0))
	faulty(t, "a device of nobody", err, FactorUnknown)
	first, second := p.code(1), p.code(0)
	faulty(t, "codes in the wrong order", d.EnableMFADevice(t.Context(), "alice", p.serial, second, first), FactorWrong)
	p.enable(t, d, "alice")
	show := func(code string) error {
		t.Helper()
		_, err := d.ShowFactor(t.Context(), c, p.serial, code)
		return err
	}
	faulty(t, "the code that enabled it", show(second), FactorWrong)
	if err := show(p.code(0)); err != nil {
		t.Error(err)
	}
	faulty(t, "the same again", show(p.code(0)), FactorWrong)
	must(t, d.Close())
	d = openOn(t, s, at.options())
	faulty(t, "the same after a restart", show(p.code(0)), FactorWrong)
	must(t, show(p.code(-1))) // a step ahead
	faulty(t, "one that is older", show(p.code(0)), FactorWrong)
	at.now = at.now.Add(3 * codeStep)
	must(t, show(p.code(1))) // a step behind
	at.now = at.now.Add(4 * codeStep)
	faulty(t, "two steps behind", show(p.code(2)), FactorWrong)
	faulty(t, "not a code", show("12345x"), FactorWrong)
	_, err = d.ShowFactor(t.Context(), other, p.serial, p.code(0))
	faulty(t, "somebody else", err, FactorUnknown)
	_, err = d.ShowFactor(t.Context(), &access.Caller{Credential: d.root}, p.serial, p.code(0))
	faulty(t, "root", err, FactorUnknown)
	shown, err := d.ShowFactor(t.Context(), c, p.serial, p.code(0))
	must(t, err)
	if !shown.Principal.Factor.Equal(at.now) || !c.Principal.Factor.IsZero() {
		t.Error("who shows a code is not another caller")
	}
}

func TestOneOfManyWhoShowACodeGetsIn(t *testing.T) {
	at := newClock()
	d, _ := open(t, at.options())
	c, _ := user(t, d, "alice", "")
	p := newPhone(t, d, at, "phone")
	p.enable(t, d, "alice")
	var wg sync.WaitGroup
	in := make(chan bool, 4)
	for range cap(in) {
		wg.Go(func() {
			_, err := d.ShowFactor(t.Context(), c, p.serial, p.code(0))
			in <- err == nil
		})
	}
	wg.Wait()
	n := 0
	for range cap(in) {
		if <-in {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d got in", n)
	}
}

func TestWhoGuessesHasToWait(t *testing.T) {
	at := newClock()
	d, _ := open(t, at.options())
	c, _ := user(t, d, "alice", "")
	p := newPhone(t, d, at, "phone")
	p.enable(t, d, "alice")
	show := func(code string) error {
		_, err := d.ShowFactor(t.Context(), c, p.serial, code)
		return err
	}
	for range wrongAtOnce {
		faulty(t, "a guess", show("x"), FactorWrong)
	}
	faulty(t, "one more", show("x"), FactorGuessed)
	faulty(t, "the right one", show(p.code(0)), FactorGuessed)
	faulty(t, "another operation", d.ResyncMFADevice(t.Context(), "alice", p.serial, p.code(1), p.code(0)), FactorGuessed)
	if want := fmt.Sprintf("sent %d wrong", wrongAtOnce); !strings.Contains(show("x").Error(), want) {
		t.Errorf("it says %v", show("x"))
	}
	at.now = at.now.Add(wrongEvery)
	faulty(t, "one in a minute", show("x"), FactorWrong)
	faulty(t, "and no more", show("x"), FactorGuessed)
	at.now = at.now.Add(wrongEvery)
	must(t, show(p.code(0)))
}

func TestAClockThatIsOffIsLearnt(t *testing.T) {
	for _, off := range []time.Duration{-4 * time.Minute, -codeStep, 0, codeStep, 4 * time.Minute} {
		at := newClock()
		d, s := open(t, at.options())
		c, _ := user(t, d, "alice", "")
		p := newPhone(t, d, at, "phone")
		p.enable(t, d, "alice")
		p.off = off
		at.now = at.now.Add(20 * codeStep)
		if off.Abs() > codeStep {
			_, err := d.ShowFactor(t.Context(), c, p.serial, p.code(0))
			faulty(t, "a clock that is off", err, FactorWrong)
		}
		must(t, d.ResyncMFADevice(t.Context(), "alice", p.serial, p.code(1), p.code(0)))
		faulty(t, "the same codes", d.ResyncMFADevice(t.Context(), "alice", p.serial, p.code(1), p.code(0)), FactorWrong)
		must(t, d.Close())
		d = openOn(t, s, at.options())
		for range 3 {
			at.now = at.now.Add(codeStep)
			if _, err := d.ShowFactor(t.Context(), c, p.serial, p.code(0)); err != nil {
				t.Errorf("off by %v: %v", off, err)
			}
		}
	}
	// Who types slowly has a clock that is right.
	at := newClock()
	d, _ := open(t, at.options())
	c, _ := user(t, d, "alice", "")
	p := newPhone(t, d, at, "phone")
	must(t, d.EnableMFADevice(t.Context(), "alice", p.serial, p.code(3), p.code(2)))
	if _, err := d.ShowFactor(t.Context(), c, p.serial, p.code(0)); err != nil {
		t.Error(err)
	}
	q := newPhone(t, d, at, "far")
	q.off = 6 * time.Minute
	faulty(t, "far off", d.EnableMFADevice(t.Context(), "alice", q.serial, q.code(1), q.code(0)), FactorWrong)
}

func TestDevicesAreAUsersOrNobodys(t *testing.T) {
	at := newClock()
	d, _ := open(t, at.options())
	user(t, d, "alice", "")
	_, key := user(t, d, "bob", "")
	p := newPhone(t, d, at, "Phone")
	if want := account + "mfa/Phone"; p.serial != want {
		t.Errorf("its serial number is %s", p.serial)
	}
	if _, _, err := d.CreateMFADevice(t.Context(), "pHONE", "/x/", nil); !errors.As(err, new(*ExistsError)) {
		t.Errorf("another of the name: %v", err)
	}
	for _, bad := range []string{"", "a/b", "*", strings.Repeat("x", 227)} {
		if _, _, err := d.CreateMFADevice(t.Context(), bad, "", nil); !errors.As(err, new(*InvalidError)) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	long, _, err := d.CreateMFADevice(t.Context(), strings.Repeat("x", 223), "/y/z/", nil)
	if err == nil || long != nil {
		t.Error("a serial number of 257 characters")
	}
	p.enable(t, d, "alice")
	if err := d.EnableMFADevice(t.Context(), "bob", p.serial, p.code(1), p.code(0)); !errors.As(err, new(*ExistsError)) {
		t.Errorf("a device of two: %v", err)
	}
	if err := d.DeactivateMFADevice(t.Context(), "bob", p.serial); !errors.As(err, new(*NotFoundError)) {
		t.Errorf("a device of another: %v", err)
	}
	inUse := func(what string, err error) {
		t.Helper()
		if !errors.As(err, new(*InUseError)) {
			t.Errorf("%s: %v", what, err)
		}
	}
	inUse("a device in use", d.DeleteMFADevice(t.Context(), p.serial))
	must(t, d.DeleteKey(t.Context(), "bob", key.ID))
	at.now = at.now.Add(5 * codeStep)
	for i := range MaxDevicesPerUser {
		newPhone(t, d, at, fmt.Sprint("p", i)).enable(t, d, "bob")
	}
	q := newPhone(t, d, at, "last")
	if err := d.EnableMFADevice(t.Context(), "bob", q.serial, q.code(1), q.code(0)); !errors.As(err, new(*LimitError)) {
		t.Errorf("one too many: %v", err)
	}
	inUse("a user with devices", d.Delete(t.Context(), User("bob")))
	must(t, d.Rename(t.Context(), User("bob"), "robert", ""))
	list, err := d.MFADevicesOf("robert")
	must(t, err)
	for _, m := range list {
		must(t, d.DeactivateMFADevice(t.Context(), "robert", m.Serial))
		must(t, d.DeleteMFADevice(t.Context(), m.Serial))
	}
	must(t, d.Delete(t.Context(), User("robert")))
	all, users := d.MFADevices()
	if len(all) != 2 || all[0].Name != "Phone" || users[0].Name != "alice" || users[1] != nil {
		t.Errorf("left are %v of %v", all, users)
	}
	must(t, d.Tag(t.Context(), Device(p.serial), map[string]string{"Team": "blue"}))
	must(t, d.Untag(t.Context(), Device(p.serial), []string{"none"}))
	if m, err := d.MFADevice(p.serial); err != nil || m.Tags["Team"] != "blue" {
		t.Errorf("it is %+v, %v", m, err)
	}
	if _, err := d.MFADevice(strings.ToLower(p.serial)); !errors.Is(err, gust.ErrNotFound) {
		t.Errorf("a serial number in another case: %v", err)
	}
}

func TestASecondFactorIsInTheSession(t *testing.T) {
	at := newClock()
	d, _ := open(t, at.options())
	c, key := user(t, d, "alice", statement("Allow", "", "s3:*,iam:*", "*", `{"Bool":{"aws:MultiFactorAuthPresent":"true"}}`))
	must(t, d.PutInline(t.Context(), User("alice"), "fresh", statement("Allow", "", "sqs:*", "*", `{"NumericLessThan":{"aws:MultiFactorAuthAge":"300"}}`)))
	must(t, d.PutInline(t.Context(), User("alice"), "not", statement("Deny", "", "s3:DeleteBucket", "*", `{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}`)))
	must(t, d.PutInline(t.Context(), User("alice"), "any", allow("s3:DeleteBucket,sns:Publish", "*")))
	must(t, d.PutInline(t.Context(), User("alice"), "temporary", statement("Deny", "", "sns:*", "*", `{"Bool":{"aws:MultiFactorAuthPresent":"false"}}`)))
	p := newPhone(t, d, at, "phone")
	p.enable(t, d, "alice")
	strict := role(t, d, "strict", statement("Allow", `{"AWS":"`+alice+`"}`, "sts:AssumeRole", "", `{"Bool":{"aws:MultiFactorAuthPresent":"true"}}`),
		statement("Allow", "", "s3:*", "*", `{"Bool":{"aws:MultiFactorAuthPresent":"true"}}`))
	next := role(t, d, "next", trust(strict.ARN, ""), statement("Allow", "", "s3:*", "*", `{"Bool":{"aws:MultiFactorAuthPresent":"true"}}`))
	must(t, d.PutInline(t.Context(), Role("strict"), "on", allow("sts:AssumeRole", next.ARN)))

	plain, err := d.SessionToken(c, 0)
	must(t, err)
	shown, err := d.ShowFactor(t.Context(), c, p.serial, p.code(0))
	must(t, err)
	with, err := d.SessionToken(shown, 0)
	must(t, err)
	ask := AssumeRole{RoleARN: strict.ARN, SessionName: "run"}
	_, err = d.AssumeRole(c, ask)
	denied(t, "a role that asks for a second factor", err)
	_, err = d.AssumeRole(caller(t, d, plain.KeyID, plain.Token), ask)
	denied(t, "a session without", err)
	byCode, err := d.AssumeRole(shown, ask)
	must(t, err)
	bySession, err := d.AssumeRole(caller(t, d, with.KeyID, with.Token), ask)
	must(t, err)
	chained, err := d.AssumeRole(caller(t, d, bySession.KeyID, bySession.Token), AssumeRole{RoleARN: next.ARN, SessionName: "run"})
	must(t, err)

	for _, test := range []struct {
		who, token, action string
		want               bool
	}{
		{key.ID, "", "s3:GetObject", false}, {plain.KeyID, plain.Token, "s3:GetObject", false}, {with.KeyID, with.Token, "s3:GetObject", true},
		{byCode.KeyID, byCode.Token, "s3:GetObject", true}, {bySession.KeyID, bySession.Token, "s3:GetObject", true},
		{chained.KeyID, chained.Token, "s3:GetObject", false}, // it does not go from role to role
		{key.ID, "", "s3:DeleteBucket", false}, {plain.KeyID, plain.Token, "s3:DeleteBucket", false}, {with.KeyID, with.Token, "s3:DeleteBucket", true},
		{key.ID, "", "sns:Publish", true}, {plain.KeyID, plain.Token, "sns:Publish", false}, {with.KeyID, with.Token, "sns:Publish", true},
		{plain.KeyID, plain.Token, "iam:CreateUser", false}, {with.KeyID, with.Token, "iam:CreateUser", true},
		{with.KeyID, with.Token, "sts:GetSessionToken", false}, {key.ID, "", "sqs:SendMessage", false}, {with.KeyID, with.Token, "sqs:SendMessage", true},
	} {
		if got := may(t, d, test.who, test.token, test.action, "arn:aws:s3:::x"); got != test.want {
			t.Errorf("%s of %s: %v", test.action, caller(t, d, test.who, test.token).Principal.ARN, got)
		}
	}
	at.now = at.now.Add(5 * time.Minute)
	if may(t, d, with.KeyID, with.Token, "sqs:SendMessage", "*") {
		t.Error("a second factor does not grow old")
	}
	if byCode.Expires.Sub(byCode.Issued) != time.Hour || !may(t, d, with.KeyID, with.Token, "s3:GetObject", "*") {
		t.Error("a session is not what it was")
	}
}

func TestSeedsAreSealed(t *testing.T) {
	at := newClock()
	d, s := open(t, at.options())
	c, _ := user(t, d, "alice", "")
	p := newPhone(t, d, at, "phone")
	p.enable(t, d, "alice")
	must(t, s.View(partition, func(v *store.Snapshot) error {
		for k, value := range v.Scan(nil) {
			if strings.Contains(string(value), p.seed.String()) || strings.Contains(string(value), string(p.seed)) {
				t.Errorf("the record %s holds the seed", k)
			}
		}
		return nil
	}))
	must(t, d.Close())
	var log strings.Builder
	o := at.options()
	o.Seal[0]++
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	d = openOn(t, s, o)
	if !strings.Contains(log.String(), p.serial) || !strings.Contains(log.String(), "seal key") {
		t.Errorf("the log says %s", log.String())
	}
	_, err := d.ShowFactor(t.Context(), c, p.serial, p.code(0))
	faulty(t, "another seal key", err, FactorUnknown)
	faulty(t, "another seal key", d.ResyncMFADevice(t.Context(), "alice", p.serial, p.code(1), p.code(0)), FactorUnknown)
	must(t, d.DeactivateMFADevice(t.Context(), "alice", p.serial)) // what the log advises
	must(t, d.DeleteMFADevice(t.Context(), p.serial))
}

// FuzzCode: whatever is given as a code, only what the device shows is taken.
func FuzzCode(f *testing.F) {
	s, at := seed("12345678901234567890"), stepOf(time.Unix(1111111111, 0))
	for _, code := range []string{s.code(at), "", "000000", "05047", "0504711", "０５０４７１", "+50471", " 50471", "050471\n", strings.Repeat("0", 1000)} {
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, code string) {
		_, found := s.find(code, at)
		if want := code == s.code(at-1) || code == s.code(at) || code == s.code(at+1); found != want {
			t.Errorf("%q is taken: %v", code, found)
		}
	})
}
