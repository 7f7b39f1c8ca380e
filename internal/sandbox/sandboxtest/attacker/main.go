// Command attacker is the program that the sandbox suite runs inside
// environments. It speaks the Lambda Runtime API, or HTTP when it is called
// with the argument "http", and does what its event says: behave, misbehave, or
// attack, and then it tells what it managed to do. It can also be an interpreter
// that is booted ahead, and waits to be told its environment.
//
// Every attack is written to succeed where nothing stops it, and to do no
// lasting harm when it does: it opens what it could have overwritten, and sends
// signal 0 where it could have killed, so that a sandbox that fails the suite
// does not take the machine with it.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

func main() {
	if os.Getenv("GUST_BOOT") != "" {
		bind()
	}
	// Before anything of this program or its runtime opens a descriptor.
	inherited := openDescriptors()
	if len(os.Args) > 1 && os.Args[1] == "child" {
		os.Exit(child(os.Args[2:]))
	}
	initialise(os.Getenv("ATTACKER_INIT"))
	if len(os.Args) > 1 && os.Args[1] == "http" {
		serve()
		return
	}
	p := &program{inherited: inherited, base: "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/"}
	p.run()
}

// program is one runtime of the Runtime API.
type program struct {
	base      string
	inherited []descriptor
}

// run asks for events until the program is ended; it asks as often at once as
// AWS_LAMBDA_MAX_CONCURRENCY says.
func (p *program) run() {
	loops, err := strconv.Atoi(os.Getenv("AWS_LAMBDA_MAX_CONCURRENCY"))
	if err != nil || loops < 1 {
		loops = 1
	}
	// One client a loop: a loop's two requests go over the one connection.
	var wg sync.WaitGroup
	for range loops {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
			for {
				p.one(client)
			}
		})
	}
	wg.Wait()
}

// invocation is one event and the means to answer it.
type invocation struct {
	*program
	client *http.Client
	header http.Header
	event  wire.Event
}

func (p *program) one(client *http.Client) {
	res, err := client.Get(p.base + "invocation/next")
	if err != nil {
		fatal(70, "next: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		fatal(70, "next: %v", err)
	}
	if res.StatusCode != http.StatusOK {
		fatal(70, "next: %s: %s", res.Status, body)
	}
	inv := &invocation{program: p, client: client, header: res.Header}
	if err := json.Unmarshal(body, &inv.event); err != nil {
		inv.fail("Attacker.BadEvent", err.Error())
		return
	}
	if b := behaviours[inv.event.Do]; b != nil {
		b(inv)
		return
	}
	if a := attacks()[inv.event.Do]; a != nil {
		f := &findings{inherited: p.inherited}
		a(f, inv.event)
		inv.answer(f.Findings)
		return
	}
	inv.fail("Attacker.Unknown", "nothing is called "+inv.event.Do)
}

// post sends to invocation/<id>/<what>, echoing the invocation's identity where
// the node gives one, and returns the status and the body.
func (inv *invocation) post(what string, header http.Header, body io.Reader) (int, string) {
	req, err := http.NewRequest(http.MethodPost,
		inv.base+"invocation/"+inv.header.Get("Lambda-Runtime-Aws-Request-Id")+"/"+what, body)
	if err != nil {
		fatal(70, "%s: %v", what, err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if id := inv.header.Get("Lambda-Runtime-Invocation-Id"); id != "" {
		req.Header.Set("Lambda-Runtime-Invocation-Id", id)
	}
	res, err := inv.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text)
}

func (inv *invocation) answer(v any) {
	doc, err := json.Marshal(v)
	if err != nil {
		fatal(70, "answer: %v", err)
	}
	inv.respond(doc)
}

func (inv *invocation) respond(doc []byte) {
	status, text := inv.post("response", http.Header{"Content-Type": {"application/json"}}, bytes.NewReader(doc))
	if status != http.StatusAccepted {
		fmt.Fprintf(os.Stderr, "response: %d %s\n", status, text)
	}
}

func (inv *invocation) fail(kind, message string) {
	doc, _ := json.Marshal(map[string]string{"errorType": kind, "errorMessage": message})
	status, text := inv.post("error", http.Header{"Lambda-Runtime-Function-Error-Type": {kind}}, bytes.NewReader(doc))
	if status != http.StatusAccepted {
		fmt.Fprintf(os.Stderr, "error: %d %s\n", status, text)
	}
}

// initialise does what a program does before it asks for its first event.
func initialise(how string) {
	switch how {
	case "":
	case "error":
		doc := `{"errorType":"Attacker.Init","errorMessage":"told not to come up"}`
		req, err := http.NewRequest(http.MethodPost,
			"http://"+os.Getenv("AWS_LAMBDA_RUNTIME_API")+"/2018-06-01/runtime/init/error", bytes.NewBufferString(doc))
		if err != nil {
			fatal(70, "init/error: %v", err)
		}
		req.Header.Set("Lambda-Runtime-Function-Error-Type", "Attacker.Init")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			fatal(70, "init/error: %v", err)
		}
		res.Body.Close()
		os.Exit(1)
	case "exit":
		fmt.Println("leaving before the first event")
		os.Exit(3)
	case "crash":
		fmt.Println("about to die")
		dieBySignal()
	case "call":
		callOnce(os.Stdout)
	case "hang":
		forever()
	case "slow":
		time.Sleep(300 * time.Millisecond)
	case "print":
		w := bufio.NewWriter(os.Stdout)
		for i := range 1000 {
			fmt.Fprintf(w, "init line %d\n", i)
		}
		w.Flush()
	default:
		fatal(64, "ATTACKER_INIT=%s is unknown", how)
	}
}

func fatal(status int, format string, args ...any) {
	fmt.Fprintf(os.Stderr, "attacker: "+format+"\n", args...)
	os.Exit(status)
}

// forever waits for what never comes. It is a sleep and no empty select, which
// Go's runtime would call a deadlock and end.
func forever() {
	for {
		time.Sleep(time.Hour)
	}
}
