package audit

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"

	gust "github.com/gust-dev/gust"
)

const (
	// denialsAMinute is how many denials of one principal are a record each,
	// within one minute, and callsAMinute how many calls of one sort that change
	// nothing: at some 650 bytes each, 20 MB a day of somebody who may nothing but
	// make sessions of their own key.
	denialsAMinute = 20
	callsAMinute   = 20
	// maxPrincipals and maxSources bound who is told apart within one minute; the
	// others are counted together. Sources cost nothing to make up: these many,
	// minute after minute, fill a GB in 90 days.
	maxPrincipals = 100
	maxSources    = 32
	maxReasons    = 20 // of one source
	// maxCallers bounds whose calls are told apart. They cannot be made up, and
	// whoever is the first in a minute has a record.
	maxCallers = 10_000
)

// tally counts what is denied and refused, and what changes nothing, within a
// minute.
type tally struct {
	since      time.Time
	principals map[string]*burst
	calls      map[caller]*calls
	sources    map[origin]map[string]uint64 // how often, by reason
}

// caller is whose calls of one sort share what are records.
type caller struct{ who, sort string }

// calls are somebody's of one sort: n are a record each, over are counted.
type calls struct {
	n    uint64
	over map[outcome]uint64
}

// outcome is what came of an action.
type outcome struct {
	action string
	result Result
}

// origin is where calls came from that had no credential.
type origin struct{ source, environment string }

// burst is one principal's denials: n are a record each, over are counted.
type burst struct{ n, over uint64 }

func newTally() *tally {
	return &tally{principals: make(map[string]*burst), calls: make(map[caller]*calls), sources: make(map[origin]map[string]uint64)}
}

func (t *tally) begin(now time.Time) {
	if t.since.IsZero() || now.Before(t.since) {
		t.since = now
	}
}

// principal counts a denial and reports whether it is to be a record.
func (t *tally) principal(who string, now time.Time) bool {
	t.begin(now)
	b := bounded(t.principals, who, maxPrincipals, func() *burst { return new(burst) })
	if b == t.principals[""] || b.n >= denialsAMinute {
		b.over++
		return false
	}
	b.n++
	return true
}

// over counts denials that are no records.
func (t *tally) over(who string, now time.Time, n uint64) {
	t.begin(now)
	bounded(t.principals, who, maxPrincipals, func() *burst { return new(burst) }).over += n
}

// call counts a call that changes nothing and reports whether it is to be a record.
func (t *tally) call(of caller, o outcome, now time.Time) bool {
	t.begin(now)
	c := t.caller(of)
	if c == t.calls[caller{}] || c.n >= callsAMinute {
		c.over[o]++
		return false
	}
	c.n++
	return true
}

func (t *tally) caller(of caller) *calls {
	return bounded(t.calls, of, maxCallers, func() *calls { return &calls{over: make(map[outcome]uint64)} })
}

func (t *tally) source(from origin, reason string, now time.Time, n uint64) {
	t.begin(now)
	reasons := bounded(t.sources, from, maxSources, func() map[string]uint64 { return make(map[string]uint64) })
	if _, ok := reasons[reason]; !ok && len(reasons) >= maxReasons {
		reason = others
	}
	reasons[reason] += n
}

const others = "others"

// bounded is the entry of a key, or when there are enough the one that all other
// keys share, under the zero key.
func bounded[K comparable, V any](m map[K]V, key K, most int, make func() V) V {
	v, ok := m[key]
	if !ok && len(m) >= most {
		key = *new(K)
		v, ok = m[key]
	}
	if !ok {
		v = make()
		m[key] = v
	}
	return v
}

// add takes over what u counted after t.
func (t *tally) add(u *tally) {
	for who, b := range u.principals {
		t.over(who, u.since, b.over)
	}
	for of, c := range u.calls {
		t.begin(u.since)
		for o, n := range c.over {
			t.caller(of).over[o] += n
		}
	}
	for from, reasons := range u.sources {
		for reason, n := range reasons {
			t.source(from, reason, u.since, n)
		}
	}
}

// records are the counts, in order.
func (t *tally) records() []*Record {
	var list []*Record
	for _, who := range slices.Sorted(maps.Keys(t.principals)) {
		if n := t.principals[who].over; n > 0 {
			list = append(list, &Record{
				Kind: KindCount, Start: t.since.UTC(), Principal: gust.Clip(cmp.Or(who, others), maxName), Result: Denied, Count: n,
				Reason: "only counted: each principal's first " + strconv.Itoa(denialsAMinute) + " denials in a minute are a record each",
			})
		}
	}
	list = append(list, t.callRecords()...)
	byName := func(a, b origin) int {
		return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.environment, b.environment))
	}
	for _, from := range slices.SortedFunc(maps.Keys(t.sources), byName) {
		r := &Record{Kind: KindCount, Start: t.since.UTC(), Source: from.source, Environment: from.environment, Result: Refused, Parameters: make(map[string]string)}
		if from == (origin{}) {
			r.Source = others
		}
		for reason, n := range t.sources[from] {
			r.Count += n
			r.Parameters[gust.Clip(reason, maxText)] = strconv.FormatUint(n, 10)
		}
		list = append(list, r)
	}
	return list
}

// callRecords are the counts of calls, a record for each caller, sort and result.
func (t *tally) callRecords() []*Record {
	var list []*Record
	byName := func(a, b caller) int { return cmp.Or(cmp.Compare(a.who, b.who), cmp.Compare(a.sort, b.sort)) }
	for _, of := range slices.SortedFunc(maps.Keys(t.calls), byName) {
		over := t.calls[of].over
		for _, result := range results {
			r := &Record{
				Kind: KindCount, Start: t.since.UTC(), Principal: gust.Clip(cmp.Or(of.who, others), maxName), Result: result, Parameters: make(map[string]string),
				Reason: "only counted: each principal's first " + strconv.Itoa(callsAMinute) + " in a minute are a record each, of calls that read and of each way to make sessions",
			}
			for o, n := range over {
				if o.result == result {
					r.Count += n
					r.Action = o.action
					r.Parameters[gust.Clip(o.action, maxText)] = strconv.FormatUint(n, 10)
				}
			}
			if len(r.Parameters) > 1 {
				r.Action = "" // there are several
			}
			if r.Count > 0 {
				list = append(list, r)
			}
		}
	}
	return list
}

// network is what a source without a credential is counted by: the address, or
// of IPv6 the 64 bits that one household has.
func network(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	switch {
	case !a.IsValid():
		return "unknown"
	case a.Is6() && !a.IsLoopback():
		p, err := a.Prefix(64)
		if err == nil {
			return p.String()
		}
	}
	return a.String()
}
