package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

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
		{identity(`{"Effect": "Allow", "Action": "lambda:InvokeFuntion", "Resource": "arn:aws:lambda:a:1:f"}`),
			[]string{`warning 2:31 #1: "lambda:InvokeFuntion" is no action of lambda, did you mean "InvokeFunction"?`}},
		{identity(`{"Effect": "Deny", "Action": ["lambda:Invoke"], "Resource": "*"}`),
			[]string{`warning 2:31 #1: "lambda:Invoke" is an operation, and no action of a policy: want lambda:InvokeFunction`}},
		{identity(`{"Effect": "Deny", "Action": "lamda:InvokeFunction", "Resource": "*"}`),
			[]string{`warning 2:30 #1: there is no service "lamda", did you mean "lambda"?`}},
		{identity(`{"Effect": "Deny", "Action": "iam:Crate*", "Resource": "*"}`),
			[]string{`warning 2:30 #1: "iam:Crate*" is no action of iam that gust knows: nothing matches the pattern`}},
		{identity(`{"Effect": "Deny", "Action": "bedrock:InvokeModel", "Resource": "*"}`),
			[]string{`note 2:30 #1: gust has no list of the actions of "bedrock", so that typos in it are not found`}},

		// Stars.
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

// TestLintIsBounded: a large document takes no minutes.
func TestLintIsBounded(t *testing.T) {
	doc := `{"Version":"2012-10-17","Statement":[`
	for i := 0; len(doc) < policy.MaxDocument-200; i++ {
		doc += fmt.Sprintf(`{"Effect":"Allow","Action":["s3:GetObject%d","s3:PutObject%d"],"Resource":"arn:aws:s3:::b%d/*"},`, i, i, i)
	}
	start := time.Now()
	if found := policy.Lint([]byte(strings.TrimSuffix(doc, ",") + "]}")); len(found) == 0 {
		t.Error("nothing is found")
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("it took %v", d)
	}
}
