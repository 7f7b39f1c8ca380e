package node_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/observe"
)

const insideManifest = `
app: inside
functions:
  f: {runtime: provided, source: ./f, network: none, timeout: 1m}
  greedy: {runtime: provided, source: ./f, network: none, timeout: 1m}
`

// asks has a function ask the node's API, and gives the status and the body.
func (p *process) asks(function, path, with string) (int, string) {
	p.h.t.Helper()
	event, err := json.Marshal(map[string]string{"do": "api", "path": path, "with": with})
	if err != nil {
		p.h.t.Fatal(err)
	}
	r := p.invoke(function, string(event))
	status, body, _ := strings.Cut(r.said().Text, " ")
	code, err := strconv.Atoi(status)
	if err != nil {
		p.h.t.Fatalf("%s asks for %s: %d %s %v", function, path, r.status, r.body, r.err)
	}
	return code, body
}

const credentialsPath = "/_gust/credentials"

// credentials are what a function gets.
type credentials struct {
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string
	Token, RoleArn  string
	Expiration      time.Time
}

func (p *process) credentials(function string) (c credentials) {
	p.h.t.Helper()
	status, body := p.asks(function, credentialsPath, "token")
	if err := json.Unmarshal([]byte(body), &c); status != 200 || err != nil {
		p.h.t.Fatalf("%s gets no credentials: %d %s", function, status, body)
	}
	return c
}

// Within an environment the API is what it is outside, without a network, and
// gives credentials of the function's role to who shows the environment's token.
func TestTheAPIWithin(t *testing.T) {
	h := newHouse(t)
	n := h.start()
	h.deploy(insideManifest)
	if status, body := n.asks("f", "/healthz", ""); status != 200 || body != "" {
		t.Errorf("/healthz: %d %s", status, body)
	}
	for _, path := range []string{"/", "/v1/status", "/metrics", "/2015-03-31/functions/f"} {
		if status, _ := n.asks("f", path, ""); status != 401 && status != 403 {
			t.Errorf("%s without a credential: %d", path, status)
		}
	}
	for _, with := range []string{"", "guess", n.key.Token(), "Bearer " + n.key.Token()} {
		if status, body := n.asks("f", credentialsPath, with); status != 401 || body != "" {
			t.Errorf("credentials without the token: %d %s", status, body)
		}
	}
	c := n.credentials("f")
	if left := time.Until(c.Expiration); left < 15*time.Minute || left > time.Hour || c.AccessKeyID == "" || c.SecretAccessKey == "" || c.Token == "" ||
		c.RoleArn != "arn:aws:iam::000000000000:role/gust/fn.f" {
		t.Errorf("the credentials are %+v", c)
	}
	if again := n.credentials("f"); again != c {
		t.Errorf("asked again they are others: %+v", again)
	}
	if other := n.credentials("greedy"); other.AccessKeyID == c.AccessKeyID || other.RoleArn == c.RoleArn {
		t.Errorf("another function's are %+v", other)
	}
	n.stop()
	if strings.Contains(n.log.String(), c.SecretAccessKey) || strings.Contains(n.log.String(), c.Token) {
		t.Error("credentials are in the node's log")
	}
}

// A program holds on to its credentials until they are about to end. So who ends the
// sessions of a function's role has its environments replaced: what runs in them
// finishes, and what comes then runs with credentials that are good.
func TestAFunctionsSessionsAreRevoked(t *testing.T) {
	h := newHouse(t)
	h.canLetGo()
	n := h.start()
	h.deploy(fmt.Sprintf("app: inside\nfunctions:\n  f: {runtime: provided, source: ./f, network: none, timeout: 1m, env: {TEST_MARKER: %q}}\n", h.data))
	held := n.credentials("f")
	old := n.environments("f")[0].ID
	letGo := n.hold("f", 1)
	if out, status := h.gust("role", "revoke", "fn.f"); status != 0 || out != "all sessions of role fn.f are ended, and the function's environments are replaced\n" {
		t.Errorf("revoke: %d %s", status, out)
	}
	if c := n.credentials("f"); c.AccessKeyID == held.AccessKeyID {
		t.Error("the next environment has credentials that are revoked")
	}
	list := n.environments("f")
	if len(list) != 2 { // the other one still runs what began before
		t.Fatalf("the environments are %+v", list)
	}
	letGo()
	until(t, "the environment from before is gone", func() bool {
		list := n.environments("f")
		return len(list) == 1 && list[0].ID != old
	})
	if metrics := n.metrics(); !strings.Contains(metrics, `gust_cold_starts_total{app="inside",cause="revoked",function="f",pool="none"} 1`) {
		t.Error("no cold start has the cause")
	}
	n.stop()
}

// A program that is started with the node asks before the node's API is there, and
// is answered; and until a draining node cuts it off, what runs may ask.
func TestTheAPIWithinComesFirstAndGoesLast(t *testing.T) {
	h := newHouse(t)
	n := h.start()
	h.deploy(`
app: inside
functions:
  f: {runtime: provided, source: ./f, network: none, timeout: 1m, env: {INIT: api}, concurrency: {provisioned: 1}}
`)
	n.stop()
	n = h.start()
	until(t, "the environment is there", func() bool { e := n.environments("f"); return len(e) == 1 && e[0].State == "idle" })
	id := n.environments("f")[0].ID
	n.logged(api.LogQuery{Function: "f"}, "credentials as it starts", func(r *observe.Record) bool {
		return r.Environment == id && strings.HasPrefix(r.Message, "as it starts 200 ")
	})
	answer := make(chan reply, 1)
	go func() {
		answer <- n.invoke("f", `{"do": "api", "path": "/_gust/credentials", "with": "token", "for": "1s", "say": "late"}`)
	}()
	n.begun("f", "late")
	n.stop()
	if r := <-answer; !strings.HasPrefix(r.said().Text, "200 ") {
		t.Errorf("while the node drains: %d %s %v", r.status, r.body, r.err)
	}
}

// A program that keeps all the connections that it can get is in the way of
// nobody else, and the node has descriptors left.
func TestConnectionsOfAGreedyProgram(t *testing.T) {
	h := newHouse(t)
	h.isolated()
	n := h.start()
	h.deploy(insideManifest)
	n.invoke("f", "{}")
	open := func() int {
		fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	n.invoke("greedy", "{}")
	before := open()
	said := n.invoke("greedy", `{"do": "hold"}`).said().Text
	held, _ := strconv.Atoi(said)
	if held < 150 {
		t.Fatalf("it could open %s connections, which shows nothing", said)
	}
	// 64, and those of environments that are prepared meanwhile.
	if more := open() - before; more > 128 {
		t.Errorf("for its %d connections the node has %d descriptors more", held, more)
	}
	if status, _ := n.asks("f", "/healthz", ""); status != 200 {
		t.Errorf("another function's API answers %d", status)
	}
	if _, err := n.client.Functions(t.Context(), ""); err != nil {
		t.Errorf("the API port: %v", err)
	}
	n.stop()
}
