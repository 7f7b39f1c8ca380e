package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
)

// TestSDK drives the API with AWS's SDK for Go beyond plain invocations.
func TestSDK(t *testing.T) {
	deploy(t, "testdata/golang", "golang")

	t.Run("too many at once", func(t *testing.T) {
		// go-one may run once at a time.
		errs := make(chan error, 4)
		for range cap(errs) {
			go func() {
				_, err := sdk().Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("go-one"), Payload: []byte(`{"do":"sleep","n":1000}`)})
				errs <- err
			}()
		}
		ran := 0
		for range cap(errs) {
			err := <-errs
			var refused *types.TooManyRequestsException
			switch {
			case err == nil:
				ran++
			case !errors.As(err, &refused):
				t.Errorf("%v, want TooManyRequestsException", err)
			case refused.Reason != types.ThrottleReasonReservedFunctionConcurrentInvocationLimitExceeded:
				t.Errorf("the reason is %q", refused.Reason)
			}
		}
		if ran != 1 {
			t.Errorf("%d of %d ran at once, want 1", ran, cap(errs))
		}
	})

	t.Run("an event that nobody waits for", func(t *testing.T) {
		mark := "async " + time.Now().Format(time.RFC3339Nano)
		payload, _ := json.Marshal(map[string]any{"do": "print", "n": 1, "text": mark})
		out, err := sdk().Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("go-handler"), Payload: payload, InvocationType: types.InvocationTypeEvent})
		if err != nil || out.StatusCode != 202 || len(out.Payload) != 0 {
			t.Fatalf("%+v, %v", out, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		waitForLog(t, ctx, "go-handler", mark)
	})

	t.Run("dry run", func(t *testing.T) {
		out, err := sdk().Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("go-handler"), InvocationType: types.InvocationTypeDryRun})
		if err != nil || out.StatusCode != 204 {
			t.Errorf("%+v, %v", out, err)
		}
	})

	t.Run("names", func(t *testing.T) {
		for _, name := range []string{"go-handler", "arn:aws:lambda:us-east-1:000000000000:function:go-handler", "000000000000:function:go-handler",
			"function:go-handler", "arn:aws:lambda:us-east-1:000000000000:function:go-handler:$LATEST", "go-handler:$LATEST"} {
			if strings.HasPrefix(name, "function:") {
				continue // no form that Lambda has
			}
			if _, err := sdk().Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String(name), Payload: []byte("1")}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		var missing *types.ResourceNotFoundException
		if _, err := sdk().Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("nobody")}); !errors.As(err, &missing) {
			t.Errorf("a function that is not there gives %v", err)
		}
	})

	t.Run("events that cannot be", func(t *testing.T) {
		var large *types.RequestTooLargeException
		var content *types.InvalidRequestContentException
		if _, err := sdk().Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("go-handler"), Payload: []byte("{")}); !errors.As(err, &content) {
			t.Errorf("half a document gives %v", err)
		}
		document := []byte(`"` + strings.Repeat("x", 6<<20) + `"`)
		if _, err := sdk().Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("go-handler"), Payload: document}); !errors.As(err, &large) {
			t.Errorf("more than 6 MB give %v", err)
		}
		if _, err := sdk().Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("go-handler"), Payload: document[:len(document)/2], InvocationType: types.InvocationTypeEvent}); err == nil {
			t.Error("an asynchronous event of 3 MB was taken")
		}
	})

	t.Run("credentials", func(t *testing.T) {
		for name, key := range map[string][2]string{
			"another secret": {shared.env["AWS_ACCESS_KEY_ID"], "wrong"},
			"another key":    {"AKIAIOSFODNN7EXAMPLE", shared.env["AWS_SECRET_ACCESS_KEY"]},
		} {
			client := sdk(func(o *lambda.Options) {
				o.Credentials = credentials.NewStaticCredentialsProvider(key[0], key[1], "")
			})
			_, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("go-handler")})
			var api smithy.APIError
			if !errors.As(err, &api) || strings.Contains(api.ErrorMessage(), shared.env["AWS_SECRET_ACCESS_KEY"]) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})

	t.Run("what there is", func(t *testing.T) {
		got, err := sdk().GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: aws.String("go-handler")})
		if err != nil || aws.ToString(got.Configuration.FunctionName) != "go-handler" || aws.ToInt32(got.Configuration.Timeout) != 3 || aws.ToInt32(got.Configuration.MemorySize) != 128 {
			t.Errorf("%+v, %v", got, err)
		}
		found := map[string]bool{}
		pages := lambda.NewListFunctionsPaginator(sdk(), &lambda.ListFunctionsInput{MaxItems: aws.Int32(2)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range page.Functions {
				found[aws.ToString(f.FunctionName)] = true
			}
		}
		for _, name := range []string{"go-handler", "go-stream", "go-url", "go-web"} {
			if !found[name] {
				t.Errorf("%s is not listed among %v", name, found)
			}
		}
	})

	t.Run("an operation that there is not", func(t *testing.T) {
		_, err := sdk().CreateFunction(t.Context(), &lambda.CreateFunctionInput{FunctionName: aws.String("x"), Role: aws.String("arn:aws:iam::000000000000:role/x"),
			Code: &types.FunctionCode{ZipFile: []byte("zip")}})
		var api smithy.APIError
		if !errors.As(err, &api) || !strings.Contains(api.ErrorMessage(), "CreateFunction") {
			t.Errorf("%v, want a refusal that names the operation", err)
		}
	})
}

// waitForLog follows the function's log until a line has this text.
func waitForLog(t *testing.T, ctx context.Context, function, text string) {
	t.Helper()
	for ctx.Err() == nil {
		out, err := shared.gust(ctx, "logs", function, "--json", "--since", "5m")
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(out, []byte(text)) {
			return
		}
	}
	t.Fatalf("%q is not in the log of %s", text, function)
}

// TestCommandLine drives the API with AWS's command line, given nothing but what
// `gust env` prints.
func TestCommandLine(t *testing.T) {
	program := need(t, "../.cache/conformance/clients/bin/aws")
	deploy(t, "testdata/golang", "golang")
	// No configuration of whoever runs the tests.
	home := t.TempDir()
	env := []string{"HOME=" + home, "AWS_PAGER="}
	for k, v := range shared.env {
		env = append(env, k+"="+v)
	}
	answer := filepath.Join(home, "answer.json")
	out := run(t, home, env, program, "lambda", "invoke", "--function-name", "go-handler", "--payload", `{"from":"the command line"}`, "--log-type", "Tail", answer)
	meta := decode[struct {
		StatusCode int
		LogResult  string
	}](t, out)
	got, err := os.ReadFile(answer)
	if err != nil || string(got) != `{"event":{"from":"the command line"}}` || meta.StatusCode != 200 || meta.LogResult == "" {
		t.Errorf("%s, %s, %v", got, out, err)
	}
	out = run(t, home, env, program, "lambda", "invoke", "--function-name", "go-handler", "--payload", `{"do":"error","text":"no answer"}`, answer)
	if got, _ := os.ReadFile(answer); !strings.Contains(string(out), `"FunctionError": "Unhandled"`) || !strings.Contains(string(got), "no answer") {
		t.Errorf("%s, %s", got, out)
	}
	out = run(t, home, env, program, "lambda", "list-functions", "--query", "Functions[].FunctionName")
	if !strings.Contains(string(out), `"go-handler"`) {
		t.Errorf("%s", out)
	}
}

// TestBoto3 drives the API with AWS's SDK for Python, streaming included.
func TestBoto3(t *testing.T) {
	python := need(t, "../.cache/conformance/clients/bin/python")
	deploy(t, "testdata/golang", "golang")
	env := []string{"HOME=" + t.TempDir()}
	for k, v := range shared.env {
		env = append(env, k+"="+v)
	}
	got := decode[struct {
		Answer, Error, Stream, Missing, Throttled string
		Status                                    int
	}](t, run(t, ".", env, python, "testdata/python/client.py"))
	if got.Status != 200 || got.Answer != `{"event":{"from":"boto3"}}` || got.Error != "Unhandled: no answer" ||
		got.Stream != pieces(50) || got.Missing != "ResourceNotFoundException" {
		t.Errorf("%+v", got)
	}
}
