package iam_test

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/aws/awstest"
)

// TestTheAuditLogTellsWhatWasDone: of two calls that do different things no two
// records are the same, and no record has a secret or a document.
func TestTheAuditLogTellsWhatWasDone(t *testing.T) {
	const document = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:List*","Resource":"*"}]}`
	const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + awstest.Account + `"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}]}`
	hash := func(s string) string { return fmt.Sprintf("sha256:%x, %d bytes", sha256.Sum256([]byte(s)), len(s)) }
	d := awstest.Open(t)
	d.User("al", "")
	d.User("ops", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	ops, secret, err := d.Directory.CreateKey(t.Context(), "ops")
	if err != nil {
		t.Fatal(err)
	}
	provider := arn + "oidc-provider/id.example.com"
	key := d.Call(d.Root, "iam", "CreateAccessKey", "UserName", "al")
	id := key.Text("AccessKeyId")
	if !key.Is("") {
		t.Fatal(key.Body)
	}
	for _, tt := range []struct {
		service, call string
		params        []string
		want          string // of its record, all that the parameters say
	}{
		{"iam", "UpdateAccessKey", []string{"UserName", "al", "AccessKeyId", id, "Status", "Inactive"}, "AccessKeyId=" + id + " Status=Inactive UserName=al"},
		{"iam", "UpdateAccessKey", []string{"UserName", "al", "AccessKeyId", id, "Status", "Active"}, "AccessKeyId=" + id + " Status=Active UserName=al"},
		{"iam", "CreatePolicy", []string{"PolicyName", "list", "PolicyDocument", document, "Description", "what for"}, "PolicyDocument=" + hash(document) + " PolicyName=list"},
		{"iam", "CreatePolicyVersion", []string{"PolicyArn", arn + "policy/list", "PolicyDocument", document, "SetAsDefault", "true"},
			"PolicyArn=" + arn + "policy/list PolicyDocument=" + hash(document) + " SetAsDefault=true"},
		{"iam", "PutUserPermissionsBoundary", []string{"UserName", "al", "PermissionsBoundary", arn + "policy/list"}, "PermissionsBoundary=" + arn + "policy/list UserName=al"},
		{"iam", "CreateUser", []string{"UserName", "bo", "PermissionsBoundary", arn + "policy/list", "Tags.member.1.Key", "team", "Tags.member.1.Value", "red", "Tags.member.2.Key", "on", "Tags.member.2.Value", ""},
			"PermissionsBoundary=" + arn + "policy/list Tags=team=red, on= UserName=bo"},
		{"iam", "UntagUser", []string{"UserName", "bo", "TagKeys.member.1", "team", "TagKeys.member.2", "on"}, "TagKeys=team, on UserName=bo"},
		{"iam", "CreateRole", []string{"RoleName", "r", "AssumeRolePolicyDocument", trust, "PermissionsBoundary", arn + "policy/list", "MaxSessionDuration", "7200"},
			"AssumeRolePolicyDocument=" + hash(trust) + " MaxSessionDuration=7200 PermissionsBoundary=" + arn + "policy/list RoleName=r"},
		{"iam", "UpdateAssumeRolePolicy", []string{"RoleName", "r", "PolicyDocument", trust + " "}, "PolicyDocument=" + hash(trust+" ") + " RoleName=r"},
		{"iam", "CreateAccountAlias", []string{"AccountAlias", "shop"}, "AccountAlias=shop"},
		{"iam", "CreateOpenIDConnectProvider", []string{"Url", "https://id.example.com", "ClientIDList.member.1", "one", "ThumbprintList.member.1", strings.Repeat("ab", 20)},
			"ClientIDList=one ThumbprintList=" + strings.Repeat("ab", 20) + " Url=https://id.example.com"},
		{"iam", "AddClientIDToOpenIDConnectProvider", []string{"OpenIDConnectProviderArn", provider, "ClientID", "two"}, "ClientID=two OpenIDConnectProviderArn=" + provider},
		{"iam", "RemoveClientIDFromOpenIDConnectProvider", []string{"OpenIDConnectProviderArn", provider, "ClientID", "one"}, "ClientID=one OpenIDConnectProviderArn=" + provider},
		{"sts", "AssumeRole", []string{"RoleArn", arn + "role/r", "RoleSessionName", "work", "SourceIdentity", "me", "DurationSeconds", "900", "Policy", document,
			"PolicyArns.member.1.arn", arn + "policy/list", "Tags.member.1.Key", "team", "Tags.member.1.Value", "red", "TransitiveTagKeys.member.1", "team"},
			"AccessKeyId=NEW DurationSeconds=900 Policy=" + hash(document) + " PolicyArns=" + arn + "policy/list RoleArn=" + arn + "role/r RoleSessionName=work SourceIdentity=me Tags=team=red TransitiveTagKeys=team"},
		{"sts", "GetSessionToken", nil, "AccessKeyId=NEW"},
		{"iam", "CreateAccessKey", []string{"UserName", "bo"}, "AccessKeyId=NEW UserName=bo"},
		{"iam", "CreateAccessKey", []string{"UserName", "nobody"}, "UserName=nobody"},
	} {
		a := d.Call(ops.ID+"."+secret, tt.service, tt.call, tt.params...)
		if !a.Is("") && !a.Is("NoSuchEntity") {
			t.Fatalf("%s: %s", tt.call, a.Body)
		}
		var last *audit.Record
		for r, err := range d.Log.Read(t.Context(), audit.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			last = r
		}
		var said []string
		for _, name := range slices.Sorted(maps.Keys(last.Parameters)) {
			said = append(said, name+"="+last.Parameters[name])
		}
		want := strings.Replace(tt.want, "=NEW", "="+a.Text("AccessKeyId"), 1)
		if got := strings.Join(said, " "); got != want || last.Action != tt.service+":"+tt.call {
			t.Errorf("%s is in the audit log as %s with\n%s\nwant\n%s", tt.call, last.Action, got, want)
		}
	}
}
