package iam_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gust-dev/gust/internal/aws/awstest"
)

func TestSimulation(t *testing.T) {
	d := awstest.Open(t)
	get := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::b/${aws:username}/*"},{"Sid":"No","Effect":"Deny","Action":"s3:GetObject","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`
	d.User("alice", get)
	d.Call(d.Root, "iam", "CreatePolicy", "PolicyName", "bound", "PolicyDocument", listen)
	simulate := func(op string, params ...string) (decisions []string, a *awstest.Answer) {
		t.Helper()
		a = d.Call(d.Root, "iam", op, params...)
		if !a.Is("") {
			t.Fatal(a.Body)
		}
		return a.All("EvalDecision"), a
	}
	alice := []string{"PolicySourceArn", arn + "user/alice", "ActionNames.member.1", "s3:GetObject", "ActionNames.member.2", "s3:PutObject",
		"ResourceArns.member.1", "arn:aws:s3:::b/alice/x", "ResourceArns.member.2", "arn:aws:s3:::b/bob/x"}
	got, a := simulate("SimulatePrincipalPolicy", alice...)
	if fmt.Sprint(got) != "[allowed implicitDeny implicitDeny implicitDeny]" || a.Text("SourcePolicyId") != "inline policy own of user alice" || !strings.Contains(a.Body, "<MissingContextValues><member>aws:securetransport</member>") {
		t.Error(a.Body)
	}
	got, a = simulate("SimulatePrincipalPolicy", append(alice, "ContextEntries.member.1.ContextKeyName", "aws:SecureTransport", "ContextEntries.member.1.ContextKeyValues.member.1", "false")...)
	if fmt.Sprint(got) != "[explicitDeny explicitDeny implicitDeny implicitDeny]" {
		t.Error(a.Body)
	}
	got, a = simulate("SimulatePrincipalPolicy", append(alice, "PermissionsBoundaryPolicyInputList.member.1", listen)...)
	if got[0] != "implicitDeny" || a.Text("AllowedByPermissionsBoundary") != "false" {
		t.Error(a.Body)
	}
	if got, a = simulate("SimulatePrincipalPolicy", append(alice, "MaxItems", "3")...); len(got) != 3 || a.Text("Marker") == "" {
		t.Error(a.Body)
	}
	if got, a = simulate("SimulatePrincipalPolicy", append(alice, "MaxItems", "3", "Marker", a.Text("Marker"))...); len(got) != 1 || a.Text("Marker") != "" {
		t.Error(a.Body)
	}
	if got, a = simulate("SimulateCustomPolicy", "PolicyInputList.member.1", listen, "ActionNames.member.1", "s3:ListBucket"); fmt.Sprint(got) != "[allowed]" || a.Text("SourcePolicyId") != "PolicyInputList.1" {
		t.Error(a.Body)
	}
	if _, a = simulate("GetContextKeysForPrincipalPolicy", "PolicySourceArn", arn+"user/alice"); fmt.Sprint(a.All("member")) != "[aws:SecureTransport aws:username]" {
		t.Error(a.Body)
	}
	d.Call(d.Root, "iam", "TagUser", "UserName", "alice", "Tags.member.1.Key", "Team", "Tags.member.1.Value", "blue")
	tagged := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sqs:*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"blue"}}}}`
	if got, a = simulate("SimulatePrincipalPolicy", "PolicySourceArn", arn+"user/alice", "PolicyInputList.member.1", tagged, "ActionNames.member.1", "sqs:SendMessage"); fmt.Sprint(got) != "[allowed]" {
		t.Error(a.Body)
	}
	run(t, d, d.Root, []step{
		{"SimulatePrincipalPolicy PolicySourceArn=user/alice-by-another-name ActionNames.member.1=s3:GetObject", "InvalidInput", "PolicySourceArn"},
		{"SimulatePrincipalPolicy PolicySourceArn=arn:aws:sts::" + awstest.Account + ":assumed-role/r/s ActionNames.member.1=s3:GetObject", "InvalidInput", "PolicySourceArn"},
		{"SimulatePrincipalPolicy PolicySourceArn=" + arn + "user/none ActionNames.member.1=s3:GetObject", "NoSuchEntity", "none"},
		{"SimulateCustomPolicy PolicyInputList.member.1={ ActionNames.member.1=s3:GetObject", "InvalidInput", "PolicyInputList.1"},
		{"SimulateCustomPolicy PolicyInputList.member.1=LISTEN ActionNames.member.1=s3:GetObject ResourceHandlingOption=EC2-VPC", "InvalidInput", "ResourceHandlingOption"},
		{"SimulateCustomPolicy PolicyInputList.member.1=LISTEN ActionNames.member.1=s3:GetObject ResourcePolicy=LISTEN", "InvalidInput", "ResourcePolicy"},
		{"SimulateCustomPolicy PolicyInputList.member.1=LISTEN ActionNames.member.1=s3:GetObject ResourceOwner=arn:aws:iam::999999999999:root", "InvalidInput", "one account"},
	})
}

// TestSimulationIsBounded: one request takes about a second of a core at the most,
// whatever policies and context it brings.
func TestSimulationIsBounded(t *testing.T) {
	d := awstest.Open(t)
	simulate := func(doc string, docs, actions, values int, value, marker string) *awstest.Answer {
		t.Helper()
		params := []string{"MaxItems", "1000", "ContextEntries.member.1.ContextKeyName", "aws:UserAgent", "ContextEntries.member.1.ContextKeyType", "string"}
		for i := range docs {
			params = append(params, fmt.Sprint("PolicyInputList.member.", i+1), doc)
		}
		for i := range actions {
			params = append(params, fmt.Sprint("ActionNames.member.", i+1), "s3:GetObject")
		}
		for i := range values {
			params = append(params, fmt.Sprint("ContextEntries.member.1.ContextKeyValues.member.", i+1), value)
		}
		if marker != "" {
			params = append(params, "Marker", marker)
		}
		return d.Call(d.Root, "iam", "SimulateCustomPolicy", params...)
	}
	long := strings.Repeat("a", 1900)
	like := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringLike":{"aws:UserAgent":[` +
		strings.TrimSuffix(strings.Repeat(`"*`+long+`b*",`, 16), ",") + `]}}}}`

	const bound = 4 << 20
	refused := func(a *awstest.Answer) bool {
		return a.Is("InvalidInput") && strings.Contains(a.Message, "above the maximum of 4194304")
	}
	// Of what is above a value's bound nothing is looked at; it counts as the longest.
	if a := simulate(like, 1, 100, 1, strings.Repeat("a", 100_000), ""); !a.Is("") || len(a.All("EvalDecision")) != bound/(33*len(like)) || a.Text("EvalDecision") != "implicitDeny" {
		t.Errorf("%.500s", a.Body)
	}
	// Much of both takes several pages.
	seen, marker := 0, ""
	for page := 1; page == 1 || marker != ""; page++ {
		a := simulate(like, 2, 10, 1, long, marker)
		n := len(a.All("EvalDecision"))
		if !a.Is("") || n == 0 || n > bound/(2*30*len(like)) {
			t.Fatalf("page %d has %d of them: %.500s", page, n, a.Body)
		}
		seen, marker = seen+n, a.Text("Marker")
	}
	if seen != 10 {
		t.Errorf("the pages have %d together", seen)
	}
	if a := simulate(like, 10, 1, 20, "x", ""); !refused(a) {
		t.Errorf("%.500s", a.Body)
	}
	// Much of policies, and an ordinary context, is gone on with.
	large := fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["s3:Get*"%s],"Resource":"*"}}`, strings.Repeat(" ", 64_000))
	if a := simulate(large, 11, 100, 1, strings.Repeat("Mozilla/5.0 ", 20), ""); !a.Is("") || len(a.All("EvalDecision")) != 1 || a.Text("EvalDecision") != "allowed" {
		t.Errorf("%.500s", a.Body)
	}

	// What takes longest to compare: each pattern is looked for from every place.
	full := strings.Repeat("a", 2048)
	for _, pattern := range []string{"*a?b*", "*a?a?b*", "*a?a?a?b*"} {
		hard := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringLike":{"aws:UserAgent":[` +
			strings.TrimSuffix(strings.Repeat(`"`+pattern+`",`, 900), ",") + `]}}}}`
		fits := bound / (33 * len(hard))
		if a := simulate(hard, 1, 1, fits+1, full, ""); !refused(a) {
			t.Errorf("%s: %.500s", pattern, a.Body)
		}
		begun := time.Now()
		a := simulate(hard, 1, 100, fits, full, "")
		if took := time.Since(begun); !a.Is("") || len(a.All("EvalDecision")) != 1 || took > 15*time.Second { // one, on a slow machine under -race
			t.Errorf("%s took %v: %.500s", pattern, took, a.Body)
		}
	}
	// Numbers that take long to read are read once for all that they are compared with.
	number := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"NumericEquals":{"aws:UserAgent":[` +
		strings.TrimSuffix(strings.Repeat(`1,`, 1000), ",") + `]}}}}`
	begun := time.Now()
	if a := simulate(number, 1, 1, 1000, "1e-322", ""); a.Text("EvalDecision") != "implicitDeny" || time.Since(begun) > 15*time.Second {
		t.Errorf("it took %v: %.500s", time.Since(begun), a.Body)
	}
}

// TestSimulatingTellsNothingOfOthers: who may simulate policies may not for that
// learn who there is, and what is known of them.
func TestSimulatingTellsNothingOfOthers(t *testing.T) {
	d := awstest.Open(t)
	eve := d.User("eve", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["iam:SimulateCustomPolicy","iam:SimulatePrincipalPolicy"],"Resource":["*"],
		"Condition":{"StringNotLike":{"aws:ResourceTag/secret":"*"}}}}`)
	d.User("alice", "")
	d.Call(d.Root, "iam", "TagUser", "UserName", "alice", "Tags.member.1.Key", "secret", "Tags.member.1.Value", "blue")
	d.Call(d.Root, "iam", "CreateRole", "RoleName", "worker", "AssumeRolePolicyDocument", trust)
	tagged := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringLike":{"aws:PrincipalTag/secret":"*"}}}}`
	known := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringLike":{"aws:userid":"*"}}}}`
	lets := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + arn + `%s"},"Action":"s3:GetObject","Resource":"*"}}`
	for _, source := range [][]string{{"SimulateCustomPolicy"}, {"SimulatePrincipalPolicy", "PolicySourceArn", arn + "user/eve"}} {
		answer := func(doc, caller string, more ...string) string {
			t.Helper()
			a := d.Call(eve, "iam", source[0], slices.Concat(source[1:], []string{"PolicyInputList.member.1", doc, "CallerArn", caller, "ActionNames.member.1", "s3:GetObject"}, more)...)
			if !a.Is("") {
				t.Fatalf("%s: %s", caller, a.Body)
			}
			return strings.ReplaceAll(a.Body[:strings.Index(a.Body, "RequestId")], caller, "")
		}
		for _, doc := range []string{tagged, known} {
			nobody := answer(doc, arn+"user/nobody")
			for _, who := range []string{"user/alice", "user/ALICE", "role/worker", "role/nobody", "root"} {
				if got := answer(doc, arn+who); got != nobody {
					t.Errorf("%s tells of %s:\n%s\nof nobody it says\n%s", source[0], who, got, nobody)
				}
			}
		}
		// It is who a resource's policy names, still.
		for _, who := range []string{"user/team/alice", "role/worker"} {
			if got := answer(tagged, arn+who, "ResourcePolicy", fmt.Sprintf(lets, who)); !strings.Contains(got, "<EvalDecision>allowed<") {
				t.Errorf("%s: %s", who, got)
			}
			if got := answer(tagged, arn+"user/bob", "ResourcePolicy", fmt.Sprintf(lets, who)); !strings.Contains(got, "<EvalDecision>implicitDeny<") {
				t.Errorf("bob as %s: %s", who, got)
			}
		}
	}
	// The principal itself is known.
	if a := d.Call(d.Root, "iam", "SimulatePrincipalPolicy", "PolicySourceArn", arn+"user/alice", "CallerArn", arn+"user/alice", "PolicyInputList.member.1", tagged, "ActionNames.member.1", "s3:GetObject"); a.Text("EvalDecision") != "allowed" {
		t.Error(a.Body)
	}
	for _, caller := range []string{"alice", "user/alice", "arn:aws:iam::999999999999:user/alice", arn + "user/", arn + "group/devs", "arn:aws:sts::" + awstest.Account + ":assumed-role/worker/s"} {
		if a := d.Call(d.Root, "iam", "SimulateCustomPolicy", "PolicyInputList.member.1", tagged, "CallerArn", caller, "ActionNames.member.1", "s3:GetObject"); a.Status != 400 || !strings.Contains(a.Body, "allerArn") {
			t.Errorf("%s: %s", caller, a.Body)
		}
	}
}
