package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"github.com/gust-dev/gust/internal/access/identity"
)

// account begins the ARNs of identities.
const account = "arn:aws:iam::000000000000:"

// as are AWS's clients for Go as somebody.
type as struct{ aws.Config }

// asKey is who has this key, or root with none.
func asKey(id, secret, token string) as {
	if id == "" {
		id, secret = shared.env["AWS_ACCESS_KEY_ID"], shared.env["AWS_SECRET_ACCESS_KEY"]
	}
	return as{aws.Config{
		BaseEndpoint: aws.String(shared.env["AWS_ENDPOINT_URL"]), Region: shared.env["AWS_REGION"], HTTPClient: connections,
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, token), RetryMaxAttempts: 1,
	}}
}

func asSession(c *ststypes.Credentials) as {
	return asKey(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
}

func (a as) iam() *iam.Client       { return iam.NewFromConfig(a.Config) }
func (a as) sts() *sts.Client       { return sts.NewFromConfig(a.Config) }
func (a as) lambda() *lambda.Client { return lambda.NewFromConfig(a.Config) }

// who is what STS says who that is.
func (a as) who(t *testing.T) string {
	t.Helper()
	return *must(a.sts().GetCallerIdentity(t.Context(), nil))(t).Arn
}

// functions lists them, or fails.
func (a as) functions(t *testing.T) error {
	_, err := a.lambda().ListFunctions(t.Context(), nil)
	return err
}

// must is the answer of a call that has to succeed: must(call)(t).
func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// named is the name that the SDK has for what went wrong: that of its own type,
// where it has one.
func named(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return textOf(err)
	}
	if kind := strings.TrimPrefix(fmt.Sprintf("%T", api), "*types."); kind != "*smithy.GenericAPIError" {
		return kind
	}
	return api.ErrorCode()
}

func textOf(err error) string {
	if err == nil {
		return "none"
	}
	return err.Error()
}

// told is the name and the text.
func told(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return textOf(err)
	}
	return named(err) + ": " + api.ErrorMessage()
}

// fault is the name of what went wrong with a call.
func fault[T any](_ T, err error) string { return named(err) }

// statement is a policy of one.
func statement(effect, action, resource string) *string {
	return policyOf(map[string]any{"Effect": effect, "Action": action, "Resource": resource})
}

// trust is a role's policy that names who may assume it.
func trust(kind, who string) *string {
	return policyOf(map[string]any{"Effect": "Allow", "Principal": map[string]string{kind: who}, "Action": "sts:AssumeRole"})
}

// policyOf is a policy of these statements.
func policyOf(statements ...map[string]any) *string {
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		panic(err)
	}
	return aws.String(string(text))
}

// first is the first statement of a policy as IAM answers it, escaped.
func first(t *testing.T, doc *string) (s struct {
	Action    string
	Principal map[string]string
}) {
	t.Helper()
	text := must(url.QueryUnescape(aws.ToString(doc)))(t)
	var parsed struct{ Statement []json.RawMessage }
	if err := json.Unmarshal([]byte(text), &parsed); err != nil || len(parsed.Statement) == 0 {
		t.Fatalf("%q: %v", text, err)
	}
	if err := json.Unmarshal(parsed.Statement[0], &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// pages is what an SDK's paginator for Go is.
type pages[Page, Option any] interface {
	HasMorePages() bool
	NextPage(context.Context, ...func(*Option)) (*Page, error)
}

// every is what all pages have, sorted.
func every[Page, Option any](t *testing.T, p pages[Page, Option], of func(*Page) []string) string {
	t.Helper()
	var all []string
	for p.HasMorePages() {
		all = append(all, of(must(p.NextPage(t.Context()))(t))...)
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

// names are a member of each.
func names[T any](list []T, name func(T) *string) []string {
	var all []string
	for _, v := range list {
		all = append(all, aws.ToString(name(v)))
	}
	return all
}

var (
	one     = aws.Int32(1)
	patient = 5 * time.Second
)

// converseInGo is the conversation of testdata/identities/client.py with the SDK
// for Go.
func converseInGo(t *testing.T, name string, expired *identity.Session) map[string]string {
	said := map[string]string{}
	ctx, path := t.Context(), aws.String("/"+name+"/")
	c := asKey("", "", "").iam()
	said["root"] = asKey("", "", "").who(t)

	// Users.
	alice, bob, robert := aws.String(name+"-alice"), aws.String(name+"-bob"), aws.String(name+"-robert")
	said["user"] = *must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: alice, Path: path, Tags: []types.Tag{{Key: aws.String("colour"), Value: aws.String("blue")}}}))(t).User.Arn
	if err := iam.NewUserExistsWaiter(c).Wait(ctx, &iam.GetUserInput{UserName: alice}, patient); err != nil {
		t.Fatal(err)
	}
	said["user again"] = fault(c.CreateUser(ctx, &iam.CreateUserInput{UserName: alice}))
	said["user nobody"] = fault(c.GetUser(ctx, &iam.GetUserInput{UserName: aws.String(name + "-nobody")}))
	must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: bob, Path: path}))(t)
	users := func() string {
		return every(t, iam.NewListUsersPaginator(c, &iam.ListUsersInput{PathPrefix: path, MaxItems: one}), func(p *iam.ListUsersOutput) []string {
			return names(p.Users, func(u types.User) *string { return u.UserName })
		})
	}
	said["users"] = users()
	must(c.UpdateUser(ctx, &iam.UpdateUserInput{UserName: bob, NewUserName: robert}))(t)
	said["renamed"] = *must(c.GetUser(ctx, &iam.GetUserInput{UserName: robert}))(t).User.UserName
	must(c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: robert}))(t)
	must(c.TagUser(ctx, &iam.TagUserInput{UserName: alice, Tags: []types.Tag{{Key: aws.String("size"), Value: aws.String("9")}}}))(t)
	var tags []string
	for _, tag := range must(c.ListUserTags(ctx, &iam.ListUserTagsInput{UserName: alice}))(t).Tags {
		tags = append(tags, *tag.Key+"="+*tag.Value)
	}
	said["tags"] = strings.Join(tags, ",")

	// Access keys.
	key1, key2 := must(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: alice}))(t).AccessKey, must(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: alice}))(t).AccessKey
	asAlice := asKey(*key1.AccessKeyId, *key1.SecretAccessKey, "")
	said["third key"] = fault(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: alice}))
	said["who"] = asAlice.who(t)
	used := must(c.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: key1.AccessKeyId}))(t)
	said["last used"] = *used.UserName + " " + *used.AccessKeyLastUsed.ServiceName
	must(c.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: alice, AccessKeyId: key2.AccessKeyId, Status: types.StatusTypeInactive}))(t)
	said["keys"] = every(t, iam.NewListAccessKeysPaginator(c, &iam.ListAccessKeysInput{UserName: alice, MaxItems: one}), func(p *iam.ListAccessKeysOutput) []string {
		return names(p.AccessKeyMetadata, func(k types.AccessKeyMetadata) *string { return aws.String(string(k.Status)) })
	})
	said["inactive key"] = fault(asKey(*key2.AccessKeyId, *key2.SecretAccessKey, "").sts().GetCallerIdentity(ctx, nil))
	must(c.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: alice, AccessKeyId: key2.AccessKeyId}))(t)
	said["wrong secret"] = fault(asKey(*key1.AccessKeyId, "wrong", "").sts().GetCallerIdentity(ctx, nil))
	said["unknown key"] = fault(asKey("AKIAIOSFODNN7EXAMPLE", *key1.SecretAccessKey, "").sts().GetCallerIdentity(ctx, nil))
	said["expired"] = named(asKey(expired.KeyID, expired.Secret, expired.Token).functions(t))

	// Groups.
	team, readonly := aws.String(name+"-team"), aws.String("arn:aws:iam::aws:policy/AWSLambda_ReadOnlyAccess")
	must(c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: team, Path: path}))(t)
	must(c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: team, UserName: alice}))(t)
	said["group"] = every(t, iam.NewGetGroupPaginator(c, &iam.GetGroupInput{GroupName: team, MaxItems: one}), func(p *iam.GetGroupOutput) []string {
		return names(p.Users, func(u types.User) *string { return u.UserName })
	})
	said["groups"] = every(t, iam.NewListGroupsForUserPaginator(c, &iam.ListGroupsForUserInput{UserName: alice, MaxItems: one}), func(p *iam.ListGroupsForUserOutput) []string {
		return names(p.Groups, func(g types.Group) *string { return g.GroupName })
	})
	said["before the group's policy"] = named(asAlice.functions(t))
	must(c.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: team, PolicyArn: readonly}))(t)
	said["by the group's policy"] = named(asAlice.functions(t))
	said["group in use"] = fault(c.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: team}))

	// Managed policies and their versions.
	managed := must(c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String(name + "-policy"), Path: path, Description: aws.String("of a test"),
		PolicyDocument: statement("Allow", "lambda:ListFunctions", "*")}))(t).Policy.Arn
	if err := iam.NewPolicyExistsWaiter(c).Wait(ctx, &iam.GetPolicyInput{PolicyArn: managed}, patient); err != nil {
		t.Fatal(err)
	}
	said["policy"] = *managed
	for _, action := range []string{"GetFunction", "GetPolicy", "GetAlias", "ListAliases"} {
		must(c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: managed, PolicyDocument: statement("Allow", "lambda:"+action, "*")}))(t)
	}
	said["sixth version"] = fault(c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: managed, PolicyDocument: statement("Allow", "lambda:*", "*")}))
	said["versions"] = every(t, iam.NewListPolicyVersionsPaginator(c, &iam.ListPolicyVersionsInput{PolicyArn: managed, MaxItems: one}), func(p *iam.ListPolicyVersionsOutput) []string {
		return names(p.Versions, func(v types.PolicyVersion) *string { return v.VersionId })
	})
	v1, v2 := aws.String("v1"), aws.String("v2")
	must(c.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: managed, VersionId: v2}))(t)
	said["default"] = *must(c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: managed}))(t).Policy.DefaultVersionId
	said["version"] = first(t, must(c.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: managed, VersionId: v2}))(t).PolicyVersion.Document).Action
	must(c.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: managed, VersionId: v1}))(t)
	policies := func(in *iam.ListPoliciesInput) string {
		in.MaxItems = one
		return every(t, iam.NewListPoliciesPaginator(c, in), func(p *iam.ListPoliciesOutput) []string {
			return names(p.Policies, func(p types.Policy) *string { return p.PolicyName })
		})
	}
	said["local policies"] = policies(&iam.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal, PathPrefix: path})
	said["policies of AWS"] = fmt.Sprint(slices.Contains(strings.Split(policies(&iam.ListPoliciesInput{Scope: types.PolicyScopeTypeAws}), ","), "AdministratorAccess"))
	said["malformed"] = fault(c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String(name + "-bad"), PolicyDocument: aws.String(`{"Version": "2012-10-17"`)}))

	// Roles.
	role, inline := aws.String(name+"-role"), aws.String("inline")
	said["role"] = *must(c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: role, Path: path, AssumeRolePolicyDocument: trust("Service", "lambda.amazonaws.com"), MaxSessionDuration: aws.Int32(7200)}))(t).Role.Arn
	if err := iam.NewRoleExistsWaiter(c).Wait(ctx, &iam.GetRoleInput{RoleName: role}, patient); err != nil {
		t.Fatal(err)
	}
	must(c.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: role, PolicyDocument: trust("AWS", said["user"])}))(t)
	said["trusted"] = first(t, must(c.GetRole(ctx, &iam.GetRoleInput{RoleName: role}))(t).Role.AssumeRolePolicyDocument).Principal["AWS"]
	said["roles"] = every(t, iam.NewListRolesPaginator(c, &iam.ListRolesInput{PathPrefix: path, MaxItems: one}), func(p *iam.ListRolesOutput) []string {
		return names(p.Roles, func(r types.Role) *string { return r.RoleName })
	})
	must(c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: role, PolicyArn: managed}))(t)
	said["attached"] = every(t, iam.NewListAttachedRolePoliciesPaginator(c, &iam.ListAttachedRolePoliciesInput{RoleName: role, MaxItems: one}), func(p *iam.ListAttachedRolePoliciesOutput) []string {
		return names(p.AttachedPolicies, func(p types.AttachedPolicy) *string { return p.PolicyName })
	})
	said["attached to"] = every(t, iam.NewListEntitiesForPolicyPaginator(c, &iam.ListEntitiesForPolicyInput{PolicyArn: managed, MaxItems: one}), func(p *iam.ListEntitiesForPolicyOutput) []string {
		return names(p.PolicyRoles, func(r types.PolicyRole) *string { return r.RoleName })
	})
	said["attached policies"] = policies(&iam.ListPoliciesInput{OnlyAttached: true, PathPrefix: path})
	must(c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: role, PolicyName: inline, PolicyDocument: statement("Allow", "lambda:GetFunction", "*")}))(t)
	said["inline"] = every(t, iam.NewListRolePoliciesPaginator(c, &iam.ListRolePoliciesInput{RoleName: role, MaxItems: one}), func(p *iam.ListRolePoliciesOutput) []string { return p.PolicyNames })
	said["inline policy"] = first(t, must(c.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: role, PolicyName: inline}))(t).PolicyDocument).Action
	said["role in use"] = fault(c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: role}))
	said["policy in use"] = fault(c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: managed}))

	// The account.
	for _, alias := range []string{"-one", "-two"} {
		must(c.CreateAccountAlias(ctx, &iam.CreateAccountAliasInput{AccountAlias: aws.String(name + alias)}))(t)
	}
	aliases := func() string {
		return every(t, iam.NewListAccountAliasesPaginator(c, nil), func(p *iam.ListAccountAliasesOutput) []string { return p.AccountAliases })
	}
	said["alias"] = aliases()
	must(c.DeleteAccountAlias(ctx, &iam.DeleteAccountAliasInput{AccountAlias: aws.String(name + "-two")}))(t)
	said["no alias"] = aliases()
	said["users' quota"] = fmt.Sprint(must(c.GetAccountSummary(ctx, nil))(t).SummaryMap["UsersQuota"])
	var groupsOf, policiesOf []string
	details := iam.NewGetAccountAuthorizationDetailsPaginator(c, &iam.GetAccountAuthorizationDetailsInput{Filter: []types.EntityType{types.EntityTypeUser, types.EntityTypeRole}, MaxItems: aws.Int32(2)})
	for details.HasMorePages() {
		page := must(details.NextPage(ctx))(t)
		for _, u := range page.UserDetailList {
			if *u.UserName == *alice {
				groupsOf = u.GroupList
			}
		}
		for _, r := range page.RoleDetailList {
			if *r.RoleName == *role {
				policiesOf = append(names(r.AttachedManagedPolicies, func(p types.AttachedPolicy) *string { return p.PolicyName }),
					names(r.RolePolicyList, func(p types.PolicyDetail) *string { return p.PolicyName })...)
			}
		}
	}
	said["details"] = strings.Join(append(groupsOf, policiesOf...), ",")
	for must(c.GenerateCredentialReport(ctx, nil))(t).State != types.ReportStateTypeComplete {
	}
	said["report"] = fmt.Sprint(strings.Contains(string(must(c.GetCredentialReport(ctx, nil))(t).Content), *alice+","+said["user"]+","))
	said["password policy"] = fault(c.GetAccountPasswordPolicy(ctx, nil))
	said["refused"] = fault(c.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: alice, Password: aws.String("x")}))

	// A user without rights assumes a role that has some.
	must(c.DetachGroupPolicy(ctx, &iam.DetachGroupPolicyInput{GroupName: team, PolicyArn: readonly}))(t)
	must(c.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: team, UserName: alice}))(t)
	must(c.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: team}))(t)
	said["without a role"] = named(asAlice.functions(t))
	assume := sts.AssumeRoleInput{RoleArn: aws.String(account + "role/nobody"), RoleSessionName: aws.String("session"), DurationSeconds: aws.Int32(900)}
	said["assume denied"] = fault(asAlice.sts().AssumeRole(ctx, &assume))
	assume.RoleArn = aws.String(said["role"])
	must(c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: alice, PolicyName: aws.String("assume"), PolicyDocument: statement("Allow", "sts:AssumeRole", said["role"])}))(t)
	session := asSession(must(asAlice.sts().AssumeRole(ctx, &assume))(t).Credentials)
	said["session"] = session.who(t)
	said["with a role"] = named(session.functions(t))
	said["token"] = asSession(must(asAlice.sts().GetSessionToken(ctx, &sts.GetSessionTokenInput{DurationSeconds: aws.Int32(900)}))(t).Credentials).who(t)

	// What is allowed, what nothing allows, and what is denied.
	const function = "arn:aws:lambda:us-east-1:000000000000:function:identities-"
	must(c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: alice, PolicyName: aws.String("invoke"), PolicyDocument: policyOf(
		map[string]any{"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": []string{function + "open", function + "shut"}},
		map[string]any{"Sid": "Never", "Effect": "Deny", "Action": "lambda:InvokeFunction", "Resource": function + "shut"})}))(t)
	invoke := func(function string) (*lambda.InvokeOutput, error) {
		return asAlice.lambda().Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String(function), Payload: []byte(`{"from": "a user"}`)})
	}
	said["allowed"] = string(must(invoke("identities-open"))(t).Payload)
	_, err := invoke("identities-other")
	said["not allowed"] = told(err)
	_, err = invoke("identities-shut")
	said["denied"] = told(err)
	_, err = asAlice.iam().ListUsers(ctx, nil)
	said["iam denied"] = told(err)

	// Everything goes.
	must(c.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: role, PolicyArn: managed}))(t)
	must(c.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: role, PolicyName: inline}))(t)
	must(c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: role}))(t)
	said["role is gone"] = fault(c.GetRole(ctx, &iam.GetRoleInput{RoleName: role}))
	said["session of no role"] = named(session.functions(t))
	for _, version := range strings.Split(said["versions"], ",") {
		if version != "v1" {
			must(c.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: managed, VersionId: &version}))(t)
		}
	}
	must(c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: managed}))(t)
	for _, policy := range must(c.ListUserPolicies(ctx, &iam.ListUserPoliciesInput{UserName: alice}))(t).PolicyNames {
		must(c.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: alice, PolicyName: &policy}))(t)
	}
	must(c.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: alice, AccessKeyId: key1.AccessKeyId}))(t)
	must(c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: alice}))(t)
	said["left"] = users()
	return said
}
