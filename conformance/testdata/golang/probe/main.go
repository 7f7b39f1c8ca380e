// Command probe speaks the Runtime API by hand and tells, word by word, what it
// was answered: within an invocation for what can be tried then, and in the next
// one for what comes after an answer.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// exchange is one request and its answer.
type exchange struct {
	Status int
	Type   string
	Body   string
}

var base = "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/"

func main() {
	seen := map[string]exchange{}
	for {
		res, err := http.Get(base + "invocation/next")
		if err != nil {
			fmt.Println("next:", err)
			os.Exit(70)
		}
		body, _ := io.ReadAll(res.Body)
		seen["next"] = exchange{res.StatusCode, res.Header.Get("Content-Type"), string(body)}
		run(res.Header, body, seen)
	}
}

func run(head http.Header, event []byte, seen map[string]exchange) {
	var e struct{ Do string }
	json.Unmarshal(event, &e)
	id := "invocation/" + head.Get("Lambda-Runtime-Aws-Request-Id")
	never := "invocation/00000000-0000-4000-8000-000000000000"
	post := func(name, target string, header map[string]string, body string) {
		req, err := http.NewRequest(http.MethodPost, base+target, strings.NewReader(body))
		if err != nil {
			fmt.Println(name, err)
			os.Exit(70)
		}
		if v := head.Get("Lambda-Runtime-Invocation-Id"); v != "" && strings.HasPrefix(target, id) {
			req.Header.Set("Lambda-Runtime-Invocation-Id", v)
		}
		for k, v := range header {
			req.Header.Set(k, v)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			seen[name] = exchange{Body: err.Error()}
			return
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		seen[name] = exchange{res.StatusCode, res.Header.Get("Content-Type"), string(text)}
	}
	errorDoc := `{"errorMessage":"m","errorType":"t"}`
	switch e.Do {
	case "headers":
		doc, _ := json.Marshal(head)
		post("response", id+"/response", nil, string(doc))
	case "probe":
		post("unknown id, response", never+"/response", nil, "{}")
		post("unknown id, error", never+"/error", nil, errorDoc)
		post("init error after init", "init/error", nil, errorDoc)
		post("unknown path", "nowhere", nil, "")
		post("stale invocation id", id+"/response", map[string]string{"Lambda-Runtime-Invocation-Id": "another"}, `"stale"`)
		post("response", id+"/response", nil, `"probed"`)
		post("response again", id+"/response", nil, `"again"`)
		post("error after response", id+"/error", nil, errorDoc)
	case "error":
		post("error", id+"/error", map[string]string{"Lambda-Runtime-Function-Error-Type": "Function.Own", "Content-Type": "application/json"}, errorDoc)
	case "cause":
		post("error", id+"/error", map[string]string{"Content-Type": "application/vnd.aws.lambda.error.cause+json"},
			`{"errorMessage":"m","errorType":"t","stackTrace":["a","b"],"causeType":"x","unknown":1}`)
	case "not json":
		post("response", id+"/response", nil, "neither JSON nor anything")
	case "error, not json":
		post("error", id+"/error", nil, "no document")
	case "mode":
		post("unknown mode", id+"/response", map[string]string{"Lambda-Runtime-Function-Response-Mode": "sometimes"}, "{}")
	case "large":
		post("too large", id+"/response", nil, `"`+strings.Repeat("x", 6<<20+200)+`"`)
	case "report":
		doc, _ := json.Marshal(seen)
		post("report", id+"/response", map[string]string{"Content-Type": "application/json"}, string(doc))
	default:
		post("response", id+"/response", nil, string(event))
	}
}
