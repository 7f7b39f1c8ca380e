// Command actor does what it is told: as a function on the Runtime API by its
// event, as an http function (where PORT is set) by the path and query that it
// is asked for. INIT in its environment says what it does before it is ready:
//
//	exit          prints why, and ends with status 4
//	crash         dies of a signal
//	sleep DURATION
//	eat           uses memory until it is ended
//	api           asks for credentials, and says what came
//
// and what it is told later is
//
//	do=           answers who it is and what it was given
//	do=sleep      takes its time: for=DURATION
//	do=wait       waits until the process is sent SIGUSR1
//	do=error      answers with an error
//	do=exit       ends with status 3
//	do=crash      dies of a signal
//	do=eat        uses memory until it is ended
//	do=fork       starts processes until it may not, and says how many it had
//	do=large      answers with more than 6 MB
//	do=fill       fills its /tmp, and says how it ended
//	do=api        asks the node's API for path=, and says what it answered;
//	              with=token shows the environment's token, with=TEXT another,
//	              for=DURATION waits before
//	do=hold       keeps connections to the node's API, and says how many
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/coder/websocket"
)

type event struct {
	events.APIGatewayV2HTTPRequest
	Do  string `json:"do"`
	For string `json:"for"`
	Say string `json:"say"`
	// Path and With are of do=api.
	Path string `json:"path"`
	With string `json:"with"`
}

// answer says who answers, and what it was given.
type answer struct {
	Generation  string            `json:"generation"`
	Version     string            `json:"version,omitempty"`
	Environment string            `json:"environment"`
	Request     string            `json:"request"`
	Trace       string            `json:"trace"`
	Headers     map[string]string `json:"headers,omitempty"`
	Processes   int               `json:"processes,omitempty"`
	Text        string            `json:"text,omitempty"`
}

// letGo ends one do=wait, or one /web/hold.
var letGo = make(chan os.Signal, 1)

func main() {
	signal.Notify(letGo, syscall.SIGUSR1)
	if os.Getenv("ACTOR_CHILD") != "" {
		time.Sleep(time.Minute)
		return
	}
	what, arg, _ := strings.Cut(os.Getenv("INIT"), " ")
	switch what {
	case "exit":
		fmt.Println("cannot find my configuration")
		os.Exit(4)
	case "crash":
		crash()
	case "sleep":
		pause(arg)
	case "eat":
		eat()
	case "api":
		fmt.Println("as it starts", ask(context.Background(), "/_gust/credentials", "token"))
	}
	if port := os.Getenv("PORT"); port != "" {
		serve(port)
		return
	}
	lambda.Start(handle)
}

func handle(ctx context.Context, e event) (*answer, error) {
	query := e.QueryStringParameters
	a := &answer{
		Generation:  os.Getenv("GENERATION"),
		Version:     os.Getenv("AWS_LAMBDA_FUNCTION_VERSION"),
		Environment: os.Getenv("AWS_LAMBDA_LOG_STREAM_NAME"),
		Trace:       os.Getenv("_X_AMZN_TRACE_ID"),
		Headers:     e.Headers,
	}
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		a.Request = lc.AwsRequestID
	}
	fmt.Println("begun", a.Request, e.Say)
	if e.Do == "api" {
		pause(cmp.Or(e.For, "0s"))
		a.Text = ask(ctx, e.Path, e.With)
		return a, nil
	}
	return act(a, cmp.Or(e.Do, query["do"]), cmp.Or(e.For, query["for"]))
}

func act(a *answer, do, duration string) (*answer, error) {
	switch do {
	case "":
	case "sleep":
		pause(duration)
	case "wait":
		<-letGo
	case "error":
		return nil, errors.New("told to answer with an error")
	case "exit":
		os.Exit(3)
	case "crash":
		crash()
	case "eat":
		eat()
	case "fork":
		a.Processes, a.Text = fork()
	case "large":
		a.Text = strings.Repeat("x", 6<<20)
	case "fill":
		a.Text = fill()
	case "hold":
		a.Text = hold()
	default:
		return nil, fmt.Errorf("do not know how to %q", do)
	}
	return a, nil
}

func pause(duration string) {
	d, err := time.ParseDuration(duration)
	if err != nil {
		panic(err)
	}
	time.Sleep(d)
}

func crash() {
	debug.SetTraceback("crash")
	go panic("told to crash") // ends in SIGABRT, which the runtime library cannot catch
	select {}
}

var eaten [][]byte

func eat() {
	debug.SetGCPercent(-1)
	for {
		b := make([]byte, 8<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		eaten = append(eaten, b)
	}
}

// fork starts copies of the program until one does not start, and ends them.
func fork() (started int, why string) {
	var children []*exec.Cmd
	for range 5000 {
		c := exec.Command("/proc/self/exe")
		c.Env = []string{"ACTOR_CHILD=1", "GOMAXPROCS=1"}
		if err := c.Start(); err != nil {
			why = err.Error()
			break
		}
		children = append(children, c)
	}
	for _, c := range children {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	return len(children), why
}

// ask asks the node's API.
func ask(ctx context.Context, path, with string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, os.Getenv("AWS_ENDPOINT_URL")+path, nil)
	if err != nil {
		return err.Error()
	}
	if with == "token" {
		token, err := os.ReadFile(os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"))
		if err != nil {
			return err.Error()
		}
		with = string(token)
	}
	if with != "" {
		req.Header.Set("Authorization", with)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, body)
}

var held []net.Conn

// hold opens as many connections to the node's API as it can. Half of a head
// makes the node wait for the other one.
func hold() string {
	for range 2000 {
		c, err := net.DialTimeout("tcp", strings.TrimPrefix(os.Getenv("AWS_ENDPOINT_URL"), "http://"), 200*time.Millisecond)
		if err != nil {
			break
		}
		held = append(held, c)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: ") // the node may have closed it
	}
	return fmt.Sprint(len(held))
}

func fill() string {
	f, err := os.Create("/tmp/full")
	if err != nil {
		return err.Error()
	}
	defer os.Remove(f.Name())
	defer f.Close()
	b := make([]byte, 1<<20)
	for range 2048 {
		if _, err := f.Write(b); err != nil {
			return err.Error()
		}
	}
	return "never full"
}

func serve(port string) {
	mux := http.NewServeMux()
	released := make(chan struct{})
	mux.HandleFunc("/{rest...}", func(w http.ResponseWriter, r *http.Request) {
		headers := make(map[string]string)
		for name := range r.Header {
			headers[strings.ToLower(name)] = r.Header.Get(name)
		}
		host, _ := os.Hostname()
		a, err := act(&answer{
			Generation: os.Getenv("GENERATION"), Version: os.Getenv("K_REVISION"), Environment: host,
			Request: r.Header.Get("X-Request-Id"), Trace: r.Header.Get("X-Amzn-Trace-Id"), Headers: headers,
		}, r.FormValue("do"), r.FormValue("for"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(a)
	})
	mux.HandleFunc("/web/stream", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "first")
		_ = http.NewResponseController(w).Flush()
		pause(r.FormValue("for"))
		fmt.Fprintln(w, "last")
	})
	// One request holds until another one lets it go, or a signal.
	mux.HandleFunc("/web/hold", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "held")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-released:
		case <-letGo:
		}
		fmt.Fprintln(w, "released")
	})
	mux.HandleFunc("/web/release", func(http.ResponseWriter, *http.Request) { close(released) })
	mux.HandleFunc("/web/echo", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, message, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if err := c.Write(r.Context(), kind, message); err != nil {
				return
			}
		}
	})
	server := &http.Server{Addr: ":" + port, Handler: mux}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	go func() {
		<-stop.Done()
		_ = server.Shutdown(context.Background())
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		panic(err)
	}
}
