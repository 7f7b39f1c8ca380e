package scale

import (
	"errors"
	"fmt"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

func scheduled(base int, entries ...gust.Scheduled) func(*gust.Function) {
	return func(f *gust.Function) {
		f.Concurrency.Provisioned, f.Concurrency.Schedule = base, entries
	}
}

func TestFigure(t *testing.T) {
	office := []gust.Scheduled{
		{Cron: "0 8 * * MON-FRI", Timezone: "Europe/Berlin", Provisioned: 20},
		{Cron: "0 20 * * *", Timezone: "Europe/Berlin", Provisioned: 2},
	}
	hours := []gust.Scheduled{{Cron: "0 8 * * MON-FRI", For: 12 * time.Hour, Provisioned: 20}, {Cron: "0 12 * * *", For: time.Hour, Provisioned: 40}}
	same := []gust.Scheduled{{Cron: "0 8 * * *", Provisioned: 1}, {Cron: "0 8 * * *", Provisioned: 2}}
	for _, c := range []struct {
		schedule   []gust.Scheduled
		now        string
		want       int
		until      string
		whatItSays string
	}{
		{nil, "2026-11-27T07:00:00Z", 5, "0001-01-01T00:00:00Z", "without a schedule, for ever"},
		{office, "2026-11-27T07:00:00Z", 20, "2026-11-27T19:00:00Z", "from eight in Berlin, the second included"},
		{office, "2026-11-27T06:59:59Z", 2, "2026-11-27T07:00:00Z", "before, it is last evening's"},
		{office, "2026-11-28T12:00:00Z", 2, "2026-11-28T19:00:00Z", "on Saturday it is Friday evening's"},
		{office, "2026-07-03T06:00:00Z", 20, "2026-07-03T18:00:00Z", "in summer an hour earlier"},
		{hours, "2026-11-27T08:00:00Z", 20, "2026-11-27T12:00:00Z", "for so long"},
		{hours, "2026-11-27T12:30:00Z", 40, "2026-11-27T13:00:00Z", "what came last"},
		{hours, "2026-11-27T13:00:00Z", 20, "2026-11-27T20:00:00Z", "what still counts"},
		{hours, "2026-11-27T20:00:00Z", 5, "2026-11-28T12:00:00Z", "none counts"},
		{same, "2026-11-27T20:00:00Z", 2, "2026-11-28T08:00:00Z", "the last in the list"},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		n, until := figure(5, New(Limits{}).entries(c.schedule), now)
		if n != c.want || until.UTC().Format(time.RFC3339) != c.until {
			t.Errorf("%s: at %s %d until %s, want %d until %s", c.whatItSays, c.now, n, until.UTC().Format(time.RFC3339), c.want, c.until)
		}
	}
}

// A schedule is carried out from the moment of a deploy, by what came before it,
// and the scaler asks to be called when it changes.
func TestScheduleChangesWhatIsProvisioned(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f", scheduled(1,
		gust.Scheduled{Cron: "0 2 * * *", Provisioned: 3}, gust.Scheduled{Cron: "0 22 * * *", Provisioned: 2})))
	if n := w.ready(); n != 2 { // last evening's
		t.Fatalf("%d at midnight", n)
	}
	w.tick(time.Second)
	next, actions := w.s.Tick(w.now)
	w.do(actions)
	if want := w.now.Add(time.Hour); !next.Equal(want) {
		t.Fatalf("called again in %v", next.Sub(w.now))
	}
	w.tick(2*time.Hour - 2*time.Second)
	next, actions = w.s.Tick(w.now)
	w.do(actions)
	if want := t0.Add(2 * time.Hour); len(w.starting) != 0 || !next.Equal(want) {
		t.Fatalf("it sleeps until %v, want %v", next, want)
	}
	w.tick(time.Second)
	if n := w.ready(); n != 1 {
		t.Fatalf("%d more at two", n)
	}
	w.tick(19 * time.Hour)
	if len(w.stopped) != 0 {
		t.Fatal("provisioned ones were reclaimed")
	}
	w.tick(time.Hour)
	if len(w.stopped) != 1 {
		t.Fatalf("%d stopped at ten in the evening", len(w.stopped))
	}
	// What becomes too many while it is in use goes when it has been unused.
	w.tick(4 * time.Hour)
	w.ready()
	a, b, c := w.arrive("f"), w.arrive("f"), w.arrive("f")
	w.tick(20 * time.Hour)
	w.finish(a)
	w.finish(b)
	w.finish(c)
	w.tick(9 * time.Minute)
	if len(w.stopped) != 1 {
		t.Fatal("sooner than idle")
	}
	w.tick(time.Minute)
	if len(w.stopped) != 2 {
		t.Fatalf("%d stopped", len(w.stopped))
	}
	w.declare(fn("f", version(2), scheduled(0)))
	if len(w.stopped) != 4 || len(w.starting) != 0 || len(w.s.alarms) != 0 {
		t.Fatal("the schedule is gone, and its environments are not")
	}
}

func TestScheduleCountsItsMostAsSetAside(t *testing.T) {
	w := newWorld(t, Limits{Concurrency: 10}, fn("f", scheduled(1, gust.Scheduled{Cron: "0 2 * * *", For: time.Hour, Provisioned: 8})), fn("g"))
	w.arrive("g")
	w.arrive("g")
	if c := w.arrive("g"); w.reason(c) != gust.ThrottleNode {
		t.Fatal("what is scheduled for later is given away:", w.refused[c])
	}
}

// A start that fails is tried again by time, whatever the schedule says.
func TestScheduledStartsBackOff(t *testing.T) {
	w := newWorld(t, Limits{}, fn("f", scheduled(0, gust.Scheduled{Cron: "* * * * *", Provisioned: 1})))
	w.fail(errors.New("one"))
	w.fail(errors.New("two"))
	next, _ := w.s.Tick(w.now)
	if want := w.now.Add(backoff(2)); len(w.starting) != 0 || !next.Equal(want) {
		t.Fatalf("%d starting, next in %v", len(w.starting), next.Sub(w.now))
	}
}

// BenchmarkTickScheduled: what is due later costs a tick nothing, however much
// of it there is.
func BenchmarkTickScheduled(b *testing.B) {
	for _, n := range []int{10, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var fns []*gust.Function
			for i := range n {
				fns = append(fns, fn(fmt.Sprint("f", i), scheduled(0, gust.Scheduled{Cron: "0 12 * * *", For: time.Hour, Provisioned: 1})))
			}
			w := newWorld(b, Limits{}, fns...)
			w.tick(0)
			if len(w.s.alarms) != n {
				b.Fatal(len(w.s.alarms))
			}
			for b.Loop() {
				w.s.Tick(w.now)
			}
		})
	}
}
