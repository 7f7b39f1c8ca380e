// Package wire is the door of the AWS APIs: it speaks all of their protocols on
// one port. A service is a table of operations, each a plain function from a
// request type to a response type or an error; the types are generated from
// AWS's published models, with what the model says in their tags. What a
// protocol is like is known here alone: a codec reads and writes those types
// by plans, which are made once, when a Handler is.
package wire

import (
	"context"
	"reflect"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/guard"
)

// Protocol is one of the protocols of the AWS APIs.
type Protocol int

const (
	JSON10 Protocol = iota + 1 // AWS JSON 1.0
	JSON11                     // AWS JSON 1.1
	Query                      // AWS query
	RESTJSON
	RESTXML
	CBOR // Smithy RPC v2 CBOR
)

func (p Protocol) String() string {
	return [...]string{"unknown", "AWS JSON 1.0", "AWS JSON 1.1", "query", "REST-JSON", "REST-XML", "RPC v2 CBOR"}[p]
}

// Model is what AWS publishes of a service. It is generated.
type Model struct {
	// Name is the service's in signatures, and the prefix of its actions in
	// policies: "iam". Endpoint is its prefix in host names, if that is another.
	Name, Endpoint string
	// Title is its name for people, Version that of the API.
	Title, Version string
	// Namespace is that of its XML; Target the prefix in X-Amz-Target.
	Namespace, Target string
	// QueryCompatible services have spoken query once, and tell their codes of
	// then with each error.
	QueryCompatible bool
	// S3 has ways of its own: its errors have no element around them, and a
	// bucket may stand in the host.
	S3        bool
	Protocols []Protocol
	Bindings  []Binding
	// Faults are its errors, by the names of their shapes.
	Faults map[string]Fault
	// Shapes are what tags refer to: constraints, and names in lists and maps.
	Shapes map[string]Shape
}

// Binding is how an operation is bound to HTTP. Method and Path are of the REST
// protocols: a path with labels, {Name}, of which one may take more segments
// than one, {Name+}, and with the query that has to be there, if any.
type Binding struct {
	Name, Method, Path string
	// Wants are what tells the operation from others of the same path:
	// parameters of the query ("?uploadId") and headers that it has to have.
	Wants []string
	// Status of success; 0 is 200.
	Status int
}

// Fault is an error as a model has it.
type Fault struct {
	// Code is the one of the query protocol and REST-XML, if it is not the
	// shape's name.
	Code   string
	Status int // 0 is 400, or 500 of a Receiver's
	// Receiver tells that it is not the caller's fault.
	Receiver bool
	// Message is the name of the member with the text, if it is not "message".
	Message string
	// Detail is the zero value of the type with the other members.
	Detail any
}

// Shape is what a model says of a string, number, blob, list or map. Length and
// Range are "min:max", with either left out.
type Shape struct {
	Length, Range string
	// Pattern is a regular expression as the model has it, for the whole value;
	// Match is the same in Go's syntax, where that is not able to read it.
	Pattern, Match string
	Enum           []string
	Sensitive      bool
	// Member, Key and Value are the shapes of what is in a list or map; the
	// names are those on the wire, where they are not the usual ones.
	Member, MemberName             string
	Key, KeyName, Value, ValueName string
	Flat                           bool
	// Time is the format of a timestamp: "iso8601", "unixTimestamp", "rfc822".
	Time string
}

// Level says how an operation is recorded in the audit log.
type Level = guard.Level

const (
	Read    = guard.Read
	Write   = guard.Write
	Session = guard.Session
	Data    = guard.Data
)

// Operation is how Gust carries out one operation of a model, or why it does
// not.
type Operation struct {
	Name  string
	Level Level
	// Open operations are not signed: what they carry is the credential.
	Open bool
	// Note says how it is carried out, or what to do instead.
	Note string
	// Run is made by Do. The zero Runner refuses.
	Run Runner
}

// CarriedOut tells whether it is, and not refused.
func (o *Operation) CarriedOut() bool { return o.Run.run != nil }

// Service is a table of operations.
type Service struct {
	*Model
	// Operations has each that the model has, once.
	Operations []Operation
	// Errors maps what the operations return to what the service answers; nil
	// is for errors that are not the service's: those are an internal failure.
	// It is not asked about an *Error.
	Errors func(error) *Error
	// MaxBody bounds a request's body, in bytes; 0 is DefaultMaxBody.
	MaxBody int64
	// Invalid is the service's own error for values that the model does not
	// allow; empty is the protocol's.
	Invalid string
	// Page is sections of docs/compatibility.md, in Markdown.
	Page string
}

// Refuse is for operations that are not carried out; note says what to do
// instead.
func Refuse(note string, names ...string) []Operation {
	ops := make([]Operation, len(names))
	for i, name := range names {
		ops[i] = Operation{Name: name, Note: note}
	}
	return ops
}

// Runner is a function that carries out an operation.
type Runner struct {
	in, out reflect.Type
	alloc   func() any
	needs   func(ctx context.Context, in any) ([]access.Need, error)
	run     func(ctx context.Context, in any) (any, error)
}

// Do makes a Runner of a function of a request and a response type; struct{} is
// for an operation that has none. needs says what has to be allowed before f
// runs; nil is nothing.
func Do[In, Out any](f func(context.Context, *In) (*Out, error), needs func(*In) []access.Need) Runner {
	if needs == nil {
		return DoFor(f, nil)
	}
	return DoFor(f, func(_ context.Context, in *In) ([]access.Need, error) { return needs(in), nil })
}

// DoFor is Do for what needs other rights by who asks, which guard.CallFrom
// tells. Its error refuses the request. Whatever takes a right has to say so
// here, and not ask within f: a call is on record once f runs, and who may
// nothing would write as many records as they like.
func DoFor[In, Out any](f func(context.Context, *In) (*Out, error), needs func(context.Context, *In) ([]access.Need, error)) Runner {
	r := Runner{in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](), alloc: func() any { return new(In) },
		run: func(ctx context.Context, in any) (any, error) {
			out, err := f(ctx, in.(*In))
			if err != nil {
				return nil, err
			}
			return out, nil
		}}
	if needs != nil {
		r.needs = func(ctx context.Context, in any) ([]access.Need, error) { return needs(ctx, in.(*In)) }
	}
	return r
}

// Or is what a member of a request points to, or missing where it was left out.
func Or[T any](member *T, missing T) T {
	if member == nil {
		return missing
	}
	return *member
}
