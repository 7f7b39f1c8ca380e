package observe

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"

	gust "github.com/gust-dev/gust"
)

// Stream records what one environment does. Its calls may come from several
// goroutines; they are recorded in the order in which they come.
type Stream struct {
	recorder *Recorder
	figures  *figures
	version  uint64
	one      bool // it runs one invocation at a time

	mu sync.Mutex
	// head is what all records have in common; its first byte is the tag of
	// the record that is made.
	head []byte
	// ids are the request and the trace of the invocation that runs, as they
	// are stored: those of none while nothing runs, or several may.
	ids []byte
	// traces are the traces of what runs, by request, where several may.
	traces map[string]string
	buf    []byte

	bucket   bucket
	dropped  Dropped
	flooded  bool
	captures int
	tail     tail
}

// resume is how much of each limit has to be free again before a flood counts as
// over: lines come in stretches then, with one word between about what is
// missing, not one by one.
const resume = time.Second

// noIDs is an empty request id and no trace.
var noIDs = [...]byte{0, traceNone}

// Stream returns what records the environment, which runs f.
func (r *Recorder) Stream(f *gust.Function, environment string) *Stream {
	s := &Stream{
		recorder: r, figures: r.metrics.of(f), version: f.Version, one: f.PerEnvironment() == 1,
		head: appendHead([]byte{0}, f, environment),
		ids:  append(make([]byte, 0, 64), noIDs[:]...),
	}
	if !s.one {
		s.traces = map[string]string{}
	}
	return s
}

// Begin says that the environment was given an invocation.
func (s *Stream) Begin(requestID, traceID string, at time.Time) {
	s.figures.running.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	record := s.start(tagStart)
	ids := len(record)
	record = appendTrace(appendID(record, requestID), traceID)
	if s.one {
		s.ids = append(s.ids[:0], record[ids:]...)
	} else {
		s.traces[requestID] = traceID
	}
	s.finish(at, record)
	if s.captures > 0 {
		s.tail.buf = append(appendStartLine(s.tail.buf, requestID, s.version), '\n')
		s.tail.trim()
	}
}

// Line records a line that the program printed, without its newline; it does not
// keep the slice. A line over gust.MaxLogLine is recorded in pieces.
//
// Where an environment runs one invocation at a time, a line belongs to the one
// that runs. Where it may run several, and while none runs, a line belongs to
// the one that it names itself, in JSON.
func (s *Stream) Line(line []byte) {
	now := s.recorder.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.captures > 0 {
		s.tail.line(line)
	}
	for len(line) > gust.MaxLogLine {
		s.line(line[:gust.MaxLogLine], now)
		line = line[gust.MaxLogLine:]
	}
	s.line(line, now)
}

func (s *Stream) line(line []byte, now time.Time) {
	room := time.Duration(0)
	if s.flooded {
		room = resume
	}
	if !s.recorder.admit(s.figures, &s.bucket, len(line), now, room) {
		s.flooded = true
		s.drop(line)
		return
	}
	if s.flooded {
		s.flooded = false
		s.tellDropped(now, s.ids)
	}
	var fields jsonFields
	if len(line) > 0 && line[0] == '{' {
		fields = parseJSONLine(line)
	}
	record := append(s.start(tagLine), s.idsOf(fields.request)...)
	flags := len(record)
	record = append(record, 0)
	if fields.level != "" {
		record[flags] |= lineLevel
		record = appendText(record, fields.level)
	}
	if !fields.timestamp.IsZero() {
		record[flags] |= lineTimestamp
		record = binary.AppendVarint(record, fields.timestamp.UnixNano())
	}
	if !s.finish(now, append(record, line...)) {
		s.drop(line)
		return
	}
	s.figures.logLines.Add(1)
	s.figures.logBytes.Add(int64(len(line)))
}

// End says that an invocation is over, and counts it. All that it printed has
// been given to Line. The report's own words say which invocation it was, the
// stream says where it ran.
func (s *Stream) End(report *gust.Report) {
	s.figures.ended(report)
	s.figures.running.Add(-1)
	now := s.recorder.now()
	s.mu.Lock()
	defer s.mu.Unlock()

	record := s.start(tagReport)
	head := len(record)
	record = appendTrace(appendID(record, report.RequestID), report.TraceID)
	if s.dropped != (Dropped{}) {
		// In pieces: telling uses the buffer that record is in.
		ids := slices.Clone(record[head:])
		s.tellDropped(now, ids)
		record = append(s.start(tagReport), ids...)
	}
	s.finish(now, appendReport(record, report))

	s.forget(report.RequestID)
	if s.captures > 0 {
		s.tail.buf = appendFailure(s.tail.buf, now, report)
		s.tail.buf = append(appendEndLine(s.tail.buf, report.RequestID), '\n')
		s.tail.buf = append(appendReportLine(s.tail.buf, report.RequestID, report), '\n')
		s.tail.trim()
	}
}

// Abandon takes a Begin back: the environment was gone before it could take the
// invocation, which begins anew elsewhere. Nothing is counted.
func (s *Stream) Abandon(requestID string) {
	s.figures.running.Add(-1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(requestID)
}

// forget is for an invocation that runs no more.
func (s *Stream) forget(requestID string) {
	if s.one {
		s.ids = append(s.ids[:0], noIDs[:]...)
	} else {
		delete(s.traces, requestID)
	}
}

// Capture keeps what is recorded from now on until Captured is called, once for
// each Capture. Called before Begin, it has the START line.
func (s *Stream) Capture() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.captures++
}

// Captured returns the last MaxTail bytes since Capture, in the words of
// Lambda's log. Where several invocations ran at once, it has what all of them
// printed.
func (s *Stream) Captured() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.tail.bytes())
	if s.captures--; s.captures <= 0 {
		s.captures, s.tail.buf = 0, nil
	}
	return out
}

// Close tells of what was dropped last. The environment is gone.
func (s *Stream) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tellDropped(s.recorder.now(), s.ids)
}

// start begins a record in the stream's buffer.
func (s *Stream) start(tag byte) []byte {
	s.head[0] = tag
	return append(s.buf[:0], s.head...)
}

// maxKept bounds the buffer that an idle environment keeps.
const maxKept = 16 << 10

// finish writes the record that start began.
func (s *Stream) finish(t time.Time, record []byte) bool {
	s.buf = record
	if cap(record) > maxKept {
		s.buf = nil
	}
	return s.recorder.append(t, record)
}

// idsOf are the ids of a line that names a request, or none.
func (s *Stream) idsOf(request []byte) []byte {
	if len(s.ids) > len(noIDs) || len(request) == 0 {
		return s.ids
	}
	if s.one { // nothing runs: it printed late
		return appendTrace(appendID(nil, string(request)), "")
	}
	return appendTrace(appendID(nil, string(request)), s.traces[string(request)])
}

func (s *Stream) drop(line []byte) {
	s.dropped.Lines++
	s.dropped.Bytes += uint64(len(line))
	s.figures.droppedLines.Add(1)
	s.figures.droppedBytes.Add(int64(len(line)))
}

// tellDropped records what is missing, if anything is. A record that cannot be
// written is tried again the next time.
func (s *Stream) tellDropped(now time.Time, ids []byte) {
	if s.dropped == (Dropped{}) {
		return
	}
	record := append(s.start(tagDropped), ids...)
	record = binary.AppendUvarint(record, s.dropped.Lines)
	if s.finish(now, binary.AppendUvarint(record, s.dropped.Bytes)) {
		s.dropped = Dropped{}
	}
}
