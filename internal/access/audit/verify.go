package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/store"
)

// Summary is what Verify found.
type Summary struct {
	// Records is how many there are; First and Last are when the oldest and
	// the newest of them were written.
	Records uint64    `json:"records"`
	First   time.Time `json:"first,omitzero"`
	Last    time.Time `json:"last,omitzero"`
	// Trimmed is the newest record that was removed for its age, or for the
	// size of all; 0 if none was.
	Trimmed uint64 `json:"trimmed"`
	// Head is the newest record's number and hash. Who keeps it elsewhere can
	// tell later, by Verify, that everything up to it is as it was.
	Head string `json:"head"`
	// Problems are what is wrong; none means that the log is whole.
	Problems []Problem `json:"problems"`
}

// Problem is one thing that is wrong.
type Problem struct {
	// Record is its number.
	Record uint64 `json:"record"`
	Text   string `json:"text"`
}

// maxProblems bounds what one Verify tells.
const maxProblems = 100

// Verify walks the whole chain and finds every record that was changed, removed,
// put in or moved since it was written. kept, unless it is empty, is a head that
// was noted earlier: without one a log that was written anew from some record
// on, hashes and all, cannot be told from the true one.
func (l *Log) Verify(ctx context.Context, kept string) (*Summary, error) {
	v := &verifier{Summary: Summary{Problems: []Problem{}}, open: make(map[uint64]bool)}
	if kept != "" {
		k, err := parseLink(kept)
		if err != nil {
			return nil, err
		}
		v.kept = &k
	}
	err := l.store.View(partition, func(s *store.Snapshot) error { return v.walk(ctx, s) })
	if err != nil {
		return nil, fmt.Errorf("verify the audit log: %w", err)
	}
	return &v.Summary, nil
}

type verifier struct {
	Summary
	kept    *link
	at      link            // the last record that was walked over
	size    int64           // of those that were
	open    map[uint64]bool // calls that began and did not end
	through string          // what the last trim removed
}

func (v *verifier) wrong(seq uint64, format string, args ...any) {
	if len(v.Problems) < maxProblems {
		v.Problems = append(v.Problems, Problem{seq, fmt.Sprintf(format, args...)})
	}
}

func (v *verifier) walk(ctx context.Context, s *store.Snapshot) error {
	h, err := readHead(s)
	if err != nil {
		return err
	}
	anchor, _, err := readLink(s, anchorKey, 0)
	if err != nil {
		return err
	}
	v.at, v.Trimmed = anchor, anchor.seq
	for key, value := range s.Scan(recordPrefix) {
		if v.Records%readAtOnce == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		v.Records++
		v.size += int64(len(key) + len(value))
		v.record(key, value)
	}
	if err := s.Err(); err != nil {
		return err
	}
	for _, seq := range slices.Sorted(maps.Keys(v.open)) {
		switch _, err := s.Get(openKey(seq)); {
		case errors.Is(err, gust.ErrNotFound):
			v.wrong(seq, "the call began, and its end is missing: a record was removed, or the mark that it runs")
		case err != nil:
			return err
		}
	}
	v.ends(h, anchor)
	return s.Err()
}

// record looks at the next record.
func (v *verifier) record(key, value []byte) {
	seq, ok := seqOf(recordPrefix, key)
	if !ok {
		v.wrong(v.at.seq+1, "the key %q is not that of a record: it was put in", key)
		return
	}
	switch want := v.at.seq + 1; {
	case seq < want:
		v.wrong(seq, "it stands before the oldest record that is kept, %d: it was put in", want)
		return
	case seq == want+1:
		v.wrong(want, "it is missing: it was removed")
	case seq > want:
		v.wrong(want, "it is missing, with all up to %d: they were removed", seq-1)
	}
	gap := seq != v.at.seq+1
	s, ok := parseStored(value)
	var r Record
	switch {
	case !ok || json.Unmarshal(s.body, &r) != nil:
		v.wrong(seq, "it cannot be read: it was changed")
	case r.Seq != seq:
		v.wrong(seq, "it says that it is record %d: it was moved here, or put in", r.Seq)
	case sum(s.before, s.body) != s.hash:
		v.wrong(seq, "its hash is not that of what it says: it was changed")
	case !gap && s.before != v.at.hash:
		v.wrong(seq, "it does not follow on record %d as that is now: that one was written anew, or this one was", v.at.seq)
	}
	v.at = link{seq, s.hash}
	if v.kept != nil && v.kept.seq == seq && v.kept.hash != s.hash {
		v.wrong(seq, "it is not the record of the head that was kept: the log was written anew, up to this record or before it")
	}
	v.Last = r.Time
	if v.First.IsZero() {
		v.First = r.Time
	}
	switch r.Kind {
	case KindBegin:
		v.open[seq] = true
	case KindEnd:
		if !v.open[r.Began] && r.Began > v.Trimmed {
			v.wrong(seq, "it is the end of a call that began with record %d, which is none, or has ended already", r.Began)
		}
		delete(v.open, r.Began)
	case KindTrim:
		v.through = r.Parameters["through"]
	}
}

// ends holds the two ends of the chain against what is noted of them.
func (v *verifier) ends(h head, anchor link) {
	v.Head = v.at.String()
	switch {
	case v.at.seq < h.seq:
		v.wrong(v.at.seq+1, "the newest records are missing, up to %d: they were removed", h.seq)
	case v.at.seq > h.seq:
		v.wrong(h.seq+1, "it is behind the newest record, %d: it was put in, or the head was set back", h.seq)
	case v.at.hash != h.hash:
		v.wrong(h.seq, "it is not the record that was written last: it was written anew")
	case v.size != h.bytes:
		v.wrong(h.seq, "all records have %d bytes, and the head says %d: the head was changed", v.size, h.bytes)
	}
	trimmed := ""
	if anchor.seq > 0 {
		trimmed = anchor.String()
	}
	if trimmed != v.through {
		v.wrong(anchor.seq, "the oldest records were removed through this one, and the log says that it was %q", v.through)
	}
	switch k := v.kept; {
	case k == nil:
	case k.seq < v.Trimmed:
		v.wrong(k.seq, "the head that was kept is of a record that is kept no longer: it tells nothing; keep a newer one")
	case k.seq == anchor.seq && k.hash != anchor.hash:
		v.wrong(k.seq, "it is not the record of the head that was kept: the log was written anew")
	case k.seq > v.at.seq:
		v.wrong(k.seq, "the head that was kept is of a newer record than the newest, %d: the log was set back", v.at.seq)
	}
}
