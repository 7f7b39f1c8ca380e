// Command handler is a function written with aws-lambda-go. Its event says what
// it does; an HTTP event is answered with what was understood of it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// refusal is an error type of the function's own.
type refusal struct{ reason string }

func (r *refusal) Error() string { return r.reason }

func main() { lambda.Start(handle) }

func handle(ctx context.Context, raw json.RawMessage) (any, error) {
	var event struct {
		Do   string `json:"do"`
		Text string `json:"text"`
		N    int    `json:"n"`
	}
	if err := json.Unmarshal(raw, &event); err != nil {
		return map[string]json.RawMessage{"event": raw}, nil
	}
	switch event.Do {
	case "context":
		return about(ctx), nil
	case "environ":
		return os.Environ(), nil
	case "error":
		return nil, errors.New(event.Text)
	case "refuse":
		return nil, &refusal{event.Text}
	case "panic":
		panic(event.Text)
	case "exit":
		os.Exit(event.N)
	case "sleep":
		time.Sleep(time.Duration(event.N) * time.Millisecond)
	case "large":
		return strings.Repeat("x", event.N-2), nil
	case "print":
		for i := range event.N {
			fmt.Printf("%s %d\n", event.Text, i)
		}
	case "nothing":
		return nil, nil
	}
	var request events.APIGatewayV2HTTPRequest
	if json.Unmarshal(raw, &request) == nil && request.Version == "2.0" {
		return answer(request)
	}
	return map[string]json.RawMessage{"event": raw}, nil
}

// about is what the context says.
func about(ctx context.Context) map[string]any {
	lc, _ := lambdacontext.FromContext(ctx)
	deadline, ok := ctx.Deadline()
	return map[string]any{
		"request_id": lc.AwsRequestID, "arn": lc.InvokedFunctionArn,
		"client": lc.ClientContext, "cognito": lc.Identity,
		"deadline": ok, "left_ms": time.Until(deadline).Milliseconds(),
		"trace": os.Getenv("_X_AMZN_TRACE_ID"), "trace_value": ctx.Value("x-amzn-trace-id"),
		"function": lambdacontext.FunctionName, "version": lambdacontext.FunctionVersion,
		"memory": lambdacontext.MemoryLimitInMB,
	}
}

// answer uses every part of a response.
func answer(request events.APIGatewayV2HTTPRequest) (any, error) {
	switch request.QueryStringParameters["as"] {
	case "text":
		return "only text", nil
	case "binary":
		return events.APIGatewayV2HTTPResponse{StatusCode: 200, Body: "AAECAw==", IsBase64Encoded: true,
			Headers: map[string]string{"Content-Type": "application/octet-stream"}}, nil
	case "cookies":
		return events.APIGatewayV2HTTPResponse{StatusCode: 201, Cookies: []string{"a=1; Path=/", "b=2"},
			Headers: map[string]string{"X-Own": "yes"}}, nil
	case "error":
		return nil, errors.New("no answer")
	}
	return request, nil
}
