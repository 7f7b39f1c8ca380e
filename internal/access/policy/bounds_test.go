package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Every short pattern takes what it takes by definition, of every short value.
func TestWildcardsAreWhatTheyAreByDefinition(t *testing.T) {
	texts := func(alphabet []string, most int) []string {
		all := []string{""}
		for from := 0; most > 0; most-- {
			until := len(all)
			for _, s := range all[from:until] {
				for _, c := range alphabet {
					all = append(all, s+c)
				}
			}
			from = until
		}
		return all
	}
	values := texts([]string{"a", "é"}, 6)
	for _, text := range texts([]string{"a", "é", "*", "?"}, 5) {
		p, wrong := syntax{wildcards: true}.compile(text)
		if wrong != "" {
			t.Fatal(wrong)
		}
		for _, value := range values {
			if got, want := p.matches(value, nil), verdictOf(naive([]rune(text), []rune(value))); got != want {
				t.Errorf("%q takes %q: %v, want %v", text, value, got, want)
			}
		}
	}
}

// expensive are patterns that could be looked for from every place of a value of
// nothing but a, or of little else.
var expensive = []string{
	"*" + strings.Repeat("a", 1900) + "b*",
	"*" + strings.Repeat("a", 950) + "?" + strings.Repeat("a", 950) + "b*",
	"*" + strings.Repeat("a*", 60) + "b*",
	strings.Repeat("*a", 60) + "?b*",
	"*" + strings.Repeat("a?", 60) + "b*",
	"*" + strings.Repeat("a", 60) + "?b*",
	"*" + strings.Repeat("aaaaaab", 140) + "?c*",
	"*" + strings.Repeat("aaaaaab", 140) + "c*",
}

// TestComparingIsBounded: whoever writes a pattern may send the value, too.
func TestComparingIsBounded(t *testing.T) {
	for _, text := range expensive {
		p, wrong := syntax{wildcards: true}.compile(text)
		if wrong != "" {
			t.Fatal(wrong)
		}
		for _, value := range []string{strings.Repeat("a", 1<<16), strings.Repeat("aaaaaab", 1<<16/7)} { // far more than there can be
			best := time.Hour
			for range 10 {
				begin := time.Now()
				p.matches(value, nil)
				best = min(best, time.Since(begin))
			}
			if best > 20*time.Millisecond { // the tenth of it, in truth
				t.Errorf("%.20q and %d bytes of %.20q: %v", text, len(value), value, best)
			}
		}
	}
}

// What is longer or more than conditions look at, or would take too long, makes
// nothing allowed and keeps nothing from being denied, whatever the operator.
func TestWhatConditionsDoNotLookAtIsDenied(t *testing.T) {
	long := strings.Repeat("a", MaxValue+1)
	many := make([]string, MaxValues+1)
	for i := range many {
		many[i] = "a"
	}
	alice := &Subject{Kind: "user", ARN: "arn:aws:iam::111122223333:user/alice", Account: "111122223333"}
	hard := "*" + strings.Repeat("a?", 60) + "b*"
	for _, tt := range []struct {
		operator, text string
		given          []string
		allows, denies bool
	}{
		{"StringLike", "a*", []string{long[:MaxValue]}, true, true},
		{"StringLike", "b*", []string{long[:MaxValue]}, false, false},
		{"StringLike", "b*", []string{long}, false, true},
		{"StringLike", "*", []string{long}, false, true},
		{"StringNotLike", "b*", []string{long}, false, true},
		{"StringNotLike", "a*", []string{long}, false, true},
		{"StringEquals", "b", []string{long}, false, true},
		{"StringEqualsIfExists", "b", []string{long}, false, true},
		{"NumericLessThan", "1", []string{long}, false, true},
		{"ArnLike", "*", []string{long}, false, true},
		{"ForAllValues:StringLike", "*", []string{"a", long}, false, true},
		{"ForAnyValue:StringLike", "b", []string{"a", long}, false, true},
		{"ForAnyValue:StringNotLike", "a*", []string{"a", long}, false, true},
		{"StringLike", "a", []string{long, "a"}, true, true}, // one of them is enough
		{"Null", "false", []string{long}, true, true},        // it does not look
		{"Null", "true", []string{long}, false, false},
		{"ForAnyValue:StringEquals", "a", many[1:], true, true},
		{"ForAnyValue:StringEquals", "a", many, false, true},
		{"ForAllValues:StringEquals", "a", many, false, true},
		{"ForAnyValue:StringEquals", "b", many, false, true},
		{"StringLike", hard, []string{long[:MaxValue]}, false, true},
		{"StringNotLike", hard, []string{long[:MaxValue]}, false, true},
		{"ArnLike", "arn:aws:s3:::" + hard, []string{"arn:aws:s3:::" + long[:2000]}, false, true},
		{"ArnLike", "arn:aws:" + hard + "::a:b", []string{"arn:aws:" + long[:2000] + "::a:c"}, false, false}, // the rest tells
	} {
		for effect, want := range map[string]bool{"Allow": tt.allows, "Deny": tt.denies} {
			doc, err := Parse(Identity, fmt.Appendf(nil, `{"Statement":{"Effect":%q,"Action":"*","Resource":"*","Condition":{%q:{"a:b":%q}}}}`, effect, tt.operator, tt.text))
			if err != nil {
				t.Fatal(err)
			}
			req := &Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k", Subject: alice, Value: func(string) []string { return tt.given }}
			d := Compile(Layers{Identity: []Attached{{"p", doc}}}).Explain(req, nil)
			if got := d.Allowed || d.Denied; got != want {
				t.Errorf("%s %s %.20q, the request has %d values, the first of %d bytes: holds %v, want %v", effect, tt.operator, tt.text, len(tt.given), len(tt.given[0]), got, want)
			}
			if why := d.Statements[0].Why; !want && (len(tt.given) > MaxValues || len(tt.given[0]) > MaxValue && tt.operator != "Null") && !strings.Contains(why, "above the maximum of") {
				t.Errorf("%s does not hold for what is too much, and why is not said: %s", tt.operator, why)
			}
		}
	}

	// A resource's pattern is the policy's side, too.
	for effect, want := range map[string]Decision{"Allow": {}, "Deny": {Denied: true}} {
		for _, element := range []string{"Resource", "NotResource"} {
			doc, err := Parse(Identity, fmt.Appendf(nil, `{"Statement":{"Effect":%q,"Action":"*",%q:"arn:aws:s3:::%s"}}`, effect, element, hard))
			if err != nil {
				t.Fatal(err)
			}
			d := Compile(Layers{Identity: []Attached{{"p", doc}}}).Decide(&Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::" + long[:MaxValue], Subject: alice}, nil)
			if d.Allowed || d.Denied != want.Denied {
				t.Errorf("%s %s: %+v", effect, element, d)
			}
		}
	}
}
