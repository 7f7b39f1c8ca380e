package policy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/gust-dev/gust/internal/access/policy"
)

const account = "111122223333"

// subjects are who asks in the tables.
var subjects = map[string]*policy.Subject{
	"root":  {Kind: "root", ARN: "arn:aws:iam::111122223333:root", Account: account, ID: account, Name: "root"},
	"alice": {Kind: "user", ARN: "arn:aws:iam::111122223333:user/alice", Account: account, ID: "AIDAALICE", Name: "alice"},
	"worker": {Kind: "role", ARN: "arn:aws:sts::111122223333:assumed-role/worker/s1", RoleARN: "arn:aws:iam::111122223333:role/service/worker",
		Account: account, ID: "AROAWORKER:s1", Name: "worker"},
	"lambda":    {Kind: "service", Service: "lambda.amazonaws.com"},
	"google":    {Kind: "federated", Federated: "arn:aws:iam::111122223333:oidc-provider/accounts.google.com"},
	"anonymous": {Kind: "anonymous"},
	"stranger":  {Kind: "user", ARN: "arn:aws:iam::444455556666:user/eve", Account: "444455556666", ID: "AIDAEVE", Name: "eve"},
}

// values are the request's context: what follows from who asks, and keys.
func values(who string, keys map[string][]string) func(string) []string {
	s := subjects[who]
	return func(key string) []string {
		if v, ok := keys[key]; ok {
			return v
		}
		switch {
		case key == "aws:username" && s.Kind == "user":
			return []string{s.Name}
		case key == "aws:principalarn" && s.RoleARN != "":
			return []string{s.RoleARN}
		case key == "aws:principalarn" && s.ARN != "":
			return []string{s.ARN}
		}
		return nil
	}
}

type group struct {
	Name, Version   string
	Identity        []any
	Identity2       []any
	Boundary        []any
	Session         []any
	Session2        []any
	Limited         bool
	Resource, Trust []any
	Cases           [][]any
	resource        *policy.Document
	layers          policy.Layers
}

func groups(t testing.TB) []*group {
	t.Helper()
	var all []*group
	read(t, "cases.yaml", &all)
	for _, g := range all {
		g.layers = g.compile(t, func([]any) {})
	}
	return all
}

func read(t testing.TB, file string, into any) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		t.Fatal(file, err)
	}
}

// compile parses the group's documents, after their statements were arranged.
func (g *group) compile(t testing.TB, arrange func([]any)) (l policy.Layers) {
	t.Helper()
	attached := func(kind policy.Kind, name string, statements []any) *policy.Attached {
		if statements == nil {
			return nil
		}
		arrange(statements)
		doc := map[string]any{"Statement": statements}
		if g.Version != "none" {
			doc["Version"] = "2012-10-17"
		}
		if g.Version != "" && g.Version != "none" {
			doc["Version"] = g.Version
		}
		return &policy.Attached{Name: name, Document: parse(t, kind, doc)}
	}
	for _, a := range []*policy.Attached{attached(policy.Identity, "first", g.Identity), attached(policy.Identity, "second", g.Identity2)} {
		if a != nil {
			l.Identity = append(l.Identity, *a)
		}
	}
	l.Boundary = attached(policy.Identity, "boundary", g.Boundary)
	for _, a := range []*policy.Attached{attached(policy.Identity, "session", g.Session), attached(policy.Identity, "session 2", g.Session2)} {
		if a != nil {
			l.Session = append(l.Session, *a)
		}
	}
	l.Limited = g.Limited || l.Session != nil
	g.resource = nil
	if a := attached(policy.Resource, "", g.Resource); a != nil {
		g.resource = a.Document
	}
	if a := attached(policy.Trust, "", g.Trust); a != nil {
		g.resource = a.Document
	}
	return l
}

func parse(t testing.TB, kind policy.Kind, doc any) *policy.Document {
	t.Helper()
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	d, err := policy.Parse(kind, data)
	if err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	return d
}

// request is a case's; it also returns the rights of who asks.
func (g *group) request(t testing.TB, c []any, l policy.Layers) (*policy.Rights, *policy.Request) {
	t.Helper()
	who := c[0].(string)
	keys := make(map[string][]string)
	if len(c) > 5 {
		for k, list := range c[5].(map[string]any) {
			for _, v := range list.([]any) {
				keys[k] = append(keys[k], fmt.Sprint(v))
			}
		}
	}
	l.Root = who == "root"
	switch who {
	case "lambda", "google", "anonymous": // they have no policies of their own
		l = policy.Layers{}
	}
	return policy.Compile(l), &policy.Request{Action: c[1].(string), Resource: c[2].(string), Subject: subjects[who], Value: values(who, keys)}
}

func sum(d policy.Decision) string {
	word := "none"
	switch {
	case d.Allowed:
		word = "allow"
	case d.Denied:
		word = "deny"
	}
	return strings.TrimSpace(word + " " + string(d.Layer) + " " + d.Statement)
}

func TestCases(t *testing.T) {
	n := 0
	for _, g := range groups(t) {
		for _, c := range g.Cases {
			n++
			r, req := g.request(t, c, g.layers)
			want, why := c[3].(string), c[4].(string)
			got := r.Decide(req, g.resource)
			if sum(got) != want {
				t.Errorf("%s: %v %v %v: %s, want %s: %s", g.Name, c[0], c[1], c[2], sum(got), want, why)
			}
			if !strings.Contains(why, ": ") {
				t.Errorf("%s: the case cites no rule: %v", g.Name, c)
			}
			// What is explained is what was decided.
			e := r.Explain(req, g.resource)
			deciding := 0
			for _, s := range e.Statements {
				if !s.Deciding {
					continue
				}
				deciding++
				if !s.Matched || s.Statement != got.Statement || s.Policy != got.Policy || s.Layer != got.Layer || (s.Effect == "deny") != got.Denied {
					t.Errorf("%s: %v: the deciding statement is %+v, the decision %+v", g.Name, c, s, got)
				}
			}
			if e.Decision != got || deciding > 1 || got.Statement != "" && deciding != 1 {
				t.Errorf("%s: %v: explained as %+v, decided %+v", g.Name, c, e, got)
			}
			if got.Allowed != (got.Reason("a:B") == "") {
				t.Errorf("%s: %v: the reason is %q", g.Name, c, got.Reason("a:B"))
			}
		}
	}
	if n < 150 {
		t.Errorf("only %d cases", n)
	}
}

func TestConditions(t *testing.T) {
	var rows [][]any
	read(t, "conditions.yaml", &rows)
	list := func(v any) []string {
		switch v := v.(type) {
		case nil:
			return nil
		case []any:
			var out []string
			for _, item := range v {
				out = append(out, fmt.Sprint(item))
			}
			return out
		default:
			return []string{fmt.Sprint(v)}
		}
	}
	for _, row := range rows {
		operator, want := row[0].(string), row[3].(bool)
		doc := parse(t, policy.Identity, map[string]any{"Version": "2012-10-17", "Statement": map[string]any{
			"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": map[string]any{operator: map[string]any{"Test:Key": row[1]}}}})
		r := policy.Compile(policy.Layers{Identity: []policy.Attached{{Name: "p", Document: doc}}})
		keys := map[string][]string{}
		if row[2] != nil {
			keys["test:key"] = list(row[2])
		}
		req := &policy.Request{Action: "a:B", Resource: "*", Subject: subjects["alice"], Value: values("alice", keys)}
		if got := r.Decide(req, nil).Allowed; got != want {
			t.Errorf("%s %v with %v holds: %v, want %v: %s", operator, row[1], row[2], got, want, row[4])
		}
		if s := r.Explain(req, nil).Statements[0]; s.Matched != want || !want && !strings.Contains(s.Why, operator) {
			t.Errorf("%s %v with %v is explained as %+v", operator, row[1], row[2], s)
		}
	}
	if len(rows) < 100 {
		t.Errorf("only %d rows", len(rows))
	}
}

// TestOrderDoesNotMatter: the statements of a document can stand in any order.
func TestOrderDoesNotMatter(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, g := range groups(t) {
		for range 5 {
			l := g.compile(t, func(s []any) { random.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] }) })
			for _, c := range g.Cases {
				r, req := g.request(t, c, l)
				got := r.Decide(req, g.resource)
				word, _, _ := strings.Cut(c[3].(string), " ")
				if have, _, _ := strings.Cut(sum(got), " "); have != word {
					t.Errorf("%s: %v: in another order it is %s, want %s", g.Name, c, have, word)
				}
			}
		}
	}
}

// TestLimitsNeverWiden: a boundary and session policies take away, and never give;
// a deny takes away whatever there is.
func TestLimitsNeverWiden(t *testing.T) {
	all := groups(t)
	var documents []policy.Attached
	for _, g := range all {
		documents = append(documents, g.layers.Identity...)
	}
	none := policy.Attached{Name: "none", Document: parse(t, policy.Identity, map[string]any{"Statement": map[string]any{"Effect": "Deny", "Action": "*", "Resource": "*"}})}
	for _, g := range all {
		for _, c := range g.Cases {
			before, req := g.request(t, c, g.layers)
			was := before.Decide(req, g.resource)
			for _, d := range documents {
				l := g.layers
				l.Limited, l.Session = true, append([]policy.Attached{}, d)
				if g.layers.Limited {
					continue // it has some already: more session policies are more rights
				}
				r, req := g.request(t, c, l)
				if got := r.Decide(req, g.resource); got.Allowed && !was.Allowed {
					t.Errorf("%s: %v: a session policy widens: %+v", g.Name, c, got)
				}
			}
			for _, d := range documents {
				l := g.layers
				if l.Boundary != nil {
					continue
				}
				l.Boundary = &d
				r, req := g.request(t, c, l)
				if got := r.Decide(req, g.resource); got.Allowed && !was.Allowed {
					t.Errorf("%s: %v: a boundary widens: %+v", g.Name, c, got)
				}
			}
			if who := c[0].(string); who == "alice" || who == "worker" || who == "stranger" {
				l := g.layers
				l.Identity = append([]policy.Attached{}, l.Identity...)
				l.Identity = append(l.Identity, none)
				r, req := g.request(t, c, l)
				if got := r.Decide(req, g.resource); got.Allowed || !got.Denied {
					t.Errorf("%s: %v: a deny does not win: %+v", g.Name, c, got)
				}
			}
		}
	}
}
