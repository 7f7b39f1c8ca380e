package wire

import (
	"errors"
	"net/http"
	"reflect"
	"time"

	"github.com/gust-dev/gust/internal/aws/eventstream"
)

// events is the member of an answer that is an event stream, or nil.
func (s *structure) events() *field {
	if s.payload != nil && s.payload.kind == kindEvents {
		return s.payload
	}
	return nil
}

// eventFormat writes what events hold, in a protocol.
type eventFormat interface {
	media() string
	document(*structure, reflect.Value) []byte
	fault(*service, *Error) []byte
}

// stream answers with events as they come, each flushed at once. initial is the
// document with the answer's other members, of the protocols that have no other
// place for them, or nil. An error that ends the events is told as one of them.
// When whoever asked leaves, the next event is the last that is asked for: what
// waits for events has to look at the request's context, too.
func (x *exchange) stream(format eventFormat, f *field, out reflect.Value, initial []byte) {
	w := eventWriter{exchange: x, format: format, control: http.NewResponseController(x.w)}
	defer w.control.SetWriteDeadline(time.Time{}) //nolint:errcheck // the connection may have further requests
	x.w.Header()["Content-Type"] = []string{eventstream.ContentType}
	x.w.WriteHeader(http.StatusOK)
	if initial == nil {
		w.flush()
	} else {
		w.send([]eventstream.Header{{Name: ":message-type", Value: "event"}, {Name: ":event-type", Value: "initial-response"}, {Name: ":content-type", Value: format.media()}}, initial)
	}
	for event, err := range out.Field(f.index).Seq2() {
		if !err.IsNil() {
			w.fail(err.Interface().(error))
			return
		}
		if w.event(f.fields, event.Elem()); w.err != nil {
			return
		}
	}
}

// eventWriter writes messages. After an error it writes nothing more.
type eventWriter struct {
	*exchange
	format  eventFormat
	control *http.ResponseController
	buf     []byte
	err     error
}

// event writes the one member of a union that is there.
func (w *eventWriter) event(union *structure, v reflect.Value) {
	for _, f := range union.fields {
		given, ok := f.given(v)
		if !ok {
			continue
		}
		headers := []eventstream.Header{{Name: ":message-type", Value: "event"}, {Name: ":event-type", Value: f.name}}
		for _, m := range f.fields.elsewhere {
			if value, ok := m.given(given); ok {
				headers = append(headers, eventstream.Header{Name: m.name, Value: value.Interface()})
			}
		}
		payload, media := w.payload(f.fields, given)
		if media != "" {
			headers = append(headers, eventstream.Header{Name: ":content-type", Value: media})
		}
		w.send(headers, payload)
		return
	}
}

// payload is what an event holds besides its headers: one member, or a document
// of those that there are.
func (w *eventWriter) payload(s *structure, v reflect.Value) (payload []byte, media string) {
	p := s.payload
	if p == nil {
		return w.format.document(s, v), w.format.media()
	}
	given, ok := p.given(v)
	switch {
	case !ok:
		return nil, ""
	case p.kind == kindBlob:
		return given.Bytes(), "application/octet-stream"
	case p.kind == kindString:
		return []byte(given.String()), "text/plain"
	}
	return w.format.document(p.fields, given), w.format.media()
}

// fail writes how the events broke off: an exception of the service, or a
// failure.
func (w *eventWriter) fail(err error) {
	e := w.describe(err)
	if _, known := w.service.Faults[e.Name]; !known {
		w.send([]eventstream.Header{{Name: ":message-type", Value: "error"}, {Name: ":error-code", Value: e.Name}, {Name: ":error-message", Value: clip(e.Message)}}, nil)
		return
	}
	w.send([]eventstream.Header{{Name: ":message-type", Value: "exception"}, {Name: ":exception-type", Value: e.Name}, {Name: ":content-type", Value: w.format.media()}},
		w.format.fault(w.service, e))
}

func (w *eventWriter) send(headers []eventstream.Header, payload []byte) {
	if w.err != nil {
		return
	}
	if w.buf, w.err = eventstream.Append(w.buf[:0], headers, payload); w.err != nil {
		// An event that does not fit is the service's fault, and has to be told.
		if w.buf, w.err = eventstream.Append(w.buf[:0], []eventstream.Header{{Name: ":message-type", Value: "error"},
			{Name: ":error-code", Value: "InternalFailure"}, {Name: ":error-message", Value: clip(w.err.Error())}}, nil); w.err != nil {
			return
		}
		defer func() { w.err = errors.New("an event did not fit") }()
	}
	w.control.SetWriteDeadline(time.Now().Add(writeStall)) //nolint:errcheck // then without
	if _, w.err = w.w.Write(w.buf); w.err == nil {
		w.flush()
	}
}

func (w *eventWriter) flush() {
	if err := w.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		w.err = err
	}
}
