package wire

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/guard"
	"github.com/gust-dev/gust/internal/aws/cbor"
)

// Limits of a request, where a service does not have its own.
const (
	// DefaultMaxBody bounds a body, in bytes.
	DefaultMaxBody = 1 * gust.MB
	// MaxHeaders bounds the names and values of all headers together, as AWS
	// does, in bytes.
	MaxHeaders = 32 * gust.KB
	// MaxDepth bounds how deep a document is nested, in all protocols: DynamoDB's
	// items, of 32 levels, are up to 67 deep.
	MaxDepth = cbor.MaxDepth
	// MaxMembers bounds the members of one list or map.
	MaxMembers = 20000
	// MaxMemory bounds what the members of all lists and maps take, in bytes.
	MaxMemory = 32 * gust.MB
	// MaxParameters bounds the parameters of a query.
	MaxParameters = 4000
)

// Options are what a Handler works with.
type Options struct {
	Services []*Service
	Guard    *guard.Guard
	// Logger gets the node's own failures; nil is slog.Default.
	Logger *slog.Logger
}

// Handler is the door of all services.
type Handler struct {
	services []*service
	guard    *guard.Guard
	logger   *slog.Logger
}

// service is a Service made ready.
type service struct {
	*Service
	operations map[string]*operation
	routes     []route // of the REST protocols
	maxBody    int64
	details    map[reflect.Type]*structure // of faults
}

// operation is an Operation made ready.
type operation struct {
	Operation
	Binding
	name    string
	in, out *structure
	// of REST: the members of the path's labels, of the query by name, and the
	// one that takes all else of the query.
	labels []*field
	query  map[string]*field
	rest   *field
}

// New makes the handler of services. It refuses tables that do not fit their
// models. When an answer breaks off in its middle the handler panics with
// http.ErrAbortHandler, as net/http wants it.
func New(o Options) (*Handler, error) {
	h := &Handler{guard: o.Guard, logger: o.Logger}
	if h.logger == nil {
		h.logger = slog.Default()
	}
	for _, s := range o.Services {
		ready, err := prepare(s)
		if err != nil {
			return nil, fmt.Errorf("the AWS service %s: %w", s.Name, err)
		}
		h.services = append(h.services, ready)
	}
	return h, nil
}

func prepare(s *Service) (*service, error) {
	p := newPlanner(s.Model)
	ready := &service{Service: s, operations: map[string]*operation{}, maxBody: s.MaxBody, details: map[reflect.Type]*structure{}}
	if ready.maxBody == 0 {
		ready.maxBody = DefaultMaxBody
	}
	bindings := map[string]Binding{}
	for _, b := range s.Bindings {
		bindings[b.Name] = b
	}
	var err error
	for _, o := range s.Operations {
		op := &operation{Operation: o, Binding: bindings[o.Name], name: o.Name}
		switch {
		case op.Binding.Name == "":
			return nil, fmt.Errorf("its model has no operation %s", o.Name)
		case ready.operations[o.Name] != nil:
			return nil, fmt.Errorf("the operation %s is there twice", o.Name)
		case o.Open && o.Level != Session && o.Level != Data:
			return nil, fmt.Errorf("the operation %s is open, and whoever fails would write records: its level is Session or Data", o.Name)
		case o.Note == "":
			return nil, fmt.Errorf("the operation %s does not say how it is carried out, or what to do instead", o.Name)
		}
		if o.Run.run != nil {
			if op.in, err = p.structure(o.Run.in); err == nil {
				op.out, err = p.structure(o.Run.out)
			}
			if err == nil && op.in.events() != nil {
				err = errors.New("its request is an event stream, of which nobody can verify the messages")
			}
			if err == nil && op.Path != "" {
				err = op.bindTo()
			}
			if err != nil {
				return nil, fmt.Errorf("the operation %s: %w", o.Name, err)
			}
		}
		ready.operations[o.Name] = op
	}
	for _, b := range s.Bindings {
		op := ready.operations[b.Name]
		if op == nil {
			return nil, fmt.Errorf("the operation %s is neither carried out nor refused", b.Name)
		}
		if b.Path != "" {
			ready.routes = append(ready.routes, newRoute(op))
		}
	}
	sortRoutes(ready.routes)
	for name, f := range s.Faults {
		if f.Detail == nil {
			continue
		}
		t := reflect.TypeOf(f.Detail)
		if ready.details[t], err = p.structure(t); err != nil {
			return nil, fmt.Errorf("the error %s: %w", name, err)
		}
	}
	p.settle()
	return ready, nil
}

// exchange is one request on its way through the door.
type exchange struct {
	handler  *Handler
	id       string
	w        http.ResponseWriter
	r        *http.Request
	body     []byte
	protocol Protocol
	codec    codec
	service  *service
	op       *operation
	labels   []string // of the path, unescaped
	form     []parameter
	granted  []access.Need
}

// codec reads requests and writes answers in one protocol.
type codec interface {
	// decode reads a request into the operation's input. What is missing goes
	// to found.
	decode(x *exchange, in reflect.Value, found *findings) error
	// encode writes the answer. An error means that nothing has been written.
	encode(x *exchange, out reflect.Value) error
	// fail writes an error.
	fail(x *exchange, e *Error)
}

type exchangeKey struct{}

// RequestID is the id of the request that an operation runs for.
func RequestID(ctx context.Context) string { return from(ctx).id }

// RequestHeader are the headers of the request that an operation runs for. They
// are not to be changed.
func RequestHeader(ctx context.Context) http.Header { return from(ctx).r.Header }

// ResponseHeader takes headers of the answer that its type does not have.
func ResponseHeader(ctx context.Context) http.Header { return from(ctx).w.Header() }

// Granted is what the operation that runs was found to need, and its caller may.
func Granted(ctx context.Context) []access.Need { return from(ctx).granted }

func from(ctx context.Context) *exchange { return ctx.Value(exchangeKey{}).(*exchange) }

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{handler: h, id: uuid.NewString(), w: w, r: r}
	err := h.serve(x)
	if err == nil {
		return
	}
	e := x.describe(err)
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64((e.RetryAfter+time.Second-1)/time.Second), 10))
	}
	x.codec.fail(x, e)
}

// describe is an error as the service tells it. The node's own failures are
// logged.
func (x *exchange) describe(err error) *Error {
	e, failed := x.service.answerTo(x.protocol, err)
	if failed {
		x.handler.logger.Error("an AWS API failed", "service", x.service.Name, "operation", x.operationName(), "request_id", x.id, "error", err.Error())
	}
	return e
}

func (x *exchange) operationName() string {
	if x.op == nil {
		return ""
	}
	return x.op.name
}

// serve carries a request out. An error means that nothing has been written.
func (h *Handler) serve(x *exchange) error {
	asked := h.tell(x)
	if path := x.r.URL.EscapedPath(); asked == nil && !x.service.S3 && crooked(path) {
		asked = problemf(malformed, "the path %s has a segment that is empty, \".\" or \"..\": send it without", quoted(path))
	}
	if x.protocol == RESTXML {
		x.w.Header().Set("x-amz-request-id", x.id)
	} else {
		x.w.Header()["X-Amzn-Requestid"] = []string{x.id}
	}
	if size := headerBytes(x.r); size > MaxHeaders {
		return problemf(tooLarge, "the headers of the request have %d bytes, over the limit of %d", size, MaxHeaders)
	}
	var call *guard.Call
	var err error
	if signed := carriesCredential(x.r); signed {
		if call, err = h.guard.Admit(x.r, x.id); err != nil {
			return brokenOff(err)
		}
	}
	if asked != nil {
		if call == nil {
			return h.guard.Missing(x.r, x.id)
		}
		return asked
	}
	if err := x.find(h); err != nil {
		if call == nil && !isFault(err, tooLarge) && !errors.Is(err, gust.ErrBusy) && !errors.Is(err, access.ErrSlow) {
			return h.guard.Missing(x.r, x.id)
		}
		return err
	}
	if call != nil && call.Caller.Service != "" && call.Caller.Service != x.service.Name { // what was told before was not proven
		return problemf(unknown, "the request is signed for the service %s, and asks for %s", quoted(call.Caller.Service), quoted(x.service.Name))
	}
	if call == nil {
		if !x.op.Open {
			return h.guard.Missing(x.r, x.id)
		}
		call = h.guard.Anonymous(x.r, x.id)
	}
	if x.op.Run.run == nil {
		return problemf(refused, "the %s operation %s is not carried out by Gust: %s", x.service.Title, x.op.name, x.op.Note)
	}
	return x.run(call)
}

// run decodes the request, asks whether it may be, carries it out and answers.
func (x *exchange) run(call *guard.Call) error {
	run := &x.op.Run
	in := run.alloc()
	value := reflect.ValueOf(in).Elem()
	var found findings
	if err := x.codec.decode(x, value, &found); err != nil {
		return err
	}
	if !x.op.in.sound {
		found.validate(&node{kind: kindStruct, fields: x.op.in}, value, nil)
	}
	if err := found.error(); err != nil {
		return err
	}
	ctx := call.Context(context.WithValue(x.r.Context(), exchangeKey{}, x))
	action, resource := x.service.Name+":"+x.op.name, "*"
	if run.needs != nil {
		var err error
		if x.granted, err = run.needs(ctx, in); err != nil {
			return err
		}
	}
	if err := call.Allow(ctx, x.granted...); err != nil { // even of nothing: who asks must still be let in
		return err
	}
	if len(x.granted) > 0 {
		action, resource = x.granted[0].Action, x.granted[0].Resource
	}
	var params []guard.Param
	if x.op.Level != Data {
		params = x.op.in.params(value)
	}
	end, err := call.Record(ctx, x.op.Level, action, resource, params...)
	if err != nil {
		return err
	}
	ended := false
	defer func() {
		if !ended { // it panics: the audit log must not say that it runs
			_ = end(errUnfinished)
		}
	}()
	out, err := run.run(ctx, in)
	ended = true
	if denied := (*guard.DeniedError)(nil); err != nil && !errors.As(err, &denied) {
		err = x.describe(err) // before it is recorded, by its code
	}
	var made []guard.Param
	if err == nil && (x.op.Level == Write || x.op.Level == Session) {
		made = x.op.out.made(reflect.ValueOf(out).Elem())
	}
	if failed := end(err, made...); err == nil {
		err = failed
	}
	if err != nil {
		return err
	}
	return x.codec.encode(x, reflect.ValueOf(out).Elem())
}

// readBody takes the request's body, if it has not been read yet.
func (x *exchange) readBody() error {
	if x.body != nil {
		return nil
	}
	limit := x.service.maxBody
	if x.r.ContentLength > limit {
		return problemf(tooLarge, "the request's body has %d bytes, over the limit of %d", x.r.ContentLength, limit)
	}
	body, verified := access.Body(x.r)
	if !verified && x.r.Body != nil {
		var err error
		if body, err = access.Hold(x.r, x.r.Body, x.r.ContentLength, limit); err != nil {
			return brokenOff(err)
		}
	}
	if x.body = body; body == nil {
		x.body = []byte{}
	}
	if int64(len(x.body)) > limit {
		return problemf(tooLarge, "the request's body is over the limit of %d bytes", limit)
	}
	return x.unpack(limit)
}

// unpack takes a body out of gzip, in which SDKs send large ones to some services.
// It may be no larger than the limit then, either.
func (x *exchange) unpack(limit int64) error {
	encoding := x.r.Header["Content-Encoding"]
	if len(encoding) == 0 || len(x.body) == 0 {
		return nil
	}
	if len(encoding) > 1 || encoding[0] != "gzip" {
		return problemf(malformed, "the Content-Encoding of a request is gzip, or there is none, not %s", quoted(strings.Join(encoding, ", ")))
	}
	r, err := gzip.NewReader(bytes.NewReader(x.body))
	if err == nil {
		x.body, err = access.Hold(x.r, r, -1, limit)
	}
	switch {
	case errors.Is(err, gust.ErrBusy):
		return err
	case err != nil:
		return problemf(malformed, "the request's body is not in gzip: %v", err)
	case int64(len(x.body)) > limit:
		return problemf(tooLarge, "the request's body is over the limit of %d bytes when it is taken out of gzip", limit)
	}
	return nil
}

// brokenOff is a body that could not be taken, which is not the node's failure.
func brokenOff(err error) error {
	if errors.As(err, new(*access.Error)) || errors.Is(err, gust.ErrBusy) || errors.Is(err, access.ErrSlow) || errors.Is(err, gust.ErrTooLarge) {
		return err // it says what is wrong
	}
	return problemf(malformed, "the body of the request broke off: %v", err)
}

// headerBytes is the size of a request's headers.
func headerBytes(r *http.Request) int {
	size := 0
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v)
		}
	}
	return size
}

func isFault(err error, kind fault) bool {
	p := (*problem)(nil)
	return errors.As(err, &p) && p.kind == kind
}
