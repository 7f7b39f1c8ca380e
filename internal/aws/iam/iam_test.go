package iam_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/aws/awstest"
)

const (
	arn         = "arn:aws:iam::" + awstest.Account + ":"
	trust       = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + arn + `root"},"Action":"sts:AssumeRole"}]}`
	listen      = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*"}]}`
	fingerprint = "0123456789abcdef0123456789abcdef01234567"
)

// step is a call and what comes of it: want is the code of an error, or "", and
// a text of the message or of the answer.
type step struct {
	call string // "CreateUser UserName=alice Path=/team/"
	want string
	text string
}

func run(t *testing.T, d *awstest.Door, who string, steps []step) {
	t.Helper()
	for _, s := range steps {
		words := strings.Split(s.call, " ")
		var params []string
		for _, w := range words[1:] {
			name, value, _ := strings.Cut(w, "=")
			if doc, ok := map[string]string{"TRUST": trust, "LISTEN": listen}[value]; ok {
				value = doc
			}
			params = append(params, name, value)
		}
		a := d.Call(who, "iam", words[0], params...)
		if !a.Is(s.want) || !strings.Contains(a.Message+a.Body, s.text) {
			t.Errorf("%.300s:\n got %d %s\nwant %q %s", s.call, a.Status, a.Body, s.want, s.text)
		}
	}
}

func TestLifeOfEverything(t *testing.T) {
	d := awstest.Open(t)
	run(t, d, d.Root, []step{
		{"CreateUser UserName=alice Path=/team/ Tags.member.1.Key=dept Tags.member.1.Value=x", "", "<Arn>" + arn + "user/team/alice</Arn>"},
		{"CreateUser UserName=ALICE", "EntityAlreadyExists", "User with name ALICE already exists."},
		{"CreateUser UserName=bob Tags.member.1.Key=a Tags.member.1.Value=1 Tags.member.2.Key=A Tags.member.2.Value=2", "InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive."},
		{"CreateUser UserName=a/b", "ValidationError", "at &#39;userName&#39; failed to satisfy constraint"},
		{"CreateUser UserName=..", "ValidationError", "dots alone"},
		{"CreateUser UserName=bob Path=/a/../b/", "ValidationError", "not dots alone"},
		{"CreateUser", "ValidationError", "Value null at &#39;userName&#39;"},
		{"GetUser UserName=alice", "", "<Tags><member><Key>dept</Key><Value>x</Value></member></Tags>"},
		{"GetUser UserName=carol", "NoSuchEntity", "The user with name carol cannot be found."},
		{"GetUser", "", "<Arn>" + arn + "root</Arn>"},
		{"TagUser UserName=alice Tags.member.1.Key=DEPT Tags.member.1.Value=y", "", ""},
		{"ListUserTags UserName=alice", "", "<Tags><member><Key>DEPT</Key><Value>y</Value></member></Tags><IsTruncated>false</IsTruncated>"},
		{"UntagUser UserName=alice TagKeys.member.1=dept", "", ""},
		{"ListUserTags UserName=alice", "", "<Tags></Tags>"},

		{"CreateGroup GroupName=devs", "", arn + "group/devs"},
		{"CreateGroup GroupName=Devs", "EntityAlreadyExists", "Group with name Devs already exists."},
		{"AddUserToGroup GroupName=devs UserName=alice", "", ""},
		{"AddUserToGroup GroupName=none UserName=alice", "NoSuchEntity", "The group with name none cannot be found."},
		{"GetGroup GroupName=devs", "", "<UserName>alice</UserName>"},
		{"ListGroupsForUser UserName=alice", "", "<GroupName>devs</GroupName>"},
		{"UpdateGroup GroupName=devs NewGroupName=builders", "", ""},
		{"DeleteGroup GroupName=builders", "DeleteConflict", "Cannot delete entity, must remove users from group first."},
		{"DeleteUser UserName=alice", "DeleteConflict", "Cannot delete entity, must remove users from group first."},

		{"CreatePolicy PolicyName=list PolicyDocument=LISTEN Description=d", "", arn + "policy/list"},
		{"CreatePolicy PolicyName=LIST PolicyDocument=LISTEN", "EntityAlreadyExists", "A policy called LIST already exists. Duplicate names are not allowed."},
		{"CreatePolicy PolicyName=bad PolicyDocument={}", "MalformedPolicyDocument", "Statement"},
		{"GetPolicy PolicyArn=" + arn + "policy/list", "", "<DefaultVersionId>v1</DefaultVersionId>"},
		{"GetPolicy PolicyArn=" + arn + "policy/none", "NoSuchEntity", "Policy " + arn + "policy/none was not found."},
		{"GetPolicy PolicyArn=" + arn + "policy/x/../list", "NoSuchEntity", "was not found."},
		{"GetPolicy PolicyArn=arn:aws:iam::999999999999:policy/list", "NoSuchEntity", "was not found."},
		{"AttachUserPolicy UserName=alice PolicyArn=" + arn + "policy/list", "", ""},
		{"AttachGroupPolicy GroupName=builders PolicyArn=" + arn + "policy/list", "", ""},
		{"AttachUserPolicy UserName=alice PolicyArn=" + arn + "policy/none", "NoSuchEntity", ""},
		{"DetachGroupPolicy GroupName=builders PolicyArn=" + arn + "policy/none", "NoSuchEntity", "Policy " + arn + "policy/none was not found."},
		{"ListAttachedUserPolicies UserName=alice", "", "<AttachedPolicies><member><PolicyName>list</PolicyName><PolicyArn>" + arn + "policy/list</PolicyArn></member></AttachedPolicies>"},
		{"ListAttachedUserPolicies UserName=alice PathPrefix=/x/", "", "<AttachedPolicies></AttachedPolicies>"},
		{"ListEntitiesForPolicy PolicyArn=" + arn + "policy/list", "", "<PolicyUsers><member><UserName>alice</UserName>"},
		{"ListEntitiesForPolicy PolicyArn=" + arn + "policy/list EntityFilter=LocalManagedPolicy", "InvalidInput", "EntityFilter"},
		{"GetPolicy PolicyArn=" + arn + "policy/list", "", "<AttachmentCount>2</AttachmentCount>"},
		{"DeletePolicy PolicyArn=" + arn + "policy/list", "DeleteConflict", "Cannot delete a policy attached to entities."},
		{"CreatePolicyVersion PolicyArn=" + arn + "policy/list PolicyDocument=LISTEN SetAsDefault=true", "", "<VersionId>v2</VersionId><IsDefaultVersion>true</IsDefaultVersion>"},
		{"DeletePolicyVersion PolicyArn=" + arn + "policy/list VersionId=v2", "DeleteConflict", "Cannot delete the default version of a policy."},
		{"GetPolicyVersion PolicyArn=" + arn + "policy/list VersionId=v9", "NoSuchEntity", "version v9 does not exist"},
		{"GetPolicyVersion PolicyArn=" + arn + "policy/list VersionId=v1", "", "%7B%22Version%22%3A%222012-10-17%22"},
		{"SetDefaultPolicyVersion PolicyArn=" + arn + "policy/list VersionId=v1", "", ""},
		{"ListPolicyVersions PolicyArn=" + arn + "policy/list", "", "<VersionId>v2</VersionId><IsDefaultVersion>false</IsDefaultVersion>"},
		{"ListPolicies Scope=Local OnlyAttached=true", "", "<PolicyName>list</PolicyName>"},
		{"ListPolicies Scope=Local PolicyUsageFilter=PermissionsBoundary", "", "<Policies></Policies>"},
		{"TagPolicy PolicyArn=" + arn + "policy/list Tags.member.1.Key=a Tags.member.1.Value=b", "", ""},
		{"ListPolicyTags PolicyArn=" + arn + "policy/list", "", "<Key>a</Key>"},
		{"UntagPolicy PolicyArn=" + arn + "policy/list TagKeys.member.1=a", "", ""},

		{"PutUserPolicy UserName=alice PolicyName=own PolicyDocument=LISTEN", "", ""},
		{"PutUserPolicy UserName=alice PolicyName=own PolicyDocument={", "MalformedPolicyDocument", "not valid JSON"},
		{"GetUserPolicy UserName=ALICE PolicyName=own", "", "<UserName>alice</UserName><PolicyName>own</PolicyName><PolicyDocument>" + strings.ReplaceAll(url.QueryEscape(listen), "+", "%20")},
		{"GetUserPolicy UserName=alice PolicyName=none", "NoSuchEntity", "The user policy with name none cannot be found."},
		{"ListUserPolicies UserName=alice", "", "<PolicyNames><member>own</member></PolicyNames>"},
		{"PutGroupPolicy GroupName=builders PolicyName=own PolicyDocument=LISTEN", "", ""},
		{"ListGroupPolicies GroupName=builders", "", "<member>own</member>"},
		{"PutUserPermissionsBoundary UserName=alice PermissionsBoundary=" + arn + "policy/list", "", ""},
		{"GetUser UserName=alice", "", "<PermissionsBoundaryType>Policy</PermissionsBoundaryType><PermissionsBoundaryArn>" + arn + "policy/list"},
		{"ListUsers", "", "<CreateDate>"},
		{"DeleteUserPermissionsBoundary UserName=alice", "", ""},

		{"CreateRole RoleName=deploy AssumeRolePolicyDocument=TRUST MaxSessionDuration=7200 Description=d", "", "<MaxSessionDuration>7200</MaxSessionDuration>"},
		{"CreateRole RoleName=deploy AssumeRolePolicyDocument=TRUST", "EntityAlreadyExists", "Role with name deploy already exists."},
		{"CreateRole RoleName=r2 AssumeRolePolicyDocument=LISTEN", "MalformedPolicyDocument", ""},
		{"CreateRole RoleName=r2 AssumeRolePolicyDocument=TRUST MaxSigninSessionDuration=3600", "InvalidInput", "MaxSigninSessionDuration is not carried out by Gust"},
		{"UpdateRole RoleName=deploy MaxSessionDuration=3600", "", "<UpdateRoleResult></UpdateRoleResult>"},
		{"UpdateRoleDescription RoleName=deploy Description=new", "", "<Description>new</Description>"},
		{"UpdateAssumeRolePolicy RoleName=deploy PolicyDocument=TRUST", "", ""},
		{"GetRole RoleName=deploy", "", "<RoleLastUsed></RoleLastUsed>"},
		{"PutRolePolicy RoleName=deploy PolicyName=own PolicyDocument=LISTEN", "", ""},
		{"GetRolePolicy RoleName=deploy PolicyName=own", "", "%22s3%3AListBucket%22"},
		{"GetRolePolicy RoleName=deploy PolicyName=none", "NoSuchEntity", "The role policy with name none cannot be found."},
		{"AttachRolePolicy RoleName=deploy PolicyArn=" + arn + "policy/list", "", ""},
		{"DeleteRole RoleName=deploy", "DeleteConflict", "Cannot delete entity, must detach all policies first."},
		{"DetachRolePolicy RoleName=deploy PolicyArn=" + arn + "policy/list", "", ""},
		{"DeleteRole RoleName=deploy", "DeleteConflict", "Cannot delete entity, must delete policies first."},
		{"DeleteRolePolicy RoleName=deploy PolicyName=own", "", ""},
		{"ListInstanceProfilesForRole RoleName=deploy", "", "<InstanceProfiles></InstanceProfiles>"},
		{"DeleteRole RoleName=deploy", "", ""},
		{"GetRole RoleName=deploy", "NoSuchEntity", "The role with name deploy cannot be found."},

		{"CreateOpenIDConnectProvider Url=https://issuer.example.com/a ClientIDList.member.1=app ThumbprintList.member.1=" + fingerprint, "", arn + "oidc-provider/issuer.example.com/a"},
		{"CreateOpenIDConnectProvider Url=https://issuer.example.com/a ThumbprintList.member.1=" + fingerprint, "EntityAlreadyExists", "Provider with url https://issuer.example.com/a already exists."},
		{"CreateOpenIDConnectProvider Url=http://issuer.example.com ThumbprintList.member.1=" + fingerprint, "ValidationError", "Invalid Open ID Connect Provider URL"},
		{"CreateOpenIDConnectProvider Url=https://127.0.0.1:1", "OpenIdIdpCommunicationError", "give its thumbprint in ThumbprintList"},
		{"CreateOpenIDConnectProvider Url=http://localhost:8080/realms/a/ ClientIDList.member.1=app", "", arn + "oidc-provider/localhost:8080/realms/a<"},
		{"AddClientIDToOpenIDConnectProvider OpenIDConnectProviderArn=" + arn + "oidc-provider/issuer.example.com/a ClientID=two", "", ""},
		{"RemoveClientIDFromOpenIDConnectProvider OpenIDConnectProviderArn=" + arn + "oidc-provider/issuer.example.com/a ClientID=app", "", ""},
		{"GetOpenIDConnectProvider OpenIDConnectProviderArn=" + arn + "oidc-provider/issuer.example.com/a", "", "<ClientIDList><member>two</member></ClientIDList>"},
		{"GetOpenIDConnectProvider OpenIDConnectProviderArn=" + arn + "oidc-provider/none.example.com", "NoSuchEntity", "OpenIDConnect Provider not found for arn " + arn},
		{"ListOpenIDConnectProviders", "", "<Arn>" + arn + "oidc-provider/issuer.example.com/a</Arn>"},
		{"DeleteOpenIDConnectProvider OpenIDConnectProviderArn=" + arn + "oidc-provider/issuer.example.com/a", "", ""},

		{"CreateAccountAlias AccountAlias=shop", "", ""},
		{"ListAccountAliases", "", "<AccountAliases><member>shop</member></AccountAliases>"},
		{"DeleteAccountAlias AccountAlias=other", "NoSuchEntity", "other"},
		{"DeleteAccountAlias AccountAlias=shop", "", ""},
		{"GetAccountSummary", "", "<key>Users</key><value>1</value>"},
		{"GetAccountPasswordPolicy", "NoSuchEntity", "The Password Policy with domain name " + awstest.Account + " cannot be found."},
		{"GetAccountAuthorizationDetails Filter.member.1=User", "", "<GroupList><member>builders</member></GroupList>"},
		{"GetAccountAuthorizationDetails Filter.member.1=User", "", "<RoleDetailList></RoleDetailList>"},
		{"DeleteLoginProfile UserName=alice", "NoSuchEntity", "Login Profile for User alice cannot be found."},
		{"CreateLoginProfile UserName=alice Password=x", "InvalidAction", "CreateLoginProfile is not carried out by Gust: nobody signs in with a password"},
		{"CreateUserr", "InvalidAction", "CreateUserr"},
		{"ListUsers Colour=blue", "ValidationError", "Colour"},

		{"RemoveUserFromGroup GroupName=builders UserName=alice", "", ""},
		{"DetachUserPolicy UserName=alice PolicyArn=" + arn + "policy/list", "", ""},
		{"DeleteUserPolicy UserName=alice PolicyName=own", "", ""},
		{"UpdateUser UserName=alice NewUserName=eve NewPath=/", "", ""},
		{"GetUser UserName=eve", "", arn + "user/eve"},
		{"DeleteUser UserName=eve", "", ""},
	})
}

// TestKeys: a secret is told once, a key that is off lets nobody in, and one's
// own needs no name.
func TestKeys(t *testing.T) {
	d := awstest.Open(t)
	alice := d.User("alice", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:*AccessKey*","iam:GetUser"],"Resource":"`+arn+`user/${aws:username}"}]}`)
	d.User("bob", "")
	if a := d.Call(alice, "iam", "GetUser"); a.Text("UserName") != "alice" {
		t.Error(a.Body)
	}
	made := d.Call(alice, "iam", "CreateAccessKey")
	id, secret := made.Text("AccessKeyId"), made.Text("SecretAccessKey")
	if made.Text("UserName") != "alice" || len(id) != 20 || len(secret) != 40 {
		t.Fatal(made.Body)
	}
	if a := d.Call(alice, "iam", "CreateAccessKey"); !a.Is("LimitExceeded") || a.Message != "Cannot exceed quota for AccessKeysPerUser: 2" {
		t.Error(a.Body)
	}
	if a := d.Call(alice, "iam", "ListAccessKeys"); strings.Contains(a.Body, secret) || len(a.All("AccessKeyId")) != 2 {
		t.Error(a.Body)
	}
	second := id + "." + secret
	if a := d.Call(second, "sts", "GetCallerIdentity"); a.Text("Arn") != arn+"user/alice" {
		t.Error(a.Body)
	}
	if a := d.Call(alice, "iam", "GetAccessKeyLastUsed", "AccessKeyId", id); a.Text("UserName") != "alice" || a.Text("LastUsedDate") == "" {
		t.Error(a.Body)
	}
	if a := d.Call(alice, "iam", "UpdateAccessKey", "AccessKeyId", id, "Status", "Inactive"); !a.Is("") {
		t.Error(a.Body)
	}
	if a := d.Call(second, "sts", "GetCallerIdentity"); !a.Is("InvalidClientTokenId") {
		t.Error(a.Body)
	}
	// What is not one's own: neither another's key nor whether a key is there.
	for _, call := range [][]string{
		{"CreateAccessKey", "UserName", "bob"}, {"ListAccessKeys", "UserName", "bob"}, {"DeleteAccessKey", "UserName", "bob", "AccessKeyId", id},
		{"GetAccessKeyLastUsed", "AccessKeyId", "AKIAAAAAAAAAAAAAAAAA"}, {"GetUser", "UserName", "nobody"}, {"ListUsers"},
	} {
		if a := d.Call(alice, "iam", call[0], call[1:]...); !a.Is("AccessDenied") || !strings.Contains(a.Message, "User: "+arn+"user/alice is not authorized to perform: iam:"+call[0]+" on resource: ") {
			t.Error(call, a.Body)
		}
	}
	if a := d.Call(alice, "iam", "DeleteAccessKey", "AccessKeyId", "AKIAAAAAAAAAAAAAAAAA"); !a.Is("NoSuchEntity") || a.Message != "The Access Key with id AKIAAAAAAAAAAAAAAAAA cannot be found." {
		t.Error(a.Body)
	}
	if a := d.Call(d.Root, "iam", "CreateAccessKey"); !a.Is("ValidationError") || a.Message != "Must specify userName when calling with non-User credentials" {
		t.Error(a.Body)
	}
	if a := d.Call("", "iam", "ListUsers"); !a.Is("MissingAuthenticationToken") || a.Status != http.StatusForbidden {
		t.Error(a.Body)
	}
	for r, err := range d.Log.Read(t.Context(), audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(fmt.Sprintf("%+v", r), secret) {
			t.Errorf("the audit log has a secret: %+v", r)
		}
	}
}

// TestFunctionsRoles: they are shown, and change with a deploy alone.
func TestFunctionsRoles(t *testing.T) {
	d := awstest.Open(t, &gust.Function{Name: "worker", App: "shop", Modified: time.Now(),
		Policy: []gust.Grant{{Effect: gust.Allow, Actions: []string{"lambda:InvokeFunction"}, Resources: []string{"function:other"}}}})
	steps := []step{
		{"GetRole RoleName=fn.worker", "", "<Arn>" + arn + "role/gust/fn.worker</Arn>"},
		{"ListRoles PathPrefix=/gust/", "", "<RoleName>fn.worker</RoleName>"},
		{"ListRolePolicies RoleName=fn.worker", "", "<member>policy</member>"},
		{"GetRolePolicy RoleName=fn.worker PolicyName=policy", "", "lambda%3AInvokeFunction"},
		{"GetRole RoleName=fn.other", "NoSuchEntity", "The role with name fn.other cannot be found."},
		{"CreateRole RoleName=fn.other AssumeRolePolicyDocument=TRUST", "ValidationError", "only the roles of functions do"},
		{"CreateRole RoleName=other Path=/gust/ AssumeRolePolicyDocument=TRUST", "ValidationError", "that of functions"},
	}
	for _, call := range []string{
		"UpdateRole RoleName=fn.worker MaxSessionDuration=3600", "UpdateAssumeRolePolicy RoleName=FN.worker PolicyDocument=TRUST", "DeleteRole RoleName=fn.worker",
		"PutRolePolicy RoleName=fn.worker PolicyName=p PolicyDocument=LISTEN", "DeleteRolePolicy RoleName=fn.worker PolicyName=policy",
		"AttachRolePolicy RoleName=fn.worker PolicyArn=" + arn + "policy/x", "TagRole RoleName=fn.worker Tags.member.1.Key=a Tags.member.1.Value=b",
		"PutRolePermissionsBoundary RoleName=fn.worker PermissionsBoundary=" + arn + "policy/x",
	} {
		steps = append(steps, step{call, "UnmodifiableEntity", "deploy"})
	}
	run(t, d, d.Root, steps)
}

// TestPages goes through lists in pages while they change, and with markers that
// are not of the API.
func TestPages(t *testing.T) {
	d := awstest.Open(t)
	for i := range 7 {
		d.User(fmt.Sprintf("u%d", i), "")
	}
	var all []string
	marker := []string{}
	for page := 0; ; page++ {
		a := d.Call(d.Root, "iam", "ListUsers", append([]string{"MaxItems", "3"}, marker...)...)
		all = append(all, a.All("UserName")...)
		if a.Text("IsTruncated") != "true" {
			if len(a.All("Marker")) != 0 || page != 2 {
				t.Error(page, a.Body)
			}
			break
		}
		marker = []string{"Marker", a.Text("Marker")}
		if page == 0 { // the last one of the page goes, and one comes before
			id := d.Call(d.Root, "iam", "ListAccessKeys", "UserName", "u2").Text("AccessKeyId")
			d.Call(d.Root, "iam", "DeleteAccessKey", "UserName", "u2", "AccessKeyId", id)
			if a := d.Call(d.Root, "iam", "DeleteUser", "UserName", "u2"); !a.Is("") {
				t.Fatal(a.Body)
			}
			d.User("u00", "")
		}
	}
	if got := strings.Join(all, " "); got != "u0 u1 u2 u3 u4 u5 u6" {
		t.Error(got)
	}
	for _, m := range []string{"!", "u2", "AAAA=", "====", strings.Repeat("A", 321), "%00"} {
		for _, op := range []string{"ListUsers", "ListPolicies", "GetAccountAuthorizationDetails"} {
			if a := d.Call(d.Root, "iam", op, "Marker", m); !a.Is("ValidationError") && m != "u2" {
				t.Errorf("%s with marker %q: %s", op, m, a.Body)
			}
		}
	}
	// A marker of one's own making shows nothing that is not listed anyway.
	if a := d.Call(d.Root, "iam", "ListUsers", "Marker", "enp6"); !a.Is("") || len(a.All("UserName")) != 0 {
		t.Error(a.Body)
	}
	for _, max := range []string{"0", "1001", "-1", "x"} {
		if a := d.Call(d.Root, "iam", "ListUsers", "MaxItems", max); a.Status != http.StatusBadRequest {
			t.Error(max, a.Body)
		}
	}
	d.Call(d.Root, "iam", "CreateGroup", "GroupName", "g")
	d.Call(d.Root, "iam", "CreateRole", "RoleName", "r", "AssumeRolePolicyDocument", trust)
	seen, next := 0, ""
	for range 20 {
		params := []string{"MaxItems", "2", "Filter.member.1", "User", "Filter.member.2", "Role", "Filter.member.3", "Group"}
		if next != "" {
			params = append(params, "Marker", next)
		}
		a := d.Call(d.Root, "iam", "GetAccountAuthorizationDetails", params...)
		seen += len(a.All("Arn"))
		if next = a.Text("Marker"); next == "" {
			break
		}
	}
	if seen != 9 {
		t.Errorf("%d of 9 entities", seen)
	}
}

// TestPagesOfLongNames: a marker is one that the API takes back, whatever the
// longest names and paths are.
func TestPagesOfLongNames(t *testing.T) {
	d := awstest.Open(t)
	d.User("alice", "")
	path, long := "/"+strings.Repeat(strings.Repeat("p", 50)+"/", 10), strings.Repeat("n", 127)
	for _, call := range [][]string{{"CreatePolicy", "PolicyName", long + "1"}, {"CreatePolicy", "PolicyName", long + "2"}, {"CreatePolicy", "PolicyName", "ReadOnlyAccess"}} {
		a := d.Call(d.Root, "iam", call[0], append(call[1:], "Path", path, "PolicyDocument", listen)...)
		if a = d.Call(d.Root, "iam", "AttachUserPolicy", "UserName", "alice", "PolicyArn", a.Text("Arn")); !a.Is("") {
			t.Fatal(a.Body)
		}
	}
	d.Call(d.Root, "iam", "AttachUserPolicy", "UserName", "alice", "PolicyArn", "arn:aws:iam::aws:policy/ReadOnlyAccess")
	for _, list := range [][]string{{"ListAttachedUserPolicies", "UserName", "alice"}, {"ListPolicies", "OnlyAttached", "true"}} {
		var names, marker []string
		for range 10 {
			a := d.Call(d.Root, "iam", list[0], slices.Concat(list[1:], []string{"MaxItems", "1"}, marker)...)
			names = append(names, a.All("PolicyName")...)
			if !a.Is("") || a.Text("Marker") == "" {
				if !a.Is("") {
					t.Error(a.Body)
				}
				break
			}
			marker = []string{"Marker", a.Text("Marker")}
		}
		if fmt.Sprint(names) != fmt.Sprint([]string{"ReadOnlyAccess", "ReadOnlyAccess", long + "1", long + "2"}) {
			t.Errorf("%s: %v", list[0], names)
		}
	}
}

// TestHugePolicies: what is over a limit is refused by its name, before it is read
// further: what is not would run into the test's own end.
func TestHugePolicies(t *testing.T) {
	d := awstest.Open(t)
	d.User("alice", "")
	many := func(n int) string {
		return `{"Version":"2012-10-17","Statement":[` + strings.TrimSuffix(strings.Repeat(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"},`, n), ",") + `]}`
	}
	for doc, codes := range map[string][]string{
		many(200):                {"LimitExceeded"},
		many(2000):               {"LimitExceeded", "MalformedPolicyDocument"},
		many(10000):              {"ValidationError"}, // over 128 KB
		strings.Repeat("[", 1e5): {"MalformedPolicyDocument"},
		`{"a":` + strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20001): {"MalformedPolicyDocument", "ValidationError"},
	} {
		for _, call := range [][]string{{"PutUserPolicy", "UserName", "alice", "PolicyName", "p"}, {"CreatePolicy", "PolicyName", "p"}} {
			if a := d.Call(d.Root, "iam", call[0], append(call[1:], "PolicyDocument", doc)...); !slices.Contains(codes, a.Code) {
				t.Errorf("%s %.40s...: %.300s", call[0], doc, a.Body)
			}
		}
	}
}

func TestCredentialReport(t *testing.T) {
	d := awstest.Open(t)
	d.User("alice", "")
	if a := d.Call(d.Root, "iam", "GenerateCredentialReport"); a.Text("State") != "COMPLETE" {
		t.Error(a.Body)
	}
	rows := strings.Split(strings.TrimSpace(decoded(t, d.Call(d.Root, "iam", "GetCredentialReport").Text("Content"))), "\n")
	if len(rows) != 3 || !strings.HasPrefix(rows[1], "<root_account>,"+arn+"root,") || !strings.HasPrefix(rows[2], "alice,"+arn+"user/alice,20") {
		t.Errorf("%q", rows)
	}
	for _, row := range rows {
		if n := strings.Count(row, ","); n != 21 {
			t.Errorf("%d columns: %s", n+1, row)
		}
	}
}

func decoded(t *testing.T, text string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
