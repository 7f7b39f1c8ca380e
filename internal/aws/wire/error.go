package wire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/guard"
)

// Error is an error as an API tells it. Services make it of their domain's
// errors, in one place each.
type Error struct {
	// Name is that of the error's shape in the model: "NoSuchEntityException".
	// What the model says of it need not be said again.
	Name string
	// Code is the one of the query protocol and of REST-XML; empty is that of
	// the model, or Name.
	Code string
	// Status is HTTP's; 0 is that of the model, or 400.
	Status int
	// Receiver tells that it is not the caller's fault. Statuses of 500 and
	// more always are.
	Receiver bool
	Message  string
	// Detail is a pointer to the generated struct with the further members, or
	// nil.
	Detail any
	// RetryAfter is when trying again may help; 0 is unknown.
	RetryAfter time.Duration
	// Cause is what it tells of in other words, or nil.
	Cause error

	member string // of the text: "message"
}

func (e *Error) Error() string { return e.Name + ": " + e.Message }
func (e *Error) Unwrap() error { return e.Cause }

// ErrorCode is what the audit log calls it.
func (e *Error) ErrorCode() string { return cmp.Or(e.Code, e.Name) }

// fault is who is to blame, in the words of the query protocol.
func (e *Error) fault() string {
	if e.Receiver {
		return "Receiver"
	}
	return "Sender"
}

// complete fills in what the model says of an error.
func (m *Model) complete(e *Error) *Error {
	whole := *e
	f := m.Faults[e.Name]
	whole.Code = cmp.Or(whole.Code, cmp.Or(f.Code, whole.Name))
	whole.Receiver = whole.Receiver || f.Receiver
	if whole.Status == 0 {
		switch {
		case f.Status != 0:
			whole.Status = f.Status
		case whole.Receiver:
			whole.Status = http.StatusInternalServerError
		default:
			whole.Status = http.StatusBadRequest
		}
	}
	whole.Receiver = whole.Receiver || whole.Status >= 500
	whole.member = cmp.Or(f.Message, "message")
	return &whole
}

// fault is what a door finds wrong itself, whatever the service: each family of
// protocols has its own words for it.
type fault int

const (
	invalid    fault = iota // a value is not as the model wants it
	malformed               // it cannot be read
	unknown                 // there is no such operation
	refused                 // it is not carried out
	tooLarge                // it is over a limit
	slow                    // it did not come in time
	busy                    // the node holds as much as it may
	internal                // the node's own failure
	closing                 // the node is shutting down
	noToken                 // no credential
	incomplete              // a credential that cannot be read
	unknownKey              // not valid, or not there
	mismatch                // not the request's signature
	skewed                  // a signature's time is too far from the node's
	expired                 // a session's token
	denied                  // not allowed
)

// problem is a fault and what is to be said of it.
type problem struct {
	kind  fault
	text  string
	cause error
}

func (p *problem) Error() string { return p.text }
func (p *problem) Unwrap() error { return p.cause }

func problemf(kind fault, format string, args ...any) error {
	return &problem{kind: kind, text: fmt.Sprintf(format, args...)}
}

// family is the protocols that have the same words.
type family int

const (
	ofQuery family = iota
	ofJSON         // AWS JSON and CBOR
	ofREST         // REST-JSON
	ofXML          // REST-XML, as S3 has it
)

func (p Protocol) family() family {
	switch p {
	case Query:
		return ofQuery
	case RESTJSON:
		return ofREST
	case RESTXML:
		return ofXML
	}
	return ofJSON
}

// words are the codes and statuses of the faults, a column a family: those of
// the pages "Common errors" of the services, and of what they answer.
var words = [...][4]struct {
	code   string
	status int
}{
	invalid:    {{"ValidationError", 400}, {"ValidationException", 400}, {"ValidationException", 400}, {"InvalidArgument", 400}},
	malformed:  {{"MalformedInput", 400}, {"SerializationException", 400}, {"SerializationException", 400}, {"MalformedXML", 400}},
	unknown:    {{"InvalidAction", 400}, {"UnknownOperationException", 400}, {"UnknownOperationException", 404}, {"MethodNotAllowed", 405}},
	refused:    {{"InvalidAction", 400}, {"UnknownOperationException", 400}, {"UnknownOperationException", 501}, {"NotImplemented", 501}},
	tooLarge:   {{"RequestEntityTooLarge", 413}, {"RequestEntityTooLargeException", 413}, {"RequestTooLargeException", 413}, {"EntityTooLarge", 400}},
	slow:       {{"RequestTimeout", 408}, {"RequestTimeoutException", 408}, {"RequestTimeoutException", 408}, {"RequestTimeout", 400}},
	busy:       {{"Throttling", 429}, {"ThrottlingException", 429}, {"TooManyRequestsException", 429}, {"SlowDown", 503}},
	internal:   {{"InternalFailure", 500}, {"InternalServerError", 500}, {"ServiceException", 500}, {"InternalError", 500}},
	closing:    {{"ServiceUnavailable", 503}, {"ServiceUnavailable", 503}, {"ServiceException", 503}, {"ServiceUnavailable", 503}},
	noToken:    {{"MissingAuthenticationToken", 403}, {"MissingAuthenticationTokenException", 400}, {"MissingAuthenticationTokenException", 403}, {"AccessDenied", 403}},
	incomplete: {{"IncompleteSignature", 400}, {"IncompleteSignatureException", 400}, {"IncompleteSignatureException", 403}, {"AuthorizationHeaderMalformed", 400}},
	unknownKey: {{"InvalidClientTokenId", 403}, {"UnrecognizedClientException", 400}, {"UnrecognizedClientException", 403}, {"InvalidAccessKeyId", 403}},
	mismatch:   {{"SignatureDoesNotMatch", 403}, {"InvalidSignatureException", 400}, {"InvalidSignatureException", 403}, {"SignatureDoesNotMatch", 403}},
	skewed:     {{"SignatureDoesNotMatch", 403}, {"InvalidSignatureException", 400}, {"InvalidSignatureException", 403}, {"RequestTimeTooSkewed", 403}},
	expired:    {{"ExpiredToken", 403}, {"ExpiredTokenException", 400}, {"ExpiredTokenException", 403}, {"ExpiredToken", 400}},
	denied:     {{"AccessDenied", 403}, {"AccessDeniedException", 400}, {"AccessDeniedException", 403}, {"AccessDenied", 403}},
}

// inWords is a fault in a protocol's words.
func (p Protocol) inWords(kind fault, text string) *Error {
	w := words[kind][p.family()]
	return &Error{Name: w.code, Status: w.status, Message: text}
}

// answerTo finds how a service tells an error, over a protocol. failed is the
// node's own failure, whose text is for the log alone.
func (s *service) answerTo(p Protocol, err error) (e *Error, failed bool) {
	if e = (*Error)(nil); errors.As(err, &e) {
		return s.complete(e), false
	}
	if o := (*problem)(nil); errors.As(err, &o) {
		e = p.inWords(o.kind, o.text)
		if o.kind == invalid && s.Invalid != "" {
			e.Name = s.Invalid
		}
		return s.complete(e), o.kind == internal
	}
	if d := (*guard.DeniedError)(nil); errors.As(err, &d) {
		return s.complete(p.inWords(denied, d.Error())), false
	}
	if a := (*access.Error)(nil); errors.As(err, &a) {
		return s.complete(p.unauthenticated(a)), false
	}
	switch {
	case errors.Is(err, gust.ErrBusy):
		e = p.inWords(busy, err.Error())
		e.RetryAfter = access.BusyRetry
		return s.complete(e), false
	case errors.Is(err, access.ErrSlow):
		return s.complete(p.inWords(slow, err.Error())), false
	}
	if s.Errors != nil {
		if e := s.Errors(err); e != nil {
			e = s.complete(e)
			return e, e.Status == http.StatusInternalServerError
		}
	}
	switch {
	case errors.Is(err, gust.ErrTooLarge):
		return s.complete(p.inWords(tooLarge, err.Error())), false
	case errors.Is(err, gust.ErrInvalid):
		return s.complete(p.inWords(invalid, err.Error())), false
	case errors.Is(err, gust.ErrClosing), errors.Is(err, gust.ErrNoSpace):
		return s.complete(p.inWords(closing, err.Error())), false
	case errors.Is(err, context.Canceled): // nobody is there to read it
		return s.complete(&Error{Name: "RequestAborted", Status: 499, Message: err.Error()}), false
	}
	return s.complete(p.inWords(internal, "the request failed inside the node; its log has the reason, by the request's id")), true
}

// unauthenticated is why a request was not let in, in a protocol's words. What
// is not public is told in words that are the same for all.
func (p Protocol) unauthenticated(e *access.Error) *Error {
	switch e.Code {
	case access.Missing:
		return p.inWords(noToken, "Request is missing Authentication Token")
	case access.Malformed, access.Unsupported:
		return p.inWords(incomplete, e.Public())
	case access.Expired:
		return p.inWords(expired, e.Public())
	case access.Skewed:
		return p.inWords(skewed, e.Public())
	case access.Scope, access.BodyMismatch, access.BadChunks, access.BadChecksum:
		return p.inWords(mismatch, e.Public())
	default:
		return p.inWords(unknownKey, "The security token included in the request is invalid.")
	}
}
