package iam_test

import (
	"testing"

	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/aws/awstest"
)

// TestSimulationKnowsWhatExplainKnows: what is asked of a simulation is decided as
// it is by Explain, of whatever key a condition is.
func TestSimulationKnowsWhatExplainKnows(t *testing.T) {
	d := awstest.Open(t)
	d.User("alice", "")
	for condition, want := range map[string]string{
		`{"StringEquals":{"aws:PrincipalType":"User"}}`:                      "allowed",
		`{"StringEquals":{"aws:PrincipalType":"AssumedRole"}}`:               "implicitDeny",
		`{"StringEquals":{"aws:RequestedRegion":"us-east-1"}}`:               "allowed",
		`{"StringEquals":{"aws:PrincipalIsAWSService":"false"}}`:             "allowed",
		`{"StringEquals":{"aws:username":"alice"}}`:                          "allowed",
		`{"Bool":{"aws:SecureTransport":"false"}}`:                           "implicitDeny",
		`{"Null":{"aws:TokenIssueTime":"true"}}`:                             "allowed",
		`{"StringEquals":{"aws:ResourceAccount":"` + awstest.Account + `"}}`: "allowed",
		`{"DateGreaterThan":{"aws:CurrentTime":"2001-01-01T00:00:00Z"}}`:     "allowed",
	} {
		doc := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"lambda:*","Resource":"*","Condition":` + condition + `}]}`
		if err := d.Directory.PutInline(t.Context(), identity.User("alice"), "own", doc); err != nil {
			t.Fatal(err)
		}
		const action, resource = "lambda:InvokeFunction", "arn:aws:lambda:us-east-1:" + awstest.Account + ":function:f"
		a := d.Call(d.Root, "iam", "SimulatePrincipalPolicy", "PolicySourceArn", arn+"user/alice", "ActionNames.member.1", action, "ResourceArns.member.1", resource)
		if got := a.Text("EvalDecision"); got != want {
			t.Errorf("%s: the simulation says %q, want %s", condition, got, want)
		}
		if e, err := d.Directory.Explain("user/alice", action, resource, nil); err != nil || e.Allowed != (want == "allowed") {
			t.Errorf("%s: explained it is %v, %v, want %s", condition, e.Allowed, err, want)
		}
	}
}
