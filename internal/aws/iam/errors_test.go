package iam_test

import (
	"strings"
	"testing"

	"github.com/gust-dev/gust/internal/aws/awstest"
)

// TestTextsOfErrors: the texts are AWS's whatever the names in them are.
func TestTextsOfErrors(t *testing.T) {
	d := awstest.Open(t)
	long := func(document string, size int) string { // with that many characters of further actions
		before, after, _ := strings.Cut(document, `"Action":"`)
		action, rest, _ := strings.Cut(after, `"`)
		return before + `"Action":["` + action + `"` + strings.Repeat(`,"`+action+strings.Repeat("A", 97-len(action))+`"`, size/100) + "]" + rest
	}
	version := "CreatePolicyVersion PolicyArn=" + arn + "policy/p,q PolicyDocument=LISTEN"
	run(t, d, d.Root, []step{
		{"CreateUser UserName=a,b", "", ""},
		{"PutUserPolicy UserName=a,b PolicyName=p PolicyDocument=" + long(listen, 2048), "LimitExceeded", "Maximum policy size of 2048 bytes exceeded for user a,b</Message>"},
		{"CreateRole RoleName=r AssumeRolePolicyDocument=" + long(trust, 4096), "LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 4096"},
		{"CreatePolicy PolicyName=r PolicyDocument=" + long(listen, 6200), "LimitExceeded", "Cannot exceed quota for PolicySize: 6144"},
		{"CreatePolicy PolicyName=p,q PolicyDocument=LISTEN", "", ""}, {version, "", ""}, {version, "", ""}, {version, "", ""}, {version, "", ""},
		{version, "LimitExceeded", "A managed policy can have up to 5 versions, and p,q has them."},
		{"DeletePolicy PolicyArn=" + arn + "policy/p,q", "DeleteConflict", "This policy has more than one version."},
		{"DetachUserPolicy UserName=a,b PolicyArn=" + arn + "policy/p,q", "NoSuchEntity", "Policy " + arn + "policy/p,q was not found."},
		{"CreateAccessKey UserName=a,b", "", ""},
		{"DeleteUser UserName=a,b", "DeleteConflict", "Cannot delete entity, must delete access keys first."},
	})
}
