package wire

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/aws/wire/wiretest"
)

// The radio is a service of the protocols that have no headers for what is said
// beside the events.
type (
	tuneResponse struct {
		Station *string
		Events  iter.Seq2[*radioEvent, error] `aws:",required"`
	}
	radioEvent struct {
		Spoken *spoken
	}
	spoken struct {
		Text *string
	}
)

func radio(t *testing.T) *Handler {
	t.Helper()
	station, text := "one", "good evening"
	s := &Service{Model: &Model{Name: "radio", Title: "Radio", Version: "1", Target: "Radio", Protocols: []Protocol{JSON11, CBOR}, Bindings: []Binding{{Name: "Tune"}},
		Faults: map[string]Fault{"OffAirException": {Status: 410}}},
		Operations: []Operation{{Name: "Tune", Note: "whole", Run: Do(func(context.Context, *struct{}) (*tuneResponse, error) {
			return &tuneResponse{&station, func(yield func(*radioEvent, error) bool) {
				if yield(&radioEvent{&spoken{&text}}, nil) {
					yield(nil, gust.ErrClosing)
				}
			}}, nil
		}, nil)}},
		Errors: func(err error) *Error {
			if errors.Is(err, gust.ErrClosing) {
				return &Error{Name: "OffAirException", Message: "that was all"}
			}
			return nil
		}}
	h, err := New(Options{Services: []*Service{s}, Guard: wiretest.New(t).Guard, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestInitialResponse: what is no event comes in a message before all.
func TestInitialResponse(t *testing.T) {
	h := radio(t)
	for media, c := range map[string]struct {
		w                      *httptest.ResponseRecorder
		initial, event, ending string
	}{
		"application/x-amz-json-1.1": {serve(h, request("POST", "/", "{}", "X-Amz-Target", "Radio.Tune", "Content-Type", "application/x-amz-json-1.1")),
			`{"Station":"one"}`, `{"Text":"good evening"}`, `{"__type":"OffAirException","message":"that was all"}`},
		"application/cbor": {serve(h, request("POST", "/service/Radio/operation/Tune", "", "Smithy-Protocol", "rpc-v2-cbor")),
			"\xbf\x67Station\x63one\xff", "\xbf\x64Text\x6cgood evening\xff", "\xbf\x66__type\x6fOffAirException\x67message\x6cthat was all\xff"},
	} {
		want := []string{"message-type=event event-type=initial-response content-type=" + media + " " + c.initial, "message-type=event event-type=Spoken content-type=" + media + " " + c.event,
			"message-type=exception exception-type=OffAirException content-type=" + media + " " + c.ending}
		if got := messages(t, c.w.Body); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s:\n got %q\nwant %q", media, got, want)
		}
	}
}

// TestStreamedRequests: a table whose request is an event stream is refused, by
// what it is.
func TestStreamedRequests(t *testing.T) {
	type in struct {
		Events iter.Seq2[*radioEvent, error]
	}
	_, err := New(Options{Services: []*Service{{Model: &Model{Name: "radio", Title: "Radio", Protocols: []Protocol{JSON11}, Bindings: []Binding{{Name: "Send"}}},
		Operations: []Operation{{Name: "Send", Note: "whole", Run: Do(func(context.Context, *in) (*struct{}, error) { return nil, nil }, nil)}}}}})
	if err == nil || !strings.Contains(err.Error(), "Send: its request is an event stream") {
		t.Error(err)
	}
}
