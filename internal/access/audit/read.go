package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sort"
	"strings"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/store"
)

// Filter says which records are wanted; what is empty does not restrict.
type Filter struct {
	// After gives the records behind the one with this number.
	After uint64
	// Since gives those that were written then or later, by their Time.
	Since time.Time
	// Principal and Action are whole, or patterns with * for any text and ? for
	// one character. Action does not care for case.
	Principal, Action string
	Result            Result
	// Follow goes on with what comes. Of a call that may change something it
	// tells when it has ended, unless Result is Running.
	Follow bool
}

func (f *Filter) matches(r *Record) bool {
	return (!f.Follow || r.Kind != KindBegin || f.Result == Running) &&
		!r.Time.Before(f.Since) &&
		(f.Principal == "" || glob(f.Principal, r.Principal)) &&
		(f.Action == "" || glob(strings.ToLower(f.Action), strings.ToLower(r.Action))) &&
		(f.Result == "" || f.Result == r.Result)
}

// readAtOnce is how many records are read within one view.
const readAtOnce = 256

// Read yields the records of the log, the oldest first. A call that may change
// something is one record, its end; while it runs, its beginning. An error is the
// last that comes; with Filter.Follow that is ctx's, or gust.ErrClosing.
func (l *Log) Read(ctx context.Context, f Filter) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		next := f.After + 1
		if !f.Since.IsZero() {
			first, err := l.first(f.Since)
			if err != nil {
				yield(nil, err)
				return
			}
			next = max(next, first)
		}
		for {
			if err := context.Cause(ctx); err != nil {
				yield(nil, err)
				return
			}
			var grown <-chan struct{}
			if f.Follow { // asked for first: nothing comes unseen
				grown = l.awaited()
			}
			list, last, err := l.page(next)
			for _, r := range list {
				if f.matches(r) && !yield(r, nil) {
					return
				}
			}
			if err != nil {
				yield(nil, fmt.Errorf("read the audit log: %w", err))
				return
			}
			if last >= next {
				next = last + 1
				continue
			}
			if !f.Follow {
				return
			}
			select {
			case <-grown:
			case <-ctx.Done(): // which is looked at above
			case <-l.closing:
				yield(nil, gust.ErrClosing)
				return
			}
		}
	}
}

// awaited is closed when there is another record.
func (l *Log) awaited() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.grown == nil {
		l.grown = make(chan struct{})
	}
	return l.grown
}

// tell wakes who waits for another record.
func (l *Log) tell() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.grown != nil {
		close(l.grown)
		l.grown = nil
	}
}

// Last is the number of the newest record, or 0.
func (l *Log) Last() (seq uint64, err error) {
	err = l.store.View(partition, func(v *store.Snapshot) error {
		h, err := readHead(v)
		seq = h.seq
		return err
	})
	return seq, err
}

// page reads some records from a number on. last is below it at the end.
func (l *Log) page(from uint64) (list []*Record, last uint64, err error) {
	err = l.store.View(partition, func(v *store.Snapshot) error {
		n := 0
		for key, value := range v.ScanFrom(recordPrefix, recordKey(from)) {
			seq, _ := seqOf(recordPrefix, key)
			r, err := decode(seq, value)
			if err != nil {
				return err
			}
			last = seq
			if r.Kind == KindBegin {
				switch _, err := v.Get(openKey(seq)); {
				case errors.Is(err, gust.ErrNotFound): // its end tells
					r = nil
				case err != nil:
					return err
				}
			}
			if r != nil {
				list = append(list, r)
			}
			if n++; n == readAtOnce {
				break
			}
		}
		return v.Err()
	})
	return list, last, err
}

// first finds the number of the first record that was not written before t. Times
// go up with the numbers but for a clock that was set back; Record.newest does in any case.
func (l *Log) first(t time.Time) (seq uint64, err error) {
	err = l.store.View(partition, func(v *store.Snapshot) error {
		h, err := readHead(v)
		if err != nil {
			return err
		}
		anchor, _, err := readLink(v, anchorKey, 0)
		if err != nil || h.seq < anchor.seq {
			return err
		}
		var failed error
		seq = anchor.seq + 1 + uint64(sort.Search(int(h.seq-anchor.seq), func(i int) bool {
			r, err := read(v, anchor.seq+1+uint64(i))
			if err != nil {
				failed = err
			}
			return err != nil || !r.newest().Before(t)
		}))
		if failed != nil {
			return fmt.Errorf("look for the first record of the audit log since %s: %w", t.Format(time.RFC3339), failed)
		}
		return nil
	})
	return seq, err
}

// glob matches * to any text and ? to one character.
func glob(pattern, s string) bool {
	star, retry := -1, 0 // of the last *, and where it was tried to end
	i := 0
	for j := 0; j < len(s); {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, retry = i, j
			i++
		case i < len(pattern) && (pattern[i] == '?' || pattern[i] == s[j]):
			i++
			j++
		case star >= 0:
			retry++
			i, j = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[i:], "*") == ""
}
