package conformance

import (
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// TestTerraformsCalls makes the calls that Terraform's provider for AWS makes for
// its IAM resources, with the SDK that it is made with and in its order: what it
// creates, reads back after each write, changes, and looks at before it deletes.
// Terraform itself, which TestTerraform runs, is not everywhere: the releases of
// its provider are in no package registry.
func TestTerraformsCalls(t *testing.T) {
	ctx, root := t.Context(), asKey("", "", "")
	c := root.iam()
	tag := []types.Tag{{Key: aws.String("managed-by"), Value: aws.String("terraform")}}
	// What is not in the configuration is sent as well, empty.
	empty, none := aws.String(""), []types.Tag{}
	// Characters that mean something else in a form, and in the escaped answer.
	document := policyOf(map[string]any{"Sid": "Plus", "Effect": "Allow", "Action": []string{"lambda:Invoke*"},
		"Resource": "arn:aws:lambda:*:*:function:tf-*", "Condition": map[string]any{"StringEquals": map[string]string{"aws:PrincipalTag/team": "a + b & c = %41"}}})
	same := func(what string, got *string) {
		t.Helper()
		if text := must(url.QueryUnescape(aws.ToString(got)))(t); !sameJSON(text, *document) {
			t.Errorf("%s reads as %s, want %s", what, text, *document)
		}
	}
	gone := func(what string, err error) {
		t.Helper()
		if kind := named(err); kind != "NoSuchEntityException" {
			t.Errorf("%s is deleted, and reads as %s", what, kind)
		}
	}

	// The provider itself, and data aws_caller_identity.
	if got := must(root.sts().GetCallerIdentity(ctx, nil))(t); *got.Account != "000000000000" || *got.Arn != account+"root" || *got.UserId == "" {
		t.Errorf("%+v", got)
	}

	// aws_iam_policy
	arn := must(c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("tf-policy"), Path: aws.String("/"), Description: empty, PolicyDocument: document, Tags: none}))(t).Policy.Arn
	readPolicy := func() *types.Policy {
		t.Helper()
		p := must(c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: arn}))(t).Policy
		same("the policy", must(c.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: arn, VersionId: p.DefaultVersionId}))(t).PolicyVersion.Document)
		return p
	}
	if p := readPolicy(); *p.PolicyName != "tf-policy" || *p.Path != "/" || *p.AttachmentCount != 0 || aws.ToString(p.PolicyId) == "" || len(p.Tags) != 0 {
		t.Errorf("%+v", p)
	}
	// ... changed six times: the oldest version makes room for the newest.
	for range 6 {
		versions := must(c.ListPolicyVersions(ctx, &iam.ListPolicyVersionsInput{PolicyArn: arn}))(t).Versions
		if len(versions) == 5 {
			var oldest *types.PolicyVersion
			for _, v := range versions {
				if !v.IsDefaultVersion && (oldest == nil || v.CreateDate.Before(*oldest.CreateDate)) {
					oldest = &v
				}
			}
			must(c.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: oldest.VersionId}))(t)
		}
		v := must(c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: document}))(t).PolicyVersion
		must(c.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: arn, VersionId: v.VersionId}))(t)
		if p := readPolicy(); *p.DefaultVersionId != *v.VersionId {
			t.Errorf("version %s is the default, want %s", *p.DefaultVersionId, *v.VersionId)
		}
	}
	must(c.TagPolicy(ctx, &iam.TagPolicyInput{PolicyArn: arn, Tags: tag}))(t)
	if tags := must(c.ListPolicyTags(ctx, &iam.ListPolicyTagsInput{PolicyArn: arn}))(t).Tags; len(tags) != 1 {
		t.Errorf("the tags are %v", tags)
	}
	must(c.UntagPolicy(ctx, &iam.UntagPolicyInput{PolicyArn: arn, TagKeys: []string{"managed-by"}}))(t)

	// aws_iam_group, aws_iam_group_policy, aws_iam_group_policy_attachment
	group, name := aws.String("tf-group"), aws.String("tf-inline")
	must(c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: group, Path: aws.String("/tf/")}))(t)
	if g := must(c.GetGroup(ctx, &iam.GetGroupInput{GroupName: group}))(t).Group; *g.Arn != account+"group/tf/tf-group" || aws.ToString(g.GroupId) == "" {
		t.Errorf("%+v", g)
	}
	must(c.UpdateGroup(ctx, &iam.UpdateGroupInput{GroupName: group, NewGroupName: group, NewPath: aws.String("/")}))(t)
	if g := must(c.GetGroup(ctx, &iam.GetGroupInput{GroupName: group}))(t).Group; *g.Arn != account+"group/tf-group" {
		t.Errorf("%+v", g)
	}
	must(c.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: group, PolicyName: name, PolicyDocument: document}))(t)
	same("the group's policy", must(c.GetGroupPolicy(ctx, &iam.GetGroupPolicyInput{GroupName: group, PolicyName: name}))(t).PolicyDocument)
	must(c.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: group, PolicyArn: arn}))(t)
	attached := func(list []types.AttachedPolicy) {
		t.Helper()
		if len(list) != 1 || *list[0].PolicyArn != *arn || *list[0].PolicyName != "tf-policy" {
			t.Errorf("attached is %+v", list)
		}
	}
	attached(must(c.ListAttachedGroupPolicies(ctx, &iam.ListAttachedGroupPoliciesInput{GroupName: group}))(t).AttachedPolicies)

	// aws_iam_user, aws_iam_user_policy, aws_iam_user_policy_attachment
	user := aws.String("tf-user")
	must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: user, Path: aws.String("/"), Tags: tag}))(t)
	if u := must(c.GetUser(ctx, &iam.GetUserInput{UserName: user}))(t).User; *u.Arn != account+"user/tf-user" || len(u.Tags) != 1 || u.PermissionsBoundary != nil {
		t.Errorf("%+v", u)
	}
	must(c.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: user, PermissionsBoundary: arn}))(t)
	if u := must(c.GetUser(ctx, &iam.GetUserInput{UserName: user}))(t).User; *u.PermissionsBoundary.PermissionsBoundaryArn != *arn {
		t.Errorf("%+v", u)
	}
	must(c.DeleteUserPermissionsBoundary(ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: user}))(t)
	must(c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: user, PolicyName: name, PolicyDocument: document}))(t)
	same("the user's policy", must(c.GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: user, PolicyName: name}))(t).PolicyDocument)
	must(c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: user, PolicyArn: arn}))(t)
	attached(must(c.ListAttachedUserPolicies(ctx, &iam.ListAttachedUserPoliciesInput{UserName: user}))(t).AttachedPolicies)

	// aws_iam_group_membership
	must(c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: group, UserName: user}))(t)
	if users := must(c.GetGroup(ctx, &iam.GetGroupInput{GroupName: group}))(t).Users; len(users) != 1 || *users[0].UserName != *user {
		t.Errorf("the group has %+v", users)
	}

	// aws_iam_access_key
	key := must(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: user}))(t).AccessKey
	if key.SecretAccessKey == nil || key.CreateDate == nil || time.Since(*key.CreateDate) > time.Hour {
		t.Errorf("%+v", key)
	}
	must(c.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: user, AccessKeyId: key.AccessKeyId, Status: types.StatusTypeInactive}))(t)
	if keys := must(c.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: user}))(t).AccessKeyMetadata; len(keys) != 1 || keys[0].Status != types.StatusTypeInactive {
		t.Errorf("%+v", keys)
	}

	// aws_iam_role, aws_iam_role_policy, aws_iam_role_policy_attachment
	role := aws.String("tf-role")
	must(c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: role, Path: aws.String("/"), AssumeRolePolicyDocument: trust("Service", "lambda.amazonaws.com"),
		Description: aws.String("of a test"), MaxSessionDuration: aws.Int32(3600), Tags: tag}))(t)
	readRole := func() *types.Role {
		t.Helper()
		r := must(c.GetRole(ctx, &iam.GetRoleInput{RoleName: role}))(t).Role
		for _, inline := range must(c.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: role}))(t).PolicyNames {
			same("the role's policy", must(c.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: role, PolicyName: &inline}))(t).PolicyDocument)
		}
		must(c.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: role}))(t)
		return r
	}
	if r := readRole(); *r.Arn != account+"role/tf-role" || *r.Description != "of a test" || *r.MaxSessionDuration != 3600 || len(r.Tags) != 1 || r.CreateDate == nil || aws.ToString(r.RoleId) == "" ||
		first(t, r.AssumeRolePolicyDocument).Principal["Service"] != "lambda.amazonaws.com" {
		t.Errorf("%+v", r)
	}
	must(c.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: role, PolicyDocument: trust("AWS", account+"root")}))(t)
	must(c.UpdateRoleDescription(ctx, &iam.UpdateRoleDescriptionInput{RoleName: role, Description: empty}))(t)
	must(c.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: role, MaxSessionDuration: aws.Int32(7200)}))(t)
	must(c.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: role, PermissionsBoundary: arn}))(t)
	must(c.UntagRole(ctx, &iam.UntagRoleInput{RoleName: role, TagKeys: []string{"managed-by"}}))(t)
	must(c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: role, PolicyName: name, PolicyDocument: document}))(t)
	must(c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: role, PolicyArn: arn}))(t)
	attached(must(c.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: role}))(t).AttachedPolicies)
	if r := readRole(); aws.ToString(r.Description) != "" || *r.MaxSessionDuration != 7200 || *r.PermissionsBoundary.PermissionsBoundaryArn != *arn || len(r.Tags) != 0 ||
		first(t, r.AssumeRolePolicyDocument).Principal["AWS"] != account+"root" {
		t.Errorf("%+v", r)
	}
	if p := readPolicy(); *p.AttachmentCount != 3 || *p.PermissionsBoundaryUsageCount != 1 {
		t.Errorf("the policy is attached to %d and the boundary of %d, want 3 and 1", *p.AttachmentCount, *p.PermissionsBoundaryUsageCount)
	}
	must(c.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: role}))(t)

	// aws_iam_openid_connect_provider: the answer's URL has no scheme, as AWS's.
	print1, print2 := "9e99a48a9960b14926bb7f3b02e22da2b0ab7280", "990f4193972f2becf12ddeda5237f9c952f20d9e"
	issuer := must(c.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: aws.String("https://tf.example.com/a"), ClientIDList: []string{"sts.amazonaws.com"},
		ThumbprintList: []string{print1}, Tags: tag}))(t).OpenIDConnectProviderArn
	if *issuer != account+"oidc-provider/tf.example.com/a" {
		t.Errorf("the provider is %s", *issuer)
	}
	must(c.UpdateOpenIDConnectProviderThumbprint(ctx, &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: issuer, ThumbprintList: []string{print2}}))(t)
	must(c.AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: issuer, ClientID: aws.String("other")}))(t)
	must(c.RemoveClientIDFromOpenIDConnectProvider(ctx, &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: issuer, ClientID: aws.String("sts.amazonaws.com")}))(t)
	if p := must(c.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: issuer}))(t); *p.Url != "tf.example.com/a" || len(p.ClientIDList) != 1 ||
		p.ClientIDList[0] != "other" || len(p.ThumbprintList) != 1 || p.ThumbprintList[0] != print2 || len(p.Tags) != 1 {
		t.Errorf("%+v", p)
	}
	must(c.DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: issuer}))(t)
	gone("the provider", failed(c.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: issuer})))

	// A role is deleted, with force_detach_policies.
	if profiles := must(c.ListInstanceProfilesForRole(ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: role}))(t).InstanceProfiles; len(profiles) != 0 {
		t.Errorf("%+v", profiles)
	}
	for _, p := range must(c.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: role}))(t).AttachedPolicies {
		must(c.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: role, PolicyArn: p.PolicyArn}))(t)
	}
	for _, inline := range must(c.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: role}))(t).PolicyNames {
		must(c.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: role, PolicyName: &inline}))(t)
	}
	must(c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: role}))(t)
	gone("the role", failed(c.GetRole(ctx, &iam.GetRoleInput{RoleName: role})))
	gone("the role's list", failed(c.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: role})))

	// A user is deleted, with force_destroy: all that there could be is looked for.
	must(c.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: user, PolicyArn: arn}))(t)
	must(c.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: user, PolicyName: name}))(t)
	for _, g := range must(c.ListGroupsForUser(ctx, &iam.ListGroupsForUserInput{UserName: user}))(t).Groups {
		must(c.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: g.GroupName, UserName: user}))(t)
	}
	for _, k := range must(c.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: user}))(t).AccessKeyMetadata {
		must(c.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: user, AccessKeyId: k.AccessKeyId}))(t)
	}
	if keys := must(c.ListSSHPublicKeys(ctx, &iam.ListSSHPublicKeysInput{UserName: user}))(t).SSHPublicKeys; len(keys) != 0 {
		t.Errorf("%+v", keys)
	}
	if devices := must(c.ListVirtualMFADevices(ctx, &iam.ListVirtualMFADevicesInput{AssignmentStatus: types.AssignmentStatusTypeAssigned}))(t).VirtualMFADevices; len(devices) != 0 {
		t.Errorf("%+v", devices)
	}
	if devices := must(c.ListMFADevices(ctx, &iam.ListMFADevicesInput{UserName: user}))(t).MFADevices; len(devices) != 0 {
		t.Errorf("%+v", devices)
	}
	gone("the user's password", failed(c.DeleteLoginProfile(ctx, &iam.DeleteLoginProfileInput{UserName: user})))
	if certificates := must(c.ListSigningCertificates(ctx, &iam.ListSigningCertificatesInput{UserName: user}))(t).Certificates; len(certificates) != 0 {
		t.Errorf("%+v", certificates)
	}
	if credentials := must(c.ListServiceSpecificCredentials(ctx, &iam.ListServiceSpecificCredentialsInput{UserName: user}))(t).ServiceSpecificCredentials; len(credentials) != 0 {
		t.Errorf("%+v", credentials)
	}
	must(c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: user}))(t)
	gone("the user", failed(c.GetUser(ctx, &iam.GetUserInput{UserName: user})))

	must(c.DetachGroupPolicy(ctx, &iam.DetachGroupPolicyInput{GroupName: group, PolicyArn: arn}))(t)
	must(c.DeleteGroupPolicy(ctx, &iam.DeleteGroupPolicyInput{GroupName: group, PolicyName: name}))(t)
	must(c.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: group}))(t)
	gone("the group", failed(c.GetGroup(ctx, &iam.GetGroupInput{GroupName: group})))

	for _, v := range must(c.ListPolicyVersions(ctx, &iam.ListPolicyVersionsInput{PolicyArn: arn}))(t).Versions {
		if !v.IsDefaultVersion {
			must(c.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: v.VersionId}))(t)
		}
	}
	must(c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn}))(t)
	gone("the policy", failed(c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: arn})))
}

// failed is the error of a call.
func failed[T any](_ T, err error) error { return err }
