package conformance

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// TestExamples makes the calls of the SDKs' documentation that are not in
// TestIdentities: a user who sees to their own keys without a name, roles of
// services, a policy that is rolled back, what there is none of, and what is
// refused.
func TestExamples(t *testing.T) {
	ctx := t.Context()
	root := asKey("", "", "").iam()

	t.Run("one's own keys", func(t *testing.T) {
		grace, key := person(t, "grace", statement("Allow", "iam:*", account+"user/${aws:username}"))
		c := grace.iam()
		if u := must(c.GetUser(ctx, nil))(t).User; *u.UserName != "grace" || u.PasswordLastUsed != nil {
			t.Errorf("%+v", u)
		}
		second := must(c.CreateAccessKey(ctx, nil))(t).AccessKey
		if *second.UserName != "grace" {
			t.Errorf("%+v", second)
		}
		if used := must(root.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: second.AccessKeyId}))(t).AccessKeyLastUsed; *used.ServiceName != "N/A" || *used.Region != "N/A" || used.LastUsedDate != nil {
			t.Errorf("a key that was never used: %+v", used)
		}
		must(c.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{AccessKeyId: second.AccessKeyId, Status: types.StatusTypeInactive}))(t)
		statuses := func() (all []string) {
			for _, k := range must(c.ListAccessKeys(ctx, nil))(t).AccessKeyMetadata {
				all = append(all, *k.AccessKeyId+" "+string(k.Status))
			}
			slices.Sort(all)
			return all
		}
		want := []string{*key.AccessKeyId + " Active", *second.AccessKeyId + " Inactive"}
		slices.Sort(want)
		if got := statuses(); !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		must(c.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{AccessKeyId: second.AccessKeyId}))(t)
		if got := statuses(); len(got) != 1 {
			t.Errorf("%q", got)
		}
		if got := fault(c.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: aws.String("somebody-else")})); got != "AccessDenied" {
			t.Errorf("another's keys: %s", got)
		}
		if got := must(asKey("", "", "").sts().GetAccessKeyInfo(ctx, &sts.GetAccessKeyInfoInput{AccessKeyId: key.AccessKeyId}))(t); *got.Account != "000000000000" {
			t.Errorf("%+v", got)
		}
	})

	t.Run("a role of services", func(t *testing.T) {
		role := aws.String("demo-iam-role")
		allow := func(service string) map[string]any {
			return map[string]any{"Effect": "Allow", "Principal": map[string]string{"Service": service}, "Action": "sts:AssumeRole"}
		}
		must(root.CreateRole(ctx, &iam.CreateRoleInput{RoleName: role, AssumeRolePolicyDocument: policyOf(allow("lambda.amazonaws.com"), allow("batchoperations.s3.amazonaws.com"))}))(t)
		for _, name := range []string{"AmazonS3ReadOnlyAccess", "service-role/AWSLambdaBasicExecutionRole"} {
			arn := aws.String("arn:aws:iam::aws:policy/" + name)
			must(root.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: role, PolicyArn: arn}))(t)
			must(root.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: role, PolicyArn: arn}))(t)
		}
		must(root.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: role}))(t)
	})

	t.Run("a policy is rolled back", func(t *testing.T) {
		// s3:ListObjects is no action of AWS, and its examples have it.
		created := must(root.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("demo-iam-policy"), PolicyDocument: statement("Allow", "s3:ListObjects", "arn:aws:s3:::made-up-bucket-name")}))(t)
		arn := created.Policy.Arn
		must(root.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: statement("Allow", "s3:PutObject", "arn:aws:s3:::made-up-bucket-name"), SetAsDefault: true}))(t)
		versions := must(root.ListPolicyVersions(ctx, &iam.ListPolicyVersionsInput{PolicyArn: arn}))(t).Versions
		slices.SortFunc(versions, func(a, b types.PolicyVersion) int { return strings.Compare(*a.VersionId, *b.VersionId) })
		if len(versions) != 2 || versions[0].IsDefaultVersion || !versions[1].IsDefaultVersion || versions[0].CreateDate == nil {
			t.Fatalf("%+v", versions)
		}
		if got := fault(root.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: versions[1].VersionId})); got != "DeleteConflictException" {
			t.Errorf("the default version is deleted: %s", got)
		}
		must(root.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: arn, VersionId: versions[0].VersionId}))(t)
		must(root.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: versions[1].VersionId}))(t)
		must(root.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn}))(t)
	})

	t.Run("what there is none of", func(t *testing.T) {
		if got := must(root.ListSAMLProviders(ctx, nil))(t); len(got.SAMLProviderList) != 0 {
			t.Errorf("%+v", got)
		}
		if got := must(root.ListServerCertificates(ctx, nil))(t); len(got.ServerCertificateMetadataList) != 0 {
			t.Errorf("%+v", got)
		}
		if got := must(root.ListInstanceProfiles(ctx, nil))(t); len(got.InstanceProfiles) != 0 {
			t.Errorf("%+v", got)
		}
		if got := fault(root.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: aws.String("profile")})); got != "NoSuchEntityException" {
			t.Error(got)
		}
		person(t, "ivan", nil)
		if got := fault(root.GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: aws.String("ivan")})); got != "NoSuchEntityException" {
			t.Error(got)
		}
		// No filter is an empty one, too.
		if got := must(root.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{Filter: []types.EntityType{}}))(t); len(got.Policies) == 0 {
			t.Errorf("%+v", got)
		}
	})

	t.Run("simulations", func(t *testing.T) {
		person(t, "heidi", policyOf(
			map[string]any{"Effect": "Allow", "Action": "lambda:*", "Resource": "*", "Condition": map[string]any{"StringEquals": map[string]string{"aws:PrincipalTag/team": "blue"}}},
			map[string]any{"Effect": "Deny", "Action": "lambda:DeleteFunction", "Resource": "*"}))
		heidi := aws.String(account + "user/heidi")
		must(root.TagUser(ctx, &iam.TagUserInput{UserName: aws.String("heidi"), Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("blue")}}}))(t)
		actions := []string{"lambda:GetFunction", "lambda:DeleteFunction", "s3:GetObject"}
		decisions := func(results []types.EvaluationResult) (all []string) {
			for _, r := range results {
				all = append(all, *r.EvalActionName+" "+string(r.EvalDecision))
			}
			return all
		}
		want := []string{"lambda:GetFunction allowed", "lambda:DeleteFunction explicitDeny", "s3:GetObject implicitDeny"}
		if got := decisions(must(root.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: heidi, ActionNames: actions}))(t).EvaluationResults); !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		must(root.UntagUser(ctx, &iam.UntagUserInput{UserName: aws.String("heidi"), TagKeys: []string{"team"}}))(t)
		want[0] = "lambda:GetFunction implicitDeny"
		if got := decisions(must(root.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: heidi, ActionNames: actions}))(t).EvaluationResults); !slices.Equal(got, want) {
			t.Errorf("without the tag: %q", got)
		}
		custom := must(root.SimulateCustomPolicy(ctx, &iam.SimulateCustomPolicyInput{PolicyInputList: []string{*statement("Allow", "lambda:Get*", "*")}, ActionNames: actions[:1]}))(t)
		if got := decisions(custom.EvaluationResults); !slices.Equal(got, []string{"lambda:GetFunction allowed"}) {
			t.Errorf("%q", got)
		}
		if got := must(root.GetContextKeysForPrincipalPolicy(ctx, &iam.GetContextKeysForPrincipalPolicyInput{PolicySourceArn: heidi}))(t).ContextKeyNames; !slices.Equal(got, []string{"aws:PrincipalTag/team"}) {
			t.Errorf("%q", got)
		}
		document := statement("Allow", "iam:*", account+"user/${aws:username}")
		if got := must(root.GetContextKeysForCustomPolicy(ctx, &iam.GetContextKeysForCustomPolicyInput{PolicyInputList: []string{*document}}))(t).ContextKeyNames; !slices.Equal(got, []string{"aws:username"}) {
			t.Errorf("%q", got)
		}
	})

	t.Run("tags and lists", func(t *testing.T) {
		tag, key := []types.Tag{{Key: aws.String("team"), Value: aws.String("blue")}}, []string{"team"}
		role, group := aws.String("listed-role"), aws.String("listed-group")
		roleOf(t, *role, trust("Service", "lambda.amazonaws.com"), nil)
		must(root.TagRole(ctx, &iam.TagRoleInput{RoleName: role, Tags: tag}))(t)
		if got := must(root.ListRoleTags(ctx, &iam.ListRoleTagsInput{RoleName: role}))(t).Tags; len(got) != 1 || *got[0].Value != "blue" {
			t.Errorf("%+v", got)
		}
		must(root.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: group}))(t)
		must(root.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: group, PolicyName: aws.String("own"), PolicyDocument: statement("Allow", "lambda:*", "*")}))(t)
		groups := every(t, iam.NewListGroupsPaginator(root, &iam.ListGroupsInput{MaxItems: one}), func(p *iam.ListGroupsOutput) []string {
			return names(p.Groups, func(g types.Group) *string { return g.GroupName })
		})
		policies := every(t, iam.NewListGroupPoliciesPaginator(root, &iam.ListGroupPoliciesInput{GroupName: group}), func(p *iam.ListGroupPoliciesOutput) []string { return p.PolicyNames })
		if !slices.Contains(strings.Split(groups, ","), *group) || policies != "own" {
			t.Errorf("%q, %q", groups, policies)
		}
		issuer := must(root.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: aws.String("http://localhost:1/listed")}))(t).OpenIDConnectProviderArn
		must(root.TagOpenIDConnectProvider(ctx, &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: issuer, Tags: tag}))(t)
		if got := must(root.ListOpenIDConnectProviderTags(ctx, &iam.ListOpenIDConnectProviderTagsInput{OpenIDConnectProviderArn: issuer}))(t).Tags; len(got) != 1 {
			t.Errorf("%+v", got)
		}
		must(root.UntagOpenIDConnectProvider(ctx, &iam.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: issuer, TagKeys: key}))(t)
		listed := names(must(root.ListOpenIDConnectProviders(ctx, nil))(t).OpenIDConnectProviderList, func(p types.OpenIDConnectProviderListEntry) *string { return p.Arn })
		if !slices.Contains(listed, *issuer) {
			t.Errorf("%q", listed)
		}
	})

	t.Run("what is refused", func(t *testing.T) {
		for what, err := range map[string]error{
			"CreateSAMLProvider":    failed(root.CreateSAMLProvider(ctx, &iam.CreateSAMLProviderInput{Name: aws.String("saml"), SAMLMetadataDocument: aws.String(strings.Repeat("x", 1000))})),
			"CreateInstanceProfile": failed(root.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String("profile")})),
			"GetFederationToken":    failed(asKey("", "", "").sts().GetFederationToken(ctx, &sts.GetFederationTokenInput{Name: aws.String("bob")})),
		} {
			if got := told(err); !strings.HasPrefix(got, "InvalidAction: ") || !strings.Contains(got, what+" is not carried out by Gust: ") {
				t.Errorf("%s: %s", what, got)
			}
		}
	})
}
