package conformance

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go/middleware"
)

// connections are shared by all clients, or each would keep its own open.
var connections = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}

// sdk is AWS's client for Go, with what `gust env` says and nothing else.
func sdk(change ...func(*lambda.Options)) *lambda.Client {
	return lambda.New(lambda.Options{
		BaseEndpoint: aws.String(shared.env["AWS_ENDPOINT_URL"]),
		Region:       shared.env["AWS_REGION"],
		Credentials:  credentials.NewStaticCredentialsProvider(shared.env["AWS_ACCESS_KEY_ID"], shared.env["AWS_SECRET_ACCESS_KEY"], ""),
		Retryer:      aws.NopRetryer{},
		HTTPClient:   connections,
	}, change...)
}

// invoke runs a function that has to answer, and decodes its answer.
func invoke[T any](t *testing.T, function string, event any) T {
	t.Helper()
	out := call(t, function, event)
	if out.FunctionError != nil {
		t.Fatalf("%s failed (%s): %s\n%s", function, *out.FunctionError, out.Payload, tail(t, out))
	}
	var v T
	if err := json.Unmarshal(out.Payload, &v); err != nil {
		t.Fatalf("%s answered %.500q: %v", function, out.Payload, err)
	}
	return v
}

// failure is Lambda's error document.
type failure struct {
	Kind, Type, Message string
	Trace               any
}

// fails runs a function that has to fail.
func fails(t *testing.T, function string, event any) failure {
	t.Helper()
	out := call(t, function, event)
	if out.FunctionError == nil {
		t.Fatalf("%s answered %.500s, and should have failed", function, out.Payload)
	}
	return document(t, *out.FunctionError, out.Payload)
}

func document(t *testing.T, kind string, payload []byte) failure {
	t.Helper()
	var doc struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
		Trace   any    `json:"stackTrace"`
		Node    any    `json:"trace"` // as Lambda's runtime for Node calls it
	}
	if err := json.Unmarshal(payload, &doc); err != nil {
		t.Fatalf("the error document %.500q: %v", payload, err)
	}
	if doc.Trace == nil {
		doc.Trace = doc.Node
	}
	return failure{kind, doc.Type, doc.Message, doc.Trace}
}

func call(t *testing.T, function string, event any) *lambda.InvokeOutput {
	t.Helper()
	payload, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	out, err := sdk().Invoke(t.Context(), &lambda.InvokeInput{
		FunctionName: aws.String(function), Payload: payload, LogType: types.LogTypeTail,
	})
	if err != nil {
		t.Fatalf("invoking %s: %v", function, err)
	}
	if out.StatusCode != 200 {
		t.Fatalf("invoking %s: the status is %d", function, out.StatusCode)
	}
	return out
}

// tail is the end of the invocation's log.
func tail(t *testing.T, out *lambda.InvokeOutput) string {
	t.Helper()
	if out.LogResult == nil {
		return ""
	}
	text, err := base64.StdEncoding.DecodeString(*out.LogResult)
	if err != nil {
		t.Fatalf("the log tail: %v", err)
	}
	return string(text)
}

// streamed runs a function by InvokeWithResponseStream, and returns what came
// and the failure it ended in.
func streamed(t *testing.T, function string, event any) ([]byte, *types.InvokeWithResponseStreamCompleteEvent) {
	t.Helper()
	payload, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	out, err := sdk().InvokeWithResponseStream(t.Context(), &lambda.InvokeWithResponseStreamInput{
		FunctionName: aws.String(function), Payload: payload,
	})
	if err != nil {
		t.Fatalf("invoking %s: %v", function, err)
	}
	stream := out.GetStream()
	defer stream.Close()
	var body []byte
	var complete *types.InvokeWithResponseStreamCompleteEvent
	for e := range stream.Events() {
		switch e := e.(type) {
		case *types.InvokeWithResponseStreamResponseEventMemberPayloadChunk:
			body = append(body, e.Value.Payload...)
		case *types.InvokeWithResponseStreamResponseEventMemberInvokeComplete:
			complete = &e.Value
		default:
			t.Fatalf("%s: an event of type %T", function, e)
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatalf("%s: the stream ended with %v", function, err)
	}
	if complete == nil {
		t.Fatalf("%s: the stream ended without its last event", function)
	}
	return body, complete
}

func encode(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func decode[T any](t *testing.T, doc []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(doc, &v); err != nil {
		t.Fatalf("%.500q: %v", doc, err)
	}
	return v
}

// requestID is what the SDK found in the answer's headers.
func requestID(m middleware.Metadata) (string, bool) {
	return awsmiddleware.GetRequestIDMetadata(m)
}
