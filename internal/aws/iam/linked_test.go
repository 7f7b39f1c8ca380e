package iam_test

import (
	"strings"
	"testing"

	"github.com/gust-dev/gust/internal/aws/awstest"
)

func TestLifeOfALinkedRole(t *testing.T) {
	d := awstest.Open(t)
	const role, name = arn + "role/aws-service-role/batch.amazonaws.com/AWSServiceRoleForBatch", " RoleName=AWSServiceRoleForBatch"
	alice := d.User("alice", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:*","Resource":"`+arn+`role/aws-service-role/*","Condition":{"StringEqualsIfExists":{"iam:AWSServiceName":["batch.amazonaws.com","autoscaling.amazonaws.com"]}}}]}`)
	run(t, d, alice, []step{
		{"CreateServiceLinkedRole AWSServiceName=ecs.amazonaws.com", "AccessDenied", arn + "role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS"},
		{"CreateServiceLinkedRole AWSServiceName=batch.amazonaws.com Description=Jobs", "", "<Arn>" + role + "</Arn>"},
		{"CreateServiceLinkedRole AWSServiceName=batch.amazonaws.com", "InvalidInput", "Service role name AWSServiceRoleForBatch has been taken in this account, please try a different suffix."},
		{"CreateServiceLinkedRole AWSServiceName=batch.amazonaws.com CustomSuffix=x", "InvalidInput", "Custom suffix is not allowed for batch.amazonaws.com"},
		{"CreateServiceLinkedRole AWSServiceName=autoscaling.amazonaws.com CustomSuffix=blue", "", "AWSServiceRoleForAutoScaling_blue</Arn>"},
		{"CreateServiceLinkedRole AWSServiceName=shop.example.com", "InvalidInput", "none of those whose linked role"},
		{"GetRole" + name, "", "Service%22%3A%22batch.amazonaws.com"},
		{"GetRole" + name, "", "<Description>Jobs</Description>"},
		{"ListAttachedRolePolicies" + name, "", "arn:aws:iam::aws:policy/aws-service-role/BatchServiceRolePolicy"},
		{"TagRole" + name + " Tags.member.1.Key=a Tags.member.1.Value=b", "", ""},
		{"UpdateRoleDescription" + name + " Description=More", "", "<Description>More</Description>"},
		{"UpdateRole" + name + " Description=Most", "", ""},
		{"UpdateRole" + name + " MaxSessionDuration=7200", "UnmodifiableEntity", "batch.amazonaws.com"},
		{"DeleteRole" + name, "UnmodifiableEntity", "DeleteServiceLinkedRole removes it"},
		{"PutRolePolicy PolicyName=p PolicyDocument=LISTEN" + name, "UnmodifiableEntity", ""},
		{"UpdateAssumeRolePolicy PolicyDocument=TRUST" + name, "UnmodifiableEntity", ""},
	})
	run(t, d, d.Root, []step{
		{"ListRoles PathPrefix=/aws-service-role/batch", "", role},
		{"GetPolicy PolicyArn=arn:aws:iam::aws:policy/aws-service-role/BatchServiceRolePolicy", "", "<IsAttachable>false</IsAttachable>"},
		{"AttachUserPolicy UserName=alice PolicyArn=arn:aws:iam::aws:policy/aws-service-role/BatchServiceRolePolicy", "PolicyNotAttachable", "BatchServiceRolePolicy"},
		{"CreateRole RoleName=r Path=/aws-service-role/batch.amazonaws.com/ AssumeRolePolicyDocument=TRUST", "ValidationError", "linked to a service"},
		{"CreateRole RoleName=ordinary AssumeRolePolicyDocument=TRUST", "", ""},
		{"DeleteServiceLinkedRole RoleName=ordinary", "NoSuchEntity", "linked to a service"},
	})
	a := d.Call(alice, "iam", "DeleteServiceLinkedRole", "RoleName", "AWSServiceRoleForBatch")
	task := a.Text("DeletionTaskId")
	if !a.Is("") || !strings.HasPrefix(task, "task/aws-service-role/batch.amazonaws.com/AWSServiceRoleForBatch/") {
		t.Fatal(a.Body)
	}
	run(t, d, alice, []step{
		{"GetServiceLinkedRoleDeletionStatus DeletionTaskId=" + task, "", "<Status>SUCCEEDED</Status>"},
		{"GetServiceLinkedRoleDeletionStatus DeletionTaskId=" + task + "x", "AccessDenied", ""},
	})
	run(t, d, d.Root, []step{
		{"GetRole" + name, "NoSuchEntity", ""},
		{"DeleteServiceLinkedRole" + name, "NoSuchEntity", ""},
		{"GetServiceLinkedRoleDeletionStatus DeletionTaskId=" + task + "x", "NoSuchEntity", "deletion task"},
	})
}
