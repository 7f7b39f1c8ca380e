package lambda

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/aws/wire"
	"github.com/gust-dev/gust/internal/invoke"
	"github.com/gust-dev/gust/internal/observe"
)

// Types of invocations.
const (
	requestResponse = "RequestResponse"
	eventType       = "Event"
	dryRun          = "DryRun"
)

// invocation is what Invoke and InvokeWithResponseStream have in common.
type invocation struct {
	kind     string
	function *gust.Function
	request  invoke.Request
}

// asked is what both operations have as their parameters.
type asked struct {
	function                                        string
	qualifier, kind, logs, context, tenant, durable *string
	payload                                         []byte
}

// prepare checks everything about an invocation. kinds are the types of
// invocations that there are.
func (s *server) prepare(ctx context.Context, a *asked, kinds ...string) (*invocation, error) {
	f, n, err := s.function(a.function, a.qualifier)
	if err != nil {
		return nil, err
	}
	in := &invocation{function: f, request: invoke.Request{
		Function: f.Name, Qualifier: n.qualifier, Source: "invoke", RequestID: wire.RequestID(ctx),
	}}
	if in.kind, err = oneOf("X-Amz-Invocation-Type", a.kind, kinds...); err != nil {
		return nil, err
	}
	logs, err := oneOf("X-Amz-Log-Type", a.logs, "None", "Tail")
	if err != nil {
		return nil, err
	}
	in.request.Tail = logs == "Tail"
	if a.tenant != nil {
		return nil, invalid("X-Amz-Tenant-Id is there, and tenants are not part of this version of Gust: leave it out")
	}
	if a.durable != nil {
		return nil, invalid("X-Amz-Durable-Execution-Name is there, and durable executions are not part of this version of Gust: leave it out")
	}
	if f.Runtime == gust.RuntimeHTTP {
		return nil, invalid("the function %s has the runtime http, which answers HTTP requests and has no events: call it through one of its routes%s",
			f.Name, s.routesOf(f.Name))
	}
	// Lambda hands the client context to synchronous invocations only.
	if a.context != nil {
		if in.request.ClientContext, err = clientContext(*a.context); err != nil {
			return nil, err
		}
	}
	limit, limitName := int64(gust.MaxSyncPayload), "6 MB"
	if in.kind == eventType {
		in.request.ClientContext, in.request.Source = "", "async"
		limit, limitName = gust.MaxAsyncPayload, "1 MB"
	}
	in.request.TraceID, _ = observe.TraceFrom(wire.RequestHeader(ctx))
	in.request.Payload, err = checkPayload(a.payload, limit, limitName)
	return in, err
}

// oneOf is the value of a header that has to be one of values, the first of
// which it is when it is not there.
func oneOf(header string, value *string, values ...string) (string, error) {
	if value == nil || *value == "" {
		return values[0], nil
	}
	if slices.Contains(values, *value) {
		return *value, nil
	}
	return "", invalid("%s is %.120q: it may be one of %v", header, *value, values)
}

// routesOf names the routes to a function, for people.
func (s *server) routesOf(function string) string {
	text := ""
	for _, r := range s.Catalog.Snapshot().Routes {
		if r.Function != function {
			continue
		}
		if len(text) > 200 {
			return text + ", ..."
		}
		if text == "" {
			text = ": "
		} else {
			text += ", "
		}
		text += r.Key()
	}
	return text
}

// clientContext decodes the client context, a JSON object in base64.
func clientContext(v string) (string, error) {
	if v == "" {
		return "", nil
	}
	if len(v) > gust.MaxClientContext {
		return "", invalid("X-Amz-Client-Context has %d bytes, over the limit of %d", len(v), gust.MaxClientContext)
	}
	doc, err := base64.StdEncoding.DecodeString(v)
	if err != nil || !json.Valid(doc) || bytes.TrimLeft(doc, " \t\r\n")[0] != '{' {
		return "", fault("InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object.")
	}
	// It is handed on in a header, where no line breaks may be.
	var compact bytes.Buffer
	if err := json.Compact(&compact, doc); err != nil {
		return "", err
	}
	return compact.String(), nil
}

// checkPayload holds an event to its limit and to being JSON; none is the empty
// object, as in Lambda.
func checkPayload(body []byte, limit int64, limitName string) ([]byte, error) {
	if int64(len(body)) > limit {
		return nil, fault("RequestTooLargeException",
			fmt.Sprintf("Request must be smaller than %d bytes (%s) for this operation and invocation type", limit, limitName))
	}
	if len(body) == 0 {
		return []byte("{}"), nil
	}
	if !json.Valid(body) {
		var ignored json.RawMessage
		return nil, fault("InvalidRequestContentException", fmt.Sprintf("Could not parse request body into json: %v", json.Unmarshal(body, &ignored)))
	}
	return body, nil
}

// invoke is the operation Invoke.
func (s *server) invoke(ctx context.Context, r *InvocationRequest) (*InvocationResponse, error) {
	in, err := s.prepare(ctx, &asked{function: r.FunctionName, qualifier: r.Qualifier, kind: r.InvocationType, logs: r.LogType,
		context: r.ClientContext, tenant: r.TenantId, durable: r.DurableExecutionName, payload: r.Payload}, requestResponse, eventType, dryRun)
	if err != nil {
		return nil, err
	}
	switch in.kind {
	case dryRun:
		return &InvocationResponse{StatusCode: new(int32(http.StatusNoContent))}, nil
	case eventType:
		if _, err := s.Invoker.InvokeAsync(ctx, &in.request); err != nil {
			return nil, err
		}
		return &InvocationResponse{StatusCode: new(int32(http.StatusAccepted))}, nil
	}
	resp, err := s.Invoker.Invoke(ctx, &in.request)
	if err != nil {
		return nil, err
	}
	out := &InvocationResponse{ExecutedVersion: in.version(resp)}
	var fe *gust.FunctionError
	if out.Payload, fe = wholeAnswer(resp); fe != nil {
		if fe.Outcome == gust.OutcomeSandbox {
			return nil, fmt.Errorf("the function %s could not be run: %w", in.function.Name, fe)
		}
		out.Payload, out.FunctionError = fe.Document(), new("Unhandled")
	}
	if in.request.Tail {
		out.LogResult = new(base64.StdEncoding.EncodeToString(resp.LogTail))
	}
	in.trace(ctx)
	wire.ResponseHeader(ctx).Set("Content-Type", "application/json")
	return out, nil
}

// version is the one that ran.
func (in *invocation) version(resp *invoke.Response) *string {
	if resp.Version == 0 { // it did not come to run
		return new(strconv.FormatUint(in.function.Version, 10))
	}
	return new(strconv.FormatUint(resp.Version, 10))
}

// trace says in which trace it ran.
func (in *invocation) trace(ctx context.Context) {
	if in.request.TraceID != "" {
		wire.ResponseHeader(ctx)["X-Amzn-Trace-Id"] = []string{in.request.TraceID}
	}
}

// wholeAnswer is a function's answer in one piece, read to its end if the
// function streams, or why there is none.
func wholeAnswer(resp *invoke.Response) ([]byte, *gust.FunctionError) {
	switch {
	case resp.Error != nil:
		return nil, resp.Error
	case resp.Result.Stream == nil:
		return resp.Result.Payload, nil
	}
	defer resp.Result.Stream.Close() //nolint:errcheck // it is read to its end, or given up
	var buf bytes.Buffer
	_, err := buf.ReadFrom(io.LimitReader(resp.Result.Stream, gust.MaxSyncPayload+1))
	if err != nil {
		return nil, functionError(err)
	}
	if buf.Len() > gust.MaxSyncPayload {
		return nil, &gust.FunctionError{Outcome: gust.OutcomeSize, Type: "Function.ResponseSizeTooLarge",
			Message: fmt.Sprintf("the streamed answer is over the limit of 6 MB (%d bytes) of Invoke: InvokeWithResponseStream takes up to 200 MB", gust.MaxSyncPayload)}
	}
	return buf.Bytes(), nil
}

// functionError is how a stream ended that broke off.
func functionError(err error) *gust.FunctionError {
	if fe := (*gust.FunctionError)(nil); errors.As(err, &fe) {
		return fe
	}
	return &gust.FunctionError{Outcome: gust.OutcomeProtocol, Type: "Runtime.StreamError", Message: err.Error()}
}
