package policy

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// naive compares a value with a pattern of * and ?, the way it is defined.
func naive(pattern, value []rune) bool {
	// reached tells how much of the value each beginning of the pattern takes.
	reached := make([]bool, len(value)+1)
	reached[0] = true
	for _, p := range pattern {
		next := make([]bool, len(value)+1)
		for i := range reached {
			switch {
			case p == '*' && (reached[i] || i > 0 && next[i-1]):
				next[i] = true
			case p != '*' && i > 0 && reached[i-1] && (p == '?' || p == value[i-1]):
				next[i] = true
			}
		}
		reached = next
	}
	return reached[len(value)]
}

func FuzzWildcards(f *testing.F) {
	for _, seed := range [][2]string{{"*", ""}, {"a*b?c", "aXXbYc"}, {"**a", "baa"}, {"?", "é"}, {"*??b*", "€bd"}, {"é*?é", "éxé"}, {"a", "a"}, {"*ab*ab", "abab"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		if !utf8.ValidString(text) || !utf8.ValidString(value) || len(text) > maxString || len(value) > MaxResource {
			return // documents are UTF-8, and so is what requests are about
		}
		p, wrong := syntax{wildcards: true}.compile(text)
		if wrong != "" {
			return
		}
		if p.matches(value, nil) == beyond {
			return
		}
		if got, want := p.matches(value, nil) == yes, naive([]rune(text), []rune(value)); got != want {
			t.Errorf("%q takes %q: %v, want %v", text, value, got, want)
		}
		fold, _ := syntax{wildcards: true, fold: true}.compile(text)
		if lowered := ascii(value); p.matches(value, nil) == yes && fold.matches(lowered, nil) != yes {
			t.Errorf("%q does not take %q, ignoring case", text, lowered)
		}
		// A variable's value stands for itself.
		v, wrong := syntax{wildcards: true, variables: true}.compile("${a:b}*")
		if wrong != "" {
			t.Fatal(wrong)
		}
		req := &Request{Value: func(string) []string { return []string{text} }}
		if got := v.matches(value, req) == yes; got != strings.HasPrefix(value, text) {
			t.Errorf("${a:b}* with %q takes %q: %v", text, value, got)
		}
	})
}

func ascii(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = lower(b[i])
	}
	return string(b)
}

func FuzzARN(f *testing.F) {
	for _, seed := range [][2]string{
		{"arn:aws:s3:::b/*", "arn:aws:s3:::b/k"}, {"arn:aws:sns:*:1:a:?", "arn:aws:sns:x:1:a:b"}, {"*", "x"}, {"${aws:PrincipalArn}", "arn:a:b:c:d:e"},
		{"arn:aws:iam::1:user/${aws:username, 'x'}", "arn:aws:iam::1:user/x"}, {"arn:aws:lambda:*", "arn:aws:lambda:a:b:c"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		req := &Request{Resource: value, Subject: &Subject{Account: "111122223333", ARN: value}, Value: func(string) []string { return []string{value} }}
		isForeign(req)
		checkARN(text, true)
		if checkResource(text, true) == "" {
			if p, wrong := (syntax{wildcards: true, variables: true}).compile(text); wrong == "" {
				p.matches(value, req)
			}
		}
		v, wrong := makeARN(text, true)
		if wrong != "" {
			return
		}
		// Whatever an Arn operator takes, the String one does.
		p, wrong := syntax{wildcards: true, variables: true}.compile(text)
		if wrong != "" {
			t.Fatal(wrong)
		}
		if v.matches(value, req) == yes && p.matches(value, req) != yes {
			t.Errorf("ArnLike takes %q with %q, StringLike does not", value, text)
		}
	})
}

func FuzzConditions(f *testing.F) {
	for _, seed := range [][3]string{
		{"StringLike", "a*", "ab"}, {"ForAllValues:ArnLike", "arn:aws:s3:::*", "arn:aws:s3:::x"}, {"NumericLessThanIfExists", "5", "4.5"},
		{"DateGreaterThan", "2026-01-01", "2026-01-02T00:00:00Z"}, {"NotIpAddress", "10.0.0.0/8", "::ffff:10.1.1.1"}, {"Null", "true", ""},
		{"ForAnyValue:StringNotEquals", "${a:b}", "x"}, {"BinaryEquals", "QQ==", "QQ=="}, {"Bool", "true", "TRUE"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, name, text, given string) {
		c, o, wrong := parseOperator(name)
		if wrong != "" {
			return
		}
		v, wrong := o.make(text, true)
		if wrong != "" {
			return
		}
		c.key, c.lookup, c.values = "a:b", "a:b", []value{v}
		for _, values := range [][]string{nil, {}, {given}, {given, "x"}} {
			req := &Request{Value: func(key string) []string {
				if key == "a:b" {
					return values
				}
				return nil
			}}
			if holds := c.holds(req, false); holds && !c.holds(req, true) {
				t.Errorf("%s %q holds for %q in an allow, and not in a deny", name, text, values)
			}
			if len(values) == 0 && c.ifExists && !c.holds(req, false) {
				t.Errorf("%s %q does not hold without the key", name, text)
			}
			c.mismatch(req)
		}
	})
}

func FuzzDocuments(f *testing.F) {
	for _, seed := range []string{
		`{"Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Allow","Action":["s3:Get*","*"],"Resource":"arn:aws:s3:::b/${aws:username}/*","Condition":{"StringLike":{"a:b":["c",1,true]}}}]}`,
		`{"Statement":{"Effect":"Deny","Principal":{"AWS":["111122223333","*"],"Service":"a.b","Federated":"c.d"},"NotAction":"iam:*","NotResource":"*"}}`,
		`{"Statement":[{"Effect":"Allow","NotPrincipal":{"AWS":"arn:aws:iam::111122223333:user/a"},"Action":"sts:AssumeRole"}]}`,
		"{", "[[[", `{"Statement":[]}`, "\xff", `{"a":"\ud800"}`,
	} {
		f.Add([]byte(seed), "s3:GetObject", "arn:aws:s3:::b/alice/x")
	}
	f.Fuzz(func(t *testing.T, doc []byte, action, resource string) {
		for _, finding := range Lint(doc) {
			if finding.Line < 1 || finding.Column < 1 || finding.Text == "" {
				t.Errorf("a finding has no place or no text: %+v", finding)
			}
		}
		for kind := range Trust + 1 {
			d, err := Parse(kind, doc)
			if err != nil {
				if problems, ok := err.(Problems); !ok || len(problems) == 0 || problems[0].Line < 1 || problems[0].Text == "" {
					t.Errorf("%v is refused with %#v", doc, err)
				}
				continue
			}
			if !json.Valid(doc) {
				t.Errorf("%q is no JSON, and is taken", doc)
			}
			l := Layers{Identity: []Attached{{"a", d}}}
			if kind != Identity {
				l = Layers{}
			}
			req := &Request{Action: action, Resource: resource, Subject: &Subject{Kind: "user", ARN: "arn:aws:iam::111122223333:user/a", Account: "111122223333"},
				Value: func(string) []string { return []string{"x"} }}
			of := d
			if kind == Identity {
				of = nil
			}
			r := Compile(l)
			e := r.Explain(req, of)
			if e.Decision != r.Decide(req, of) {
				t.Errorf("%q: explained as %+v", doc, e)
			}
			// The index loses no statement: what matches one by one decides.
			allowed, denied := false, false
			for _, s := range e.Statements {
				allowed = allowed || s.Matched && s.Effect == "allow" && s.Why == ""
				denied = denied || s.Matched && s.Effect == "deny"
			}
			if len(action) <= MaxAction && len(resource) <= MaxResource && !isForeign(req) && (e.Denied != denied || e.Allowed != (allowed && !denied)) {
				t.Errorf("%q: %+v, but of its statements allowed %v, denied %v", doc, e, allowed, denied)
			}
			// A boundary never widens.
			l.Boundary = &Attached{"b", d}
			if kind == Identity && Compile(l).Decide(req, of).Allowed && !e.Allowed {
				t.Errorf("%q widens itself", doc)
			}
		}
	})
}
