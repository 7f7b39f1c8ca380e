package lambda

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/aws/wire"
	"github.com/gust-dev/gust/internal/invoke"
)

// chunkSize bounds a PayloadChunk.
const chunkSize = 64 << 10

// event is the API's InvokeWithResponseStreamResponseEvent.
type event = InvokeWithResponseStreamResponseEvent

// invokeStream is the operation InvokeWithResponseStream: the answer as it comes
// in messages PayloadChunk, and how it ended in InvokeComplete. A function that
// does not stream is answered with its whole answer in chunks.
func (s *server) invokeStream(ctx context.Context, r *InvokeWithResponseStreamRequest) (*InvokeWithResponseStreamResponse, error) {
	in, err := s.prepare(ctx, &asked{function: r.FunctionName, qualifier: r.Qualifier, kind: r.InvocationType, logs: r.LogType,
		context: r.ClientContext, tenant: r.TenantId, payload: r.Payload, durable: header(ctx, "X-Amz-Durable-Execution-Name")}, requestResponse, dryRun)
	if err != nil {
		return nil, err
	}
	if in.kind == dryRun {
		return &InvokeWithResponseStreamResponse{StatusCode: new(int32(http.StatusNoContent))}, nil
	}
	resp, err := s.Invoker.Invoke(ctx, &in.request)
	if err != nil {
		return nil, err
	}
	if resp.Error != nil && resp.Error.Outcome == gust.OutcomeSandbox {
		return nil, resp.Error
	}
	in.trace(ctx)
	return &InvokeWithResponseStreamResponse{ExecutedVersion: in.version(resp), EventStream: func(yield func(*event, error) bool) {
		fe, left := resp.Error, false
		if fe == nil {
			fe, left = chunks(resp.Result, func(p []byte) bool {
				return yield(&event{PayloadChunk: &InvokeResponseStreamUpdate{Payload: p}}, nil)
			})
		}
		if !left {
			yield(&event{InvokeComplete: complete(resp, fe)}, nil)
		}
	}}, nil
}

// header is a header that the operation's model does not have, or nil.
func header(ctx context.Context, name string) *string {
	if v := wire.RequestHeader(ctx)[name]; len(v) > 0 {
		return &v[0]
	}
	return nil
}

// complete is how an invocation ended.
func complete(resp *invoke.Response, fe *gust.FunctionError) *InvokeWithResponseStreamCompleteEvent {
	end := &InvokeWithResponseStreamCompleteEvent{}
	if len(resp.LogTail) > 0 {
		end.LogResult = new(base64.StdEncoding.EncodeToString(resp.LogTail))
	}
	if fe != nil {
		end.ErrorCode, end.ErrorDetails = &fe.Type, new(string(fe.Document()))
		if fe.Type == "" {
			end.ErrorCode = new("Unhandled")
		}
	}
	return end
}

// chunks sends a function's answer, as it comes, and returns how it broke off,
// if it did, or that whoever asked has left. A chunk is good until send returns.
func chunks(res *gust.Result, send func([]byte) bool) (broke *gust.FunctionError, left bool) {
	if res.Stream == nil {
		for p := res.Payload; len(p) > 0; {
			n := min(len(p), chunkSize)
			if !send(p[:n]) {
				return nil, true
			}
			p = p[n:]
		}
		return nil, false
	}
	defer res.Stream.Close() //nolint:errcheck // it is read to its end, or given up
	chunk := make([]byte, chunkSize)
	for {
		n, err := res.Stream.Read(chunk)
		if n > 0 && !send(chunk[:n]) {
			return nil, true
		}
		if err == io.EOF {
			return nil, false
		}
		if err != nil {
			return functionError(err), false
		}
	}
}
