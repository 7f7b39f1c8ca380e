//go:build unix

package none_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// The test binary is also the program that the tests start, so that nothing
// has to be built.
func TestMain(m *testing.M) {
	switch os.Getenv("PROGRAM") {
	case "":
		os.Exit(m.Run())
	case "lambda":
		lambda.Start(handle)
	case "sigterm":
		lambda.StartWithOptions(handle, lambda.WithEnableSIGTERM(func() {
			fmt.Println("asked to end")
			os.Exit(0)
		}))
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		lambda.Start(handle)
	case "init-panic":
		fmt.Println("about to fail")
		panic("cannot begin")
	case "init-error":
		fmt.Println("reading the configuration")
		resp, err := http.Post("http://"+os.Getenv("AWS_LAMBDA_RUNTIME_API")+"/2018-06-01/runtime/init/error", "application/json",
			strings.NewReader(`{"errorType":"Config.Missing","errorMessage":"there is no configuration"}`))
		if err == nil {
			resp.Body.Close()
		}
		os.Exit(1)
	case "silent":
		select {}
	case "http":
		serve()
	}
}

type event struct {
	Do string `json:"do"`
	N  int    `json:"n"`
}

func handle(ctx context.Context, e event) (any, error) {
	switch e.Do {
	case "context":
		lc, _ := lambdacontext.FromContext(ctx)
		deadline, _ := ctx.Deadline()
		return map[string]any{
			"id": lc.AwsRequestID, "arn": lc.InvokedFunctionArn, "deadline": deadline.UnixMilli(),
			"trace": os.Getenv("_X_AMZN_TRACE_ID"), "client": lc.ClientContext.Custom, "identity": lc.Identity.CognitoIdentityID,
		}, nil
	case "print":
		for i := range e.N {
			fmt.Println("line", i)
		}
		return "printed", nil
	case "error":
		return nil, errors.New("it did not work")
	case "panic":
		panic("it broke")
	case "exit":
		fmt.Print("last words")
		os.Exit(e.N)
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGSEGV)
		select {}
	case "sleep":
		time.Sleep(time.Duration(e.N) * time.Millisecond)
		return "slept", nil
	case "big":
		return strings.Repeat("x", e.N), nil
	case "stream":
		r, w := io.Pipe()
		go func() {
			for i := range e.N {
				fmt.Fprintf(w, "part %d\n", i)
			}
			fmt.Println("streamed")
			w.Close()
		}()
		return &streamed{r}, nil
	case "stream-error":
		r, w := io.Pipe()
		go func() {
			fmt.Fprint(w, "half")
			w.CloseWithError(errors.New("the other half is missing"))
		}()
		return &streamed{r}, nil
	case "stream-stall":
		r, w := io.Pipe()
		go fmt.Fprint(w, "half")
		return &streamed{r}, nil
	case "variables":
		got := map[string]string{}
		for _, v := range os.Environ() {
			name, value, _ := strings.Cut(v, "=")
			got[name] = value
		}
		return got, nil
	case "tmp":
		name := os.Getenv("TMPDIR") + "/file"
		return name, os.WriteFile(name, []byte("x"), 0o600)
	case "orphan":
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		return cmd.Process.Pid, nil
	case "allocate":
		b := make([]byte, e.N)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		return len(b), nil
	}
	return e, nil
}

// streamed is what aws-lambda-go streams.
type streamed struct{ io.Reader }

func (streamed) ContentType() string { return "application/vnd.awslambda.http-integration-response" }

func (streamed) MarshalJSON() ([]byte, error) { return nil, errors.New("it is a stream") }

func serve() {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("echo")
		b, _ := io.ReadAll(r.Body)
		json.NewEncoder(w).Encode(map[string]any{"method": r.Method, "host": r.Host, "path": r.URL.RequestURI(), "headers": r.Header, "body": string(b)})
	})
	mux.HandleFunc("/exit", func(w http.ResponseWriter, r *http.Request) { os.Exit(3) })
	mux.HandleFunc("/half", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "half")
		w.(http.Flusher).Flush()
		os.Exit(3)
	})
	polls := 0
	mux.HandleFunc("/ready", func(w http.ResponseWriter, r *http.Request) {
		if polls++; polls < 3 {
			w.WriteHeader(503)
		}
		w.Header().Set("Polls", strconv.Itoa(polls))
	})
	http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), mux)
}
