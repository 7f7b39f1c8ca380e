package conformance

import (
	"encoding/json"
	"regexp"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// What AWS's runtime interface emulator answers, read in its source
// (github.com/aws/aws-lambda-runtime-interface-emulator at 4fa2157, January
// 2026; it cannot be had as a Go module, so it does not run beside). The paths
// are below internal/lambda.

type exchange struct {
	Status int
	Type   string
	Body   string
}

// TestRuntimeAPI holds the Runtime API against the emulator's answers.
func TestRuntimeAPI(t *testing.T) {
	deploy(t, "testdata/golang", "golang")

	t.Run("headers of an event", func(t *testing.T) {
		// rapi/rendering/rendering.go, renderInvokeHeaders: what is empty is not
		// sent, and an event is application/json unless it says otherwise.
		// rie/handlers.go, InvokeHandler: the client context is decoded.
		context := `{"client":{"app_title":"suite"}}`
		out, err := sdk().Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("go-probe"),
			Payload: []byte(`{"do":"headers"}`), ClientContext: aws.String(encode(context))})
		if err != nil {
			t.Fatal(err)
		}
		got := decode[map[string][]string](t, out.Payload)
		id, _ := requestID(out.ResultMetadata)
		for name, want := range map[string]string{
			"Lambda-Runtime-Aws-Request-Id":       regexp.QuoteMeta(id),
			"Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:go-probe",
			"Lambda-Runtime-Deadline-Ms":          `[0-9]{13}`,
			"Lambda-Runtime-Trace-Id":             `Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=[01]`,
			"Lambda-Runtime-Client-Context":       regexp.QuoteMeta(context),
			"Content-Type":                        "application/json",
		} {
			if v := got[name]; len(v) != 1 || !regexp.MustCompile("^"+want+"$").MatchString(v[0]) {
				t.Errorf("%s is %q, want %s", name, v, want)
			}
		}
		for _, name := range []string{"Lambda-Runtime-Cognito-Identity", "Lambda-Runtime-Aws-Tenant-Id"} {
			if v, there := got[name]; there {
				t.Errorf("%s is %q, want none", name, v)
			}
		}
		if out := call(t, "go-probe", map[string]string{"do": "headers"}); decode[map[string][]string](t, out.Payload)["Lambda-Runtime-Client-Context"] != nil {
			t.Error("there is a client context, though none was given")
		}
	})

	t.Run("what each request is answered", func(t *testing.T) {
		if got := invoke[string](t, "go-probe", map[string]string{"do": "probe"}); got != "probed" {
			t.Errorf("the answer is %q, want the first that was accepted", got)
		}
		fails(t, "go-probe", map[string]string{"do": "error"})
		seen := invoke[map[string]exchange](t, "go-probe", map[string]string{"do": "report"})
		invalidID := exchange{400, "application/json", `{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}`}
		for name, want := range map[string]exchange{
			// rapi/rendering/rendering.go, RenderAccepted; rapi/handler/invocationresponse.go and invocationerror.go
			"response": {202, "application/json", `{"status":"OK"}`},
			"error":    {202, "application/json", `{"status":"OK"}`},
			// rapi/middleware/middleware.go, AwsRequestIDValidator; rapi/rendering/render_error.go, RenderInvalidRequestID
			"unknown id, response": invalidID,
			"unknown id, error":    invalidID,
			// rapi/handler/initerror.go; render_error.go, RenderForbiddenWithTypeMsg
			"init error after init": {403, "application/json", `"errorType":"InvalidStateTransition"`},
			// rapi/handler/invocationresponse.go: the state machine of core/states.go has gone on
			"response again":       {403, "application/json", `"errorType":"InvalidStateTransition"`},
			"error after response": {403, "application/json", `"errorType":"InvalidStateTransition"`},
			// rapi/router.go has no such path
			"unknown path": {404, "", ""},
		} {
			got := seen[name]
			if got.Status != want.Status || want.Type != "" && got.Type != want.Type || !sameJSON(got.Body, want.Body) {
				t.Errorf("%s: %+v, want %+v", name, got, want)
			}
		}
		if got := seen["stale invocation id"]; got.Status < 400 || got.Status > 499 {
			t.Errorf("a stale Lambda-Runtime-Invocation-Id was answered %+v", got)
		}
	})

	t.Run("a mode that there is not", func(t *testing.T) {
		// rapi/handler/invocationresponse.go; fatalerror/fatalerror.go
		if got := fails(t, "go-probe", map[string]string{"do": "mode"}); got.Type != "Runtime.InvalidResponseModeHeader" {
			t.Errorf("%+v", got)
		}
	})

	t.Run("a response that is too large", func(t *testing.T) {
		// interop/model.go, ErrorResponseTooLarge. The emulator allows 100 bytes
		// more than 6 MB; Lambda's documented limit is 6 MB.
		got := fails(t, "go-probe", map[string]string{"do": "large"})
		if got.Type != "Function.ResponseSizeTooLarge" ||
			!regexp.MustCompile(`^Response payload size \([0-9]+ bytes\) exceeded maximum allowed payload size \([0-9]+ bytes\)\.$`).MatchString(got.Message) {
			t.Errorf("%+v", got)
		}
		seen := invoke[map[string]exchange](t, "go-probe", map[string]string{"do": "report"})
		// render_error.go, RenderRequestEntityTooLarge
		if got := seen["too large"]; got.Status != 413 || !sameJSON(got.Body, `"errorType":"RequestEntityTooLarge"`) {
			t.Errorf("the program was answered %+v", got)
		}
	})

	t.Run("error documents", func(t *testing.T) {
		// rapi/handler/invocationerror.go: the document as the runtime sent it;
		// with causes, what is known of it (rapi/handler/mime_type_error_cause_json.go).
		for do, want := range map[string]string{
			"error": `{"errorMessage":"m","errorType":"t"}`,
			"cause": `{"errorMessage":"m","errorType":"t","stackTrace":["a","b"]}`,
		} {
			out := call(t, "go-probe", map[string]string{"do": do})
			if out.FunctionError == nil || !sameJSON(string(out.Payload), want) {
				t.Errorf("%s: %s, %v, want %s", do, out.Payload, aws.ToString(out.FunctionError), want)
			}
		}
	})

	t.Run("answers that are no JSON", func(t *testing.T) {
		// The emulator passes on whatever a runtime answers.
		if out := call(t, "go-probe", map[string]string{"do": "not json"}); string(out.Payload) != "neither JSON nor anything" || out.FunctionError != nil {
			t.Errorf("%q, %v", out.Payload, aws.ToString(out.FunctionError))
		}
		// Here the node differs: an error that is no document is put into one,
		// because clients parse errors.
		if got := fails(t, "go-probe", map[string]string{"do": "error, not json"}); got.Message != "no document" {
			t.Errorf("%+v", got)
		}
	})

	t.Run("an exit", func(t *testing.T) {
		// rapid/handlers.go and interop/model.go, GetErrorResponseWithFormattedErrorMessage
		for status, want := range map[int]string{0: "without providing a reason", 42: "with error: exit status 42"} {
			out := call(t, "go-handler", map[string]any{"do": "exit", "n": status})
			id, _ := requestID(out.ResultMetadata)
			got := document(t, aws.ToString(out.FunctionError), out.Payload)
			if got.Type != "Runtime.ExitError" || got.Message != "RequestId: "+id+" Error: Runtime exited "+want {
				t.Errorf("status %d: %+v", status, got)
			}
		}
	})

	t.Run("an init that fails", func(t *testing.T) {
		// rie/handlers.go: the init error is the answer of the invocation.
		dir := t.TempDir()
		write(t, dir+"/fail/main.go", []byte("package main\n\nimport \"os\"\n\nfunc main() { println(\"no luck\"); os.Exit(5) }\n"), 0o644)
		write(t, dir+"/fail/go.mod", []byte("module example.com/fail\n\ngo 1.26.0\n"), 0o644)
		manifest(t, dir, "app: failing\nfunctions:\n  init-fails: {runtime: go, source: ./fail}\n")
		deploy(t, dir, "failing")
		got := fails(t, "init-fails", map[string]any{})
		if got.Type != "Runtime.ExitError" || !regexp.MustCompile(`exit status 5$`).MatchString(got.Message) {
			t.Errorf("%+v", got)
		}
	})
}

// sameJSON compares documents; want may be a member that has to be in got.
func sameJSON(got, want string) bool {
	if want == "" {
		return true
	}
	if want[0] != '{' {
		return regexp.MustCompile(regexp.QuoteMeta(want)).MatchString(got)
	}
	var a, b any
	if json.Unmarshal([]byte(got), &a) != nil || json.Unmarshal([]byte(want), &b) != nil {
		return got == want
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}
