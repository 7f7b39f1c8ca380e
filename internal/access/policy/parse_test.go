package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access/policy"
)

// What is refused, and with which words.
func TestParseRefuses(t *testing.T) {
	statement := func(s string) string { return `{"Version": "2012-10-17", "Statement": [` + s + `]}` }
	const ok = `{"Effect": "Allow", "Action": "a:B", "Resource": "*"}`
	tests := []struct {
		kind      policy.Kind
		doc, want string
	}{
		{policy.Identity, "", "line 1, column 1: the document is empty"},
		{policy.Identity, "{", "line 1, column 2: not valid JSON: the document ends too early"},
		{policy.Identity, "{\n  \"a\": ]\n}", "line 2, column 8: not valid JSON: invalid character ']'"},
		{policy.Identity, "[]", "want an object with Version and Statement, got a list"},
		{policy.Identity, "null", "want an object with Version and Statement, got null"},
		{policy.Identity, statement(ok) + "x", "not valid JSON: invalid character 'x'"},
		{policy.Identity, statement(ok) + "{}", "line 1, column 96: not valid JSON: invalid character '{' after top-level value"},
		{policy.Identity, "\xff", "not UTF-8"},
		{policy.Identity, "{}", "the key Statement is missing"},
		{policy.Identity, `{"Statement": []}`, "Statement: the list is empty: want at least one statement"},
		{policy.Identity, `{"Statement": "x"}`, "Statement: want a statement, an object with Effect, Action and Resource, got a string"},
		{policy.Identity, `{"version": "2012-10-17", "Statement": ` + ok + `}`, `unknown key "version", did you mean "Version"?`},
		{policy.Identity, `{"Version": "2012-10-18", "Statement": ` + ok + `}`, `Version: want "2012-10-17" or "2008-10-17", the versions of the policy language, got "2012-10-18"`},
		{policy.Identity, `{"Version": 2012, "Statement": ` + ok + `}`, `Version: want "2012-10-17" or "2008-10-17", the versions of the policy language, got a number`},
		{policy.Identity, `{"Id": 5, "Statement": ` + ok + `}`, "Id: want text, got a number"},
		{policy.Identity, `{"Statement": ` + ok + `, "Statement": ` + ok + `}`, "column 70: Statement: the key stands twice: keep one"},
		{policy.Identity, statement(`{"Effect": "Allow", "Effect": "Deny", "Action": "a:B", "Resource": "*"}`), "Statement[0].Effect: the key stands twice"},
		{policy.Identity, statement(`{"Action": "a:B", "Resource": "*"}`), `Statement[0]: the key Effect is missing: it is "Allow" or "Deny"`},
		{policy.Identity, statement(`{"Effect": "allow", "Action": "a:B", "Resource": "*"}`), `Statement[0].Effect: want "Allow" or "Deny", got "allow"`},
		{policy.Identity, statement(`{"Effect": "Allow", "Resource": "*"}`), "Statement[0]: the key Action is missing: it is actions such as"},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B"}`), `Statement[0]: the key Resource is missing: it is ARNs, or "*"`},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "NotAction": "a:B", "Resource": "*"}`), "a statement has Action or NotAction, not both"},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "*", "Conditions": {}}`), `unknown key "Conditions", did you mean "Condition"?`},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "*", "Principal": "*"}`), "has no principal, it is whoever the policy is attached to: remove Principal"},
		{policy.Identity, statement(ok + `, {"Sid": "a", "Effect": "Allow", "Action": "a:B", "Resource": "*"}, {"Sid": "a", "Effect": "Deny", "Action": "a:B", "Resource": "*"}`), `Statement[2].Sid: the Sid "a" stands twice`},
		{policy.Identity, statement(`{"Sid": "a b", "Effect": "Allow", "Action": "a:B", "Resource": "*"}`), `"a b" is no Sid: want at most 128 of a-z, A-Z and 0-9`},

		{policy.Identity, statement(`{"Effect": "Allow", "Action": [], "Resource": "*"}`), "Statement[0].Action: the list is empty"},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": ["a:B", 5], "Resource": "*"}`), "Statement[0].Action[1]: want an action such as \"lambda:InvokeFunction\", got a number"},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": {}, "Resource": "*"}`), "or a list of such, got an object"},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "Invoke", "Resource": "*"}`), `Statement[0].Action: want service:Action such as lambda:InvokeFunction`},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "s3*:Get", "Resource": "*"}`), `got "s3*:Get"`},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:", "Resource": "*"}`), `got "a:"`},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B/C", "Resource": "*"}`), `got "a:B/C"`},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:` + strings.Repeat("*B", 70) + `", "Resource": "*"}`), "more than 64 wildcards"},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:` + strings.Repeat("B", 300) + `", "Resource": "*"}`), "the action has 302 bytes, above the maximum of 256"},

		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "bucket/*"}`), `want an ARN, arn:aws:service:region:account:resource, or "*", got "bucket/*"`},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "arn:aws:sqs"}`), `got "arn:aws:sqs"`},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "arn:aws:*:us-east-1:1:x"}`), "the service of an ARN, its third part, has to be written out"},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "arn:aws:sqs:us-east-1:${aws:username}:x"}`), "a variable can stand in the last part of an ARN alone"},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "arn:aws:s3:::b/${aws:username"}`), "is not closed: write ${key}, or ${$}{"},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "arn:aws:s3:::b/${aws:username, nobody}"}`), "is not in single quotes: write ${aws:username, 'value'}"},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "arn:aws:s3:::b/${user}"}`), "the variable ${user} names no key: want service:key"},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "arn:aws:s3:::` + strings.Repeat("x", 3000) + `"}`), "the text has 3013 bytes, above the maximum of 2048"},

		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "*", "Condition": []}`), "Statement[0].Condition: want an object such as"},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "*", "Condition": {"StringEqual": {"a:b": "c"}}}`), `"StringEqual" is no condition operator, did you mean "StringEquals"?`},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "*", "Condition": {"ForSomeValues:StringEquals": {"a:b": "c"}}}`), `want ForAllValues: or ForAnyValue: before an operator, got "ForSomeValues"`},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "*", "Condition": {"NullIfExists": {"a:b": "true"}}}`), "Null asks whether the key is there, and stands alone"},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "*", "Condition": {"StringEquals": "a"}}`), "StringEquals: want an object of condition keys and their values, got a string"},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "*", "Condition": {"StringEquals": {"team": "a"}}}`), `want service:key such as aws:SourceIp or aws:PrincipalTag/team, got "team"`},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "*", "Condition": {"StringEquals": {"a:b": []}}}`), `StringEquals["a:b"]: the list is empty: no value would ever match`},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "*", "Condition": {"StringEquals": {"a:b": null}}}`), "want a value, or a list of values, got null"},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "*", "Condition": {"NumericEquals": {"a:b": "0x10"}}}`), `want a number such as 10 or 2.5, got "0x10"`},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "*", "Condition": {"DateEquals": {"a:b": "31.1.2026"}}}`), `want a time such as 2026-01-31T08:00:00Z`},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "*", "Condition": {"Bool": {"a:b": "yes"}}}`), `want true or false, got "yes"`},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "*", "Condition": {"Null": {"a:b": "absent"}}}`), `want true (the key is not there) or false (it is), got "absent"`},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "*", "Condition": {"BinaryEquals": {"a:b": "?"}}}`), `want base64, got "?"`},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "*", "Condition": {"IpAddress": {"a:b": "10.0.0.0/33"}}}`), `want an address or a range such as 203.0.113.0/24`},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "*", "Condition": {"ArnLike": {"a:b": "x"}}}`), "want an ARN of six parts"},

		{policy.Resource, statement(ok), "the key Principal is missing: it is who is meant"},
		{policy.Resource, statement(`{"Effect": "Allow", "Principal": "alice", "Action": "a:B", "Resource": "*"}`), `Statement[0].Principal: want "*" or an object such as {"AWS":`},
		{policy.Resource, statement(`{"Effect": "Allow", "Principal": {}, "Action": "a:B", "Resource": "*"}`), "the object is empty"},
		{policy.Resource, statement(`{"Effect": "Allow", "Principal": {"aws": "*"}, "Action": "a:B", "Resource": "*"}`), `unknown key "aws", did you mean "AWS"?`},
		{policy.Resource, statement(`{"Effect": "Allow", "Principal": {"AWS": "alice"}, "Action": "a:B", "Resource": "*"}`), "want an account of 12 digits"},
		{policy.Resource, statement(`{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:group/g"}, "Action": "a:B", "Resource": "*"}`), "want an account of 12 digits"},
		{policy.Resource, statement(`{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:user/*"}, "Action": "a:B", "Resource": "*"}`), "a principal has no wildcards"},
		{policy.Resource, statement(`{"Effect": "Allow", "Principal": {"AWS": "arn:aws:sts::111122223333:assumed-role/r"}, "Action": "a:B", "Resource": "*"}`), "want an account of 12 digits"},
		{policy.Resource, statement(`{"Effect": "Allow", "Principal": {"Service": "lambda"}, "Action": "a:B", "Resource": "*"}`), "want a service such as lambda.amazonaws.com"},
		{policy.Resource, statement(`{"Effect": "Allow", "Principal": {"Federated": "google"}, "Action": "a:B", "Resource": "*"}`), "want an identity provider"},
		{policy.Resource, statement(`{"Effect": "Allow", "Principal": {"CanonicalUser": "79a5"}, "Action": "a:B", "Resource": "*"}`), "canonical users are of Amazon S3"},
		{policy.Resource, statement(`{"Effect": "Allow", "Principal": "*", "NotPrincipal": "*", "Action": "a:B", "Resource": "*"}`), "a statement has Principal or NotPrincipal, not both"},
		{policy.Trust, statement(`{"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole", "Resource": "*"}`), "a trust policy has no resource, it is the role itself: remove Resource"},
		{policy.Trust, statement(`{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}`), `a trust policy is about assuming the role: want sts:AssumeRole`},

		{policy.Identity, statement(strings.Repeat(ok+",", 200) + ok + strings.Repeat(" ", policy.MaxDocument)), "bytes, above the maximum of 65536"},
		{policy.Identity, statement(strings.TrimSuffix(strings.Repeat(ok+",", 1001), ",")), "1001 statements are above the maximum of 1000"},
		{policy.Identity, strings.Repeat(`{"Statement":`, 50) + "1" + strings.Repeat("}", 50), "objects and lists are nested more than 10 deep"},
		{policy.Identity, strings.Repeat(`[`, 5000) + strings.Repeat(`]`, 5000), "objects and lists are nested more than 10 deep"},
		{policy.Identity, statement(`{"Effect": "Allow", "Action": "a:B", "Resource": "*", "Condition": {"StringEquals": {"a:b": [` + strings.TrimSuffix(strings.Repeat(`"c",`, 1001), ",") + `]}}}`), "1001 values are above the maximum of 1000"},
	}
	for _, test := range tests {
		_, err := policy.Parse(test.kind, []byte(test.doc))
		if err == nil || !errors.Is(err, gust.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.300s\n gives %v\n want  %s", test.doc, err, test.want)
		}
	}
}

func TestParseReportsEverything(t *testing.T) {
	_, err := policy.Parse(policy.Identity, []byte(`{
  "Statement": [
    {"Effect": "Allow", "Action": "Invoke", "Resource": "x"},
    {"Effect": "No",    "Action": "a:B",    "Resource": "*"}
  ]
}`))
	var ps policy.Problems
	if !errors.As(err, &ps) || len(ps) != 3 || ps[2].Line != 4 || ps[2].Column != 16 || !strings.HasSuffix(err.Error(), "(and 2 more)") {
		t.Errorf("got %v", err)
	}
}

func TestParseTakes(t *testing.T) {
	for _, test := range []struct {
		kind policy.Kind
		doc  string
	}{
		{policy.Identity, `{"Statement": {"Sid": "", "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {}}}`},
		{policy.Identity, `{"Id": "x", "Version": "2008-10-17", "Statement": [{"Sid": "A1", "Effect": "Deny", "NotAction": ["iam:*"], "NotResource": ["arn:aws:s3:::b"]}]}`},
		{policy.Resource, `{"Statement": {"Sid": "a-b_c d.", "Effect": "Allow", "Principal": {"AWS": ["111122223333"], "Service": "a.b"}, "Action": "a:B", "Resource": "*"}}`},
		{policy.Trust, `{"Version": "2012-10-17", "Statement": [{"Sid": "", "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}`},
	} {
		d, err := policy.Parse(test.kind, []byte(test.doc))
		if err != nil || string(d.JSON()) != test.doc {
			t.Errorf("%v in %s", err, test.doc)
		}
	}
}

// TestHostileDocuments: no document takes long to read or to ask, whatever is in
// it. No clock is read, which a busy machine would fail: what blows up runs into the
// test's own end, and what one comparison may take is TestComparingIsBounded's.
func TestHostileDocuments(t *testing.T) {
	one := `{"Effect":"Allow","Action":"a:%d","Resource":"*"},`
	var b strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&b, one, i)
	}
	if _, err := policy.Parse(policy.Identity, []byte(`{"Statement":[`+strings.TrimSuffix(b.String(), ",")+`]}`)); err == nil {
		t.Error("10,000 statements are taken")
	}

	// As many statements as there may be, that all are about the request but
	// for the last thing that is looked at.
	star := "arn:aws:s3:::" + strings.Repeat("*a", 60) + "*b"
	doc := `{"Version":"2012-10-17","Statement":[`
	for len(doc) < policy.MaxDocument-300 {
		doc += `{"Effect":"Allow","Action":"a*:*","Resource":"` + star + `"},`
	}
	doc = strings.ReplaceAll(strings.TrimSuffix(doc, ",")+"]}", "a*:*", "a:*")
	d, err := policy.Parse(policy.Identity, []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	r := policy.Compile(policy.Layers{Identity: []policy.Attached{{Document: d}}})
	req := &policy.Request{Action: "a:B", Resource: "arn:aws:s3:::" + strings.Repeat("a", policy.MaxResource-20)}
	if r.Decide(req, nil).Allowed {
		t.Error("allowed")
	}

	long := "arn:aws:s3:::*" + strings.Repeat("a", 1900) + "b"
	doc = `{"Statement":[`
	for len(doc) < policy.MaxDocument-2100 {
		doc += `{"Effect":"Allow","Action":"a:*","Resource":"` + long + `"},`
	}
	if d, err = policy.Parse(policy.Identity, []byte(strings.TrimSuffix(doc, ",")+"]}")); err != nil {
		t.Fatal(err)
	}
	r = policy.Compile(policy.Layers{Identity: []policy.Attached{{Document: d}}})
	if r.Decide(req, nil).Allowed {
		t.Error("allowed")
	}

	req.Resource += strings.Repeat("a", policy.MaxResource)
	all := policy.Compile(policy.Layers{Identity: []policy.Attached{{Document: parse(t, policy.Identity, map[string]any{
		"Statement": map[string]any{"Effect": "Allow", "Action": "*", "Resource": "*"}})}}})
	if all.Decide(req, nil).Allowed || all.Decide(&policy.Request{Action: strings.Repeat("a", policy.MaxAction+1), Resource: "*"}, nil).Allowed {
		t.Error("what is longer than may be is allowed")
	}
}
