package policy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gust-dev/gust/internal/access/policy"
)

// What the linter finds, each as "severity line:column statement: text".
func TestLint(t *testing.T) {
	identity := func(statements ...string) string {
		return "{\"Version\": \"2012-10-17\", \"Statement\": [\n" + strings.Join(statements, ",\n") + "\n]}"
	}
	when := func(effect, condition string) string {
		return identity(`{"Effect": "` + effect + `", "Action": "lambda:InvokeFunction", "Resource": "arn:aws:lambda:us-east-1:111122223333:function:f", "Condition": {` + condition + `}}`)
	}
	on := func(action, resource string) string {
		return identity(`{"Effect": "Allow", "Action": "` + action + `", "Resource": "` + resource + `"}`)
	}
	only := func(condition string) string {
		return `{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*", "Condition": {` + condition + `}}`
	}
	const fine = `{"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "arn:aws:lambda:us-east-1:111122223333:function:f"}`
	tests := []struct {
		doc  string
		want []string // none: nothing is found
	}{
		{identity(fine), nil},
		{`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}}`, nil},
		{identity(`{"Effect": "Allow", "Action": ["lambda:Get*", "sts:GetCallerIdentity"], "Resource": "*"}`), nil},
		{"{", []string{"error 1:2 : not valid JSON"}},
		{identity(`{"Effect": "Alow", "Action": "lambda:InvokeFunction", "Resource": "*"}`), []string{`error 2:12 : want "Allow" or "Deny"`}},

		// Typos.
		{identity(`{"Effect": "Allow", "Action": "lambda:InvokeFuntion", "Resource": "arn:aws:lambda:us-east-1:111122223333:function:f"}`),
			[]string{`warning 2:31 #1: "lambda:InvokeFuntion" is no action of lambda, did you mean "InvokeFunction"?`}},
		{identity(`{"Effect": "Deny", "Action": ["lambda:Invoke"], "Resource": "*"}`),
			[]string{`warning 2:31 #1: "lambda:Invoke" is an operation, and no action of a policy: want lambda:InvokeFunction`}},
		{identity(`{"Effect": "Deny", "Action": "lamda:InvokeFunction", "Resource": "*"}`),
			[]string{`warning 2:30 #1: there is no service "lamda", did you mean "lambda"?`}},
		{identity(`{"Effect": "Deny", "Action": "iam:Crate*", "Resource": "*"}`),
			[]string{`warning 2:30 #1: "iam:Crate*" is no action of iam that gust knows: nothing matches the pattern`}},
		{identity(`{"Effect": "Deny", "Action": "bedrock:InvokeModel", "Resource": "*"}`),
			[]string{`note 2:30 #1: gust has no list of the actions of "bedrock", so that typos in it are not found`}},
		{identity(`{"Effect": "Deny", "Action": "lambda:Invok", "Resource": "*"}`), []string{`"lambda:Invok" is no action of lambda, did you mean lambda:InvokeFunction?`}},
		{identity(`{"Effect": "Deny", "Action": "sqs:Send", "Resource": "*"}`), []string{`"sqs:Send" is no action of sqs, did you mean "SendMessage"?`}},

		// Typos in ARNs.
		{on("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:000000000000:functoin:x"),
			[]string{`warning 2:68 #1: there is no "functoin" of lambda, did you mean "function"?; an ARN of lambda is arn:aws:lambda:REGION:ACCOUNT:function:NAME`}},
		{on("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:function:x*"), []string{`#1: "function" stands where the account belongs; an ARN of lambda is`}},
		{on("lambda:InvokeFunction", "arn:aws:lambda::000000000000:function:x"), []string{`#1: the ARN has no region; an ARN of lambda is`}},
		{on("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:00000000000:function:x"), []string{`#1: "00000000000" stands where the account belongs`}},
		{on("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:000000000000:x"), []string{`#1: there is no "x" of lambda`}},
		{on("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:000000000000:fun*tion:x"), nil},
		{on("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:000000000000:fnu*"), []string{`#1: there is no "fnu" of lambda`}},
		{on("lambda:InvokeFunction", "arn:aws:lambda:*:*:functoin:x"), []string{`#1: there is no "functoin" of lambda`}},
		{on("lambda:InvokeFunction", "arn:aws:lambda:*:function:x"), nil}, // a * takes colons
		{on("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:*:x"), nil},
		{on("lambda:InvokeFunction", "arn:aw:lambda:us-east-1:000000000000:function:x"), []string{`#1: there is no partition "aw"`}},
		{on("iam:GetRole", "arn:aws:iam::${aws:PrincipalAccount}:role/x"), []string{"error"}},
		{on("iam:GetRole", "arn:aws:iam:us-east-1:000000000000:role/x"), []string{`#1: "us-east-1" stands where the region belongs; an ARN of iam is arn:aws:iam::ACCOUNT:role/NAME`}},
		{on("iam:GetUser", "arn:aws:iam::*:${aws:username}"), nil},
		{on("iam:GetPolicy", "arn:aws:iam::aws:policy/ReadOnlyAccess"), nil},
		{on("s3:GetObject", "arn:aws:s3::b/*"), []string{`#1: "b/*" stands where the account belongs; an ARN of s3 is arn:aws:s3:::BUCKET/KEY`}},
		{on("s3:GetObject", "arn:aws:s3:us-east-1:000000000000:b/*"), []string{`#1: there is no "b" of s3`}},
		{on("s3:GetObject", "arn:aws:s3:us-east-1:000000000000:accesspoint/a/object/*"), nil},
		{on("s3:GetObject", "arn:aws:s3:*:*:b/*"), nil},
		{on("sqs:SendMessage", "arn:aws:sqs:us-east-1:q*"), []string{`#1: "q*" stands where the account belongs`}},
		{on("events:ListRules", "arn:aws:events:us-east-1:*"), nil},
		{on("bedrock:InvokeModel", "arn:aws:bedrock:x:y:z"), []string{"no list of the actions"}},
		{identity(`{"Effect": "Deny", "Action": "lambda:InvokeFunction", "NotResource": "arn:aws:lambda:us-east-1:000000000000:functoin:x"}`),
			[]string{`there is no "functoin" of lambda`}},
		{when("Allow", `"ArnLike": {"aws:SourceArn": "arn:aws:events:us-east-1:000000000000:ruel/*"}`), []string{`there is no "ruel" of events, did you mean "rule"?`}},
		{when("Allow", `"ArnEquals": {"aws:SourceArn": ["*", "${aws:PrincipalArn}", "arn:aws:iam::${aws:PrincipalAccount}:x/y"]}`), nil},
		{`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"Federated": "arn:aws:iam::000000000000:oidc-provier/x"}, "Action": "sts:AssumeRoleWithWebIdentity"}}`,
			[]string{`warning 1:73 #1: there is no "oidc-provier" of iam, did you mean "oidc-provider"?`}},

		// Stars.
		{on("s3:*Object", "arn:aws:s3:::*"), []string{"#1: s3:*Object can change things, and is allowed on every resource of s3"}},
		{on("s3:*?", "arn:aws:s3:::b/*"), []string{"#1: every action of s3 is allowed"}},
		{on("lambda:DeleteFunction", "arn:aws:lambda:*"), []string{"#1: lambda:DeleteFunction can change things, and is allowed on every resource"}},
		{on("lambda:DeleteFunction", "arn:aws:lambda:us-east-1:000000000000:*"), []string{"is allowed on every resource"}},
		{on("lambda:DeleteFunction", "arn:aws:lambda:us-east-1:000000000000:function:*"), nil}, // every function is what it says
		{on("iam:PassRole", "arn:aws:iam::000000000000:role/*"), []string{"#1: iam:PassRole on every role"}},
		{on("sts:Assume*", "arn:aws:iam::000000000000:role/*"), []string{"#1: sts:AssumeRole on every role"}},
		{on("sts:AssumeRole", "arn:aws:iam::000000000000:role/x"), nil},
		{on("gust:RevokeSessions", "arn:aws:iam::000000000000:user/x"), nil},
		{identity(`{"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"}`),
			[]string{"warning 2:45 All: every action of every service is allowed"}},
		{identity(`{"Effect": "Allow", "Action": "sqs:*", "Resource": "arn:aws:sqs:*:*:q"}`), []string{"warning 2:31 #1: every action of sqs is allowed"}},
		{identity(`{"Effect": "Allow", "Action": ["lambda:DeleteFunction", "lambda:ListFunctions"], "Resource": "*"}`),
			[]string{"warning 2:94 #1: lambda:DeleteFunction can change things, and is allowed on every resource"}},
		{identity(`{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}`), []string{"warning 2:34 #1: NotAction with Allow allows everything else"}},
		{identity(`{"Effect": "Allow", "Action": "s3:GetObject", "NotResource": "arn:aws:s3:::hr/*"}`), []string{"warning 2:62 #1: NotResource with Allow is every other resource"}},
		{identity(`{"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*"}`), []string{"warning 2:59 #1: iam:PassRole on every role"}},
		{identity(`{"Effect": "Allow", "Action": "iam:Pass*", "Resource": "*"}`), []string{"warning 2:56 #1: iam:PassRole on every role"}},
		{identity(`{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}`), []string{"warning 2:61 #1: sts:AssumeRole on every role"}},
		{identity(`{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "arn:aws:sns:us-east-1:111122223333:t"}`),
			[]string{"warning 2:62 #1: the resource is of sns, and none of the statement's actions is"}},

		// Principals.
		{identity(`{"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}`), []string{"warning 2:34 #1: everybody is let in, anonymous users too"}},
		{identity(`{"Effect": "Allow", "NotPrincipal": {"AWS": "111122223333"}, "Action": "sqs:SendMessage", "Resource": "*"}`), []string{"warning 2:37 #1: NotPrincipal with Allow"}},
		{identity(`{"Effect": "Deny", "NotPrincipal": {"AWS": "111122223333"}, "Action": "sqs:SendMessage", "Resource": "*"}`), []string{"note 2:36 #1: NotPrincipal with Deny"}},
		{identity(`{"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": "*"}`), []string{"warning 2:34 #1: a service is let in for whoever makes it act (the confused deputy)"}},

		// Shadows.
		{identity(fine, fine), []string{"warning 3:1 #2: the statement has no effect: statement #1 says all of it"}},
		{identity(fine, `{"Sid": "Wide", "Effect": "Allow", "Action": "lambda:Inv*", "Resource": "arn:aws:lambda:*:111122223333:function:*"}`),
			[]string{"warning 2:1 #1: the statement has no effect: statement Wide says all of it"}},
		{identity(fine, `{"Effect": "Deny", "Action": "lambda:*", "Resource": "*"}`), []string{"warning 2:1 #1: the statement has no effect: statement #2 denies all of it"}},
		{identity(fine, `{"Effect": "Deny", "Action": "lambda:*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}`), nil},
		{identity(fine, `{"Effect": "Deny", "NotAction": "sqs:*", "NotResource": "arn:aws:s3:::b"}`), nil}, // it does, but no text tells so
		{identity(`{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/${aws:username}/*"}`, `{"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::b/*"}`),
			[]string{"warning 2:1 #1: the statement has no effect: statement #2 says all of it"}},
		{identity(`{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}`, `{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/?"}`),
			[]string{"warning 3:1 #2: the statement has no effect: statement #1 says all of it"}},
		{identity(`{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/???"}`, `{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*/?"}`), nil},
		{identity(only(`"StringEquals": {"aws:username": ["x", "y"]}`), only(`"StringEquals": {"aws:username": ["x"]}`)), []string{"3:1 #2: the statement has no effect: statement #1 says all of it"}},
		{identity(only(`"StringEquals": {"aws:username": ["x"]}`), only(`"StringEquals": {"aws:username": ["x", "y"]}`)), []string{"2:1 #1: the statement has no effect: statement #2 says all of it"}},
		{identity(only(`"StringEquals": {"aws:username": ["x", "z"]}`), only(`"StringEquals": {"aws:username": ["x", "y"]}`)), nil},
		{identity(only(`"StringNotEquals": {"aws:username": ["x", "y"]}`), only(`"StringNotEquals": {"aws:username": ["x"]}`)), []string{"2:1 #1: the statement has no effect"}},
		{identity(only(`"StringLike": {"aws:username": "x*"}`), only(`"StringLike": {"aws:username": "xy*"}`)), []string{"3:1 #2: the statement has no effect"}},
		{identity(only(`"StringLike": {"aws:username": "x${*}"}`), only(`"StringLike": {"aws:username": "x*"}`)), []string{"2:1 #1: the statement has no effect"}},
		{identity(only(`"StringNotLike": {"aws:username": "x*"}`), only(`"StringNotLike": {"aws:username": "xy*"}`)), []string{"2:1 #1: the statement has no effect"}},
		{identity(only(`"StringEquals": {"aws:username": "x"}`), only(`"StringEquals": {"aws:username": "x"}, "Bool": {"aws:SecureTransport": "true"}`)), []string{"3:1 #2: the statement has no effect"}},
		{identity(only(`"StringEquals": {"aws:username": "x"}`), only(`"StringEquals": {"aws:userid": "x"}`)), nil},
		{identity(only(`"NumericLessThan": {"s3:max-keys": ["5", "7"]}`), only(`"NumericLessThan": {"s3:max-keys": "7"}`)), []string{"3:1 #2: the statement has no effect"}},

		// Conditions.
		{when("Allow", `"StringEquals": {"aws:PrincipalTags/team": "x"}`), []string{`warning 2:151 #1: there is no key "aws:PrincipalTags/team", so that no request has it, did you mean "aws:PrincipalTag/"?`}},
		{when("Allow", `"StringEquals": {"aws:SourceIP": "10.0.0.0/8"}`), []string{"StringEquals is not what aws:SourceIp is compared with: the condition never holds"}},
		{when("Deny", `"StringNotLike": {"aws:SourceIp": "10.*"}`), []string{"StringNotLike is not what aws:SourceIp is compared with: the condition always holds"}},
		{when("Allow", `"StringEquals": {"aws:SourceVpc": "vpc-1"}`), []string{"a node never has the key aws:SourceVpc: the condition never holds"}},
		{when("Deny", `"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}`), []string{"a node never has the key aws:PrincipalOrgID: the condition always holds"}},
		{when("Allow", `"StringEquals": {"aws:PrincipalTag/team": "b*"}`), []string{"* and ? are no wildcards under StringEquals"}},
		{when("Allow", `"StringEqualsIfExists": {"aws:PrincipalTag/team": "b"}`), []string{"StringEqualsIfExists with Allow holds for every request that does not have the key"}},
		{when("Deny", `"StringNotEqualsIfExists": {"aws:PrincipalTag/team": "b"}`), []string{"note 2:161 #1: StringNotEqualsIfExists holds without the key anyway"}},
		{when("Allow", `"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}`), []string{"ForAllValues with Allow holds for every request that does not have the key aws:TagKeys at all"}},
		{when("Allow", `"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}, "Null": {"aws:TagKeys": "false"}`), nil},
		{when("Allow", `"StringEquals": {"aws:TagKeys": ["a"]}`), []string{"aws:TagKeys can have several values"}},
		{when("Allow", `"ForAnyValue:StringEquals": {"aws:username": ["a"]}`), []string{"aws:username has one value at most"}},
		{when("Allow", `"StringEquals": {"aws:username": "a"}, "Null": {"aws:username": "true"}`), []string{"the conditions of aws:username exclude each other: the statement never matches"}},
		{when("Allow", `"StringEquals": {"aws:username": "a"}, "StringNotEquals": {"aws:username": ["a", "b"]}`), []string{"the conditions of aws:username exclude each other"}},
		{when("Allow", `"DateGreaterThan": {"aws:CurrentTime": "2026-02-01"}, "DateLessThan": {"aws:CurrentTime": "2026-01-01"}`), []string{"the conditions of aws:CurrentTime exclude each other"}},
		{when("Allow", `"DateGreaterThan": {"aws:CurrentTime": "2026-01-01"}, "DateLessThan": {"aws:CurrentTime": "2026-02-01"}`), nil},
		{when("Allow", `"NumericLessThan": {"s3:max-keys": 5}, "NumericGreaterThanEquals": {"s3:max-keys": 5}`), []string{"the conditions of s3:max-keys exclude each other"}},
		{when("Allow", `"StringEquals": {}`), []string{"note 2:150 #1: StringEquals has no keys, and always holds"}},

		// Versions.
		{`{"Statement": [` + fine + `]}`, []string{"note 1:1 : the document has no Version, and is read as 2008-10-17, which has no variables"}},
		{`{"Version": "2008-10-17", "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/${aws:username}"}}`,
			[]string{"warning 1:13 : the document is of version 2008-10-17, in which variables such as ${aws:username} are not expanded"}},
		{`{"Version": "2012-10-17", "Id": "x", "Statement": ` + fine + `}`, []string{"note 1:33 : an Id has no meaning"}},
	}
	for _, test := range tests {
		var got []string
		for _, f := range policy.Lint([]byte(test.doc)) {
			got = append(got, fmt.Sprintf("%s %d:%d %s: %s", f.Severity, f.Line, f.Column, f.Statement, f.Text))
			if f.Do == "" {
				t.Errorf("nothing says what to do about %+v", f)
			}
		}
		ok := len(got) == len(test.want)
		for i := range got {
			ok = ok && strings.Contains(got[i], test.want[i])
		}
		if !ok {
			t.Errorf("%s\n gives %s\n want  %s", test.doc, strings.Join(got, "\n       "), strings.Join(test.want, "\n       "))
		}
	}
}

// TestDocumentedPolicies: what the documentation shows is as the linter wants it.
func TestDocumentedPolicies(t *testing.T) {
	pages, err := filepath.Glob("../../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("(?s)```json\n(\\{\"Version\": \"2012-10-17\".*?)```").FindAllSubmatch(text, -1) {
			shown++
			for _, f := range policy.Lint(m[1]) {
				t.Errorf("%s: %s: %s\n%s", page, f.Severity, f.Text, m[1])
			}
		}
	}
	if shown == 0 {
		t.Error("there is none")
	}
}

// TestLintIsBounded: of a large document not every statement is compared with each
// other, which is said.
func TestLintIsBounded(t *testing.T) {
	doc := `{"Version":"2012-10-17","Statement":[`
	for i := 0; len(doc) < policy.MaxDocument-200; i++ {
		doc += fmt.Sprintf(`{"Effect":"Allow","Action":["s3:GetObject%d","s3:PutObject%d"],"Resource":"arn:aws:s3:::b%d/*"},`, i, i, i)
	}
	found := policy.Lint([]byte(strings.TrimSuffix(doc, ",") + "]}"))
	if !slices.ContainsFunc(found, func(f policy.Finding) bool { return strings.Contains(f.Text, "too large to look for all statements") }) {
		t.Errorf("%d findings, and none that not all was looked for", len(found))
	}
}
