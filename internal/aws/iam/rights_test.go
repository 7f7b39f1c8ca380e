package iam_test

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access/policy"
	"github.com/gust-dev/gust/internal/aws/awstest"
	"github.com/gust-dev/gust/internal/aws/iam"
)

// TestConditions: what the request brings and what is there decides, as the
// Service Authorization Reference has it.
func TestConditions(t *testing.T) {
	d := awstest.Open(t)
	run(t, d, d.Root, []step{
		{"CreatePolicy PolicyName=list PolicyDocument=LISTEN", "", ""},
		{"CreatePolicy PolicyName=other PolicyDocument=LISTEN", "", ""},
		{"CreateUser UserName=inside Path=/team/ PermissionsBoundary=" + arn + "policy/list", "", ""},
		{"CreateUser UserName=outside", "", ""},
		{"CreateUser UserName=tagged Tags.member.1.Key=Owner Tags.member.1.Value=lead", "", ""},
		{"CreateRole RoleName=fenced AssumeRolePolicyDocument=TRUST PermissionsBoundary=" + arn + "policy/list", "", ""},
		{"CreateRole RoleName=free AssumeRolePolicyDocument=TRUST", "", ""},
	})
	allow := func(action, resource, condition string) string {
		return `{"Effect":"Allow","Action":"iam:` + action + `","Resource":"` + resource + `","Condition":{` + condition + `}}`
	}
	lead := d.User("lead", `{"Version":"2012-10-17","Statement":[`+strings.Join([]string{
		`{"Effect":"Allow","Action":["iam:UpdateUser","iam:DeleteUser","iam:PutUserPolicy"],"Resource":"` + arn + `user/team/*"}`,
		allow("CreateUser", arn+"user/team/*", `"StringEquals":{"iam:PermissionsBoundary":"`+arn+`policy/list"}`),
		allow("Attach*Policy", "*", `"ArnEquals":{"iam:PolicyARN":"`+arn+`policy/list"}`),
		allow("TagUser", "*", `"ForAllValues:StringEquals":{"aws:TagKeys":["cost"]},"StringEquals":{"aws:ResourceTag/Owner":"lead"}`),
		allow("UntagUser", "*", `"ForAllValues:StringEquals":{"aws:TagKeys":["cost"]}`),
		allow("CreateRole", "*", `"StringEquals":{"aws:RequestTag/team":"red"}`),
		allow("PutRolePolicy", "*", `"StringEquals":{"iam:PermissionsBoundary":"`+arn+`policy/list"}`),
		allow("PutUserPermissionsBoundary", "*", `"StringEquals":{"iam:PermissionsBoundary":"`+arn+`policy/list"}`),
	}, ",")+`]}`)
	run(t, d, lead, []step{
		{"CreateUser UserName=a Path=/team/ PermissionsBoundary=" + arn + "policy/list", "", ""},
		{"CreateUser UserName=b Path=/team/", "AccessDenied", ""},
		{"CreateUser UserName=b Path=/team/ PermissionsBoundary=" + arn + "policy/other", "AccessDenied", ""},
		{"CreateUser UserName=b PermissionsBoundary=" + arn + "policy/list", "AccessDenied", arn + "user/b"},
		// The boundary of who is there already is not that of who is to be made.
		{"CreateUser UserName=inside Path=/team/", "AccessDenied", ""},
		{"PutUserPolicy UserName=INSIDE PolicyName=p PolicyDocument=LISTEN", "", ""},
		{"PutUserPolicy UserName=outside PolicyName=p PolicyDocument=LISTEN", "AccessDenied", "on resource: " + arn + "user/outside"},
		// A user does not leave the path, nor does one get in.
		{"UpdateUser UserName=inside NewPath=/", "AccessDenied", "on resource: " + arn + "user/inside"},
		{"UpdateUser UserName=outside NewPath=/team/", "AccessDenied", "on resource: " + arn + "user/outside"},
		{"UpdateUser UserName=inside NewUserName=renamed", "", ""},
		{"DeleteUser UserName=team/renamed", "ValidationError", ""},
		{"AttachUserPolicy UserName=outside PolicyArn=" + arn + "policy/list", "", ""},
		{"AttachUserPolicy UserName=outside PolicyArn=" + arn + "policy/other", "AccessDenied", ""},
		{"AttachRolePolicy RoleName=free PolicyArn=" + arn + "policy/other", "AccessDenied", ""},
		{"TagUser UserName=tagged Tags.member.1.Key=cost Tags.member.1.Value=1", "", ""},
		{"TagUser UserName=tagged Tags.member.1.Key=Owner Tags.member.1.Value=eve", "AccessDenied", ""},
		{"TagUser UserName=outside Tags.member.1.Key=cost Tags.member.1.Value=1", "AccessDenied", ""},
		{"UntagUser UserName=tagged TagKeys.member.1=cost TagKeys.member.2=Owner", "AccessDenied", ""},
		{"CreateRole RoleName=r AssumeRolePolicyDocument=TRUST Tags.member.1.Key=team Tags.member.1.Value=red", "", ""},
		{"CreateRole RoleName=r2 AssumeRolePolicyDocument=TRUST Tags.member.1.Key=team Tags.member.1.Value=blue", "AccessDenied", ""},
		{"PutRolePolicy RoleName=fenced PolicyName=p PolicyDocument=LISTEN", "", ""},
		{"PutRolePolicy RoleName=free PolicyName=p PolicyDocument=LISTEN", "AccessDenied", ""},
		{"PutUserPermissionsBoundary UserName=outside PermissionsBoundary=" + arn + "policy/list", "", ""},
		{"PutUserPermissionsBoundary UserName=outside PermissionsBoundary=" + arn + "policy/other", "AccessDenied", ""},
	})
}

// TestLettersThatOnlyUnicodeTakesForOthers: the long s and the Kelvin sign are
// not s and k. A tag whose key has them stands for no other tag, in no rule.
func TestLettersThatOnlyUnicodeTakesForOthers(t *testing.T) {
	const long, kelvin = "cla\u017fs", "\u212aind"
	d := awstest.Open(t)
	tagger := d.User("tagger", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["iam:TagUser","iam:UntagUser"],"Resource":"*"},
		{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"ForAnyValue:StringEqualsIgnoreCase":{"aws:TagKeys":["class","kind"]}}},
		{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/class":"secret"}}},
		{"Effect":"Allow","Action":"iam:ListRoles","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/kind":"secret"}}},
		{"Effect":"Allow","Action":"iam:CreateUser","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/kind":"secret"}}},
		{"Effect":"Allow","Action":"iam:DeleteUser","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/kind":"secret"}}}]}`)
	d.User("other", "")
	tag := func(key, value string) string { return " Tags.member.1.Key=" + key + " Tags.member.1.Value=" + value }
	run(t, d, d.Root, []step{
		{"TagUser UserName=tagger" + tag("class", "low"), "", ""},
		{"TagUser UserName=tagger" + tag("Kind", "low"), "", ""},
	})
	run(t, d, tagger, []step{
		{"TagUser UserName=tagger" + tag("CLASS", "secret"), "AccessDenied", ""},
		{"TagUser UserName=tagger" + tag(long, "secret"), "", ""},
		{"TagUser UserName=tagger" + tag(kelvin, "secret"), "", ""},
		{"ListUsers", "AccessDenied", ""},
		{"ListRoles", "AccessDenied", ""},
		{"TagUser UserName=other" + tag(kelvin, "secret"), "", ""},
		{"CreateUser UserName=another" + tag(kelvin, "secret"), "AccessDenied", ""},
		{"DeleteUser UserName=other", "AccessDenied", ""},
		{"UntagUser UserName=tagger TagKeys.member.1=" + long + " TagKeys.member.2=" + kelvin, "", ""},
	})
	run(t, d, d.Root, []step{
		{"ListUserTags UserName=tagger", "", "<member><Key>Kind</Key><Value>low</Value></member><member><Key>class</Key><Value>low</Value></member>"},
		// Two tags, since they are two keys.
		{"CreateUser UserName=both" + tag("kind", "1") + " Tags.member.2.Key=" + kelvin + " Tags.member.2.Value=2", "", ""},
		{"SimulatePrincipalPolicy PolicySourceArn=" + arn + "user/both ActionNames.member.1=iam:Get PolicyInputList.member.1=" +
			`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/KIND":"1"}}}}`, "", "<EvalDecision>allowed<"},
		{"SimulatePrincipalPolicy PolicySourceArn=" + arn + "user/tagger ActionNames.member.1=iam:Get ContextEntries.member.1.ContextKeyName=aws:RequestTag/" + kelvin +
			` ContextEntries.member.1.ContextKeyValues.member.1=1 PolicyInputList.member.1={"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/kind":"1"}}}}`, "", "<EvalDecision>implicitDeny<"},
	})
}

// TestEveryOperationAsksForItself: whoever may do nothing is denied everything,
// by the operation's own name. What a request has to have, the door says.
func TestEveryOperationAsksForItself(t *testing.T) {
	d := awstest.Open(t)
	nobody := d.User("nobody", "")
	values := map[string][]string{
		"UserName": {"alice"}, "GroupName": {"g"}, "RoleName": {"r"}, "PolicyName": {"p"}, "PolicyArn": {arn + "policy/p"}, "AccessKeyId": {"AKIAAAAAAAAAAAAAAAAA"},
		"AssumeRolePolicyDocument": {trust}, "PolicyDocument": {listen}, "PermissionsBoundary": {arn + "policy/p"}, "VersionId": {"v1"}, "Status": {"Active"},
		"Url": {"https://issuer.example.com"}, "OpenIDConnectProviderArn": {arn + "oidc-provider/issuer.example.com"}, "ClientID": {"app"}, "AccountAlias": {"shop"},
		"Description": {"d"}, "PolicySourceArn": {arn + "user/alice"}, "InstanceProfileName": {"i"},
		"VirtualMFADeviceName": {"phone"}, "SerialNumber": {arn + "mfa/phone"}, "AuthenticationCode1": {"123456"}, "AuthenticationCode2": {"123457"},
		"AWSServiceName": {"batch.amazonaws.com"}, "DeletionTaskId": {"task"},
		"Tags": {".member.1.Key", "k", ".member.1.Value", "v"}, "TagKeys": {".member.1", "k"}, "ThumbprintList": {".member.1", fingerprint},
		"ActionNames": {".member.1", "s3:GetObject"}, "PolicyInputList": {".member.1", listen},
	}
	missing := regexp.MustCompile(`Value null at '(\w+)'`)
	carried := 0
	for _, op := range iam.New(iam.Options{}).Operations {
		if reflect.ValueOf(op.Run).IsZero() {
			if a := d.Call(nobody, "iam", op.Name); !a.Is("InvalidAction") || !strings.Contains(a.Message, op.Name+" is not carried out by Gust: "+op.Note) {
				t.Errorf("%s: %s", op.Name, a.Body)
			}
			continue
		}
		carried++
		if wrong := policy.CheckGrants([]gust.Grant{{Effect: gust.Allow, Actions: []string{"iam:" + op.Name}, Resources: []string{"*"}}}); len(wrong) > 0 {
			t.Errorf("the linter of policies does not know the action: %v", wrong)
		}
		var params []string
		if strings.HasSuffix(op.Name, "AccessKeys") || op.Name == "CreateAccessKey" || strings.HasPrefix(op.Name, "GetLogin") {
			params = []string{"UserName", "alice"}
		}
		a := d.Call(nobody, "iam", op.Name, params...)
		for _, m := range missing.FindAllStringSubmatch(a.Message, -1) {
			name := strings.ToUpper(m[1][:1]) + m[1][1:]
			switch v := values[name]; len(v) {
			case 1:
				params = append(params, name, v[0])
			default:
				for i := 0; i < len(v); i += 2 {
					params = append(params, name+v[i], v[i+1])
				}
			}
		}
		if a = d.Call(nobody, "iam", op.Name, params...); !a.Is("AccessDenied") || !strings.Contains(a.Message, " is not authorized to perform: iam:"+op.Name+" on resource: ") {
			t.Errorf("%s %q: %s", op.Name, params, a.Body)
		}
	}
	if carried < 100 {
		t.Errorf("%d operations are carried out", carried)
	}
}

// TestDenialsDoNotTellWhatIsThere: who may not is answered alike, whether there is
// somebody of the name or not, at whichever path, and however the name is written.
func TestDenialsDoNotTellWhatIsThere(t *testing.T) {
	d := awstest.Open(t)
	nobody := d.User("nobody", "")
	for _, call := range [][]string{
		{"CreateUser", "UserName", "there", "Path", "/team/"}, {"CreateGroup", "GroupName", "there", "Path", "/team/"},
		{"CreateRole", "RoleName", "there", "Path", "/team/", "AssumeRolePolicyDocument", trust},
	} {
		if a := d.Call(d.Root, "iam", call[0], call[1:]...); !a.Is("") {
			t.Fatal(a.Body)
		}
	}
	key := d.Call(d.Root, "iam", "CreateAccessKey", "UserName", "there").Text("AccessKeyId")
	for _, call := range [][]string{
		{"GetUser", "UserName"}, {"DeleteUser", "UserName"}, {"CreateAccessKey", "UserName"}, {"GetGroup", "GroupName"}, {"GetRole", "RoleName"},
		{"UpdateUser", "UserName"}, {"GetAccessKeyLastUsed", "AccessKeyId"},
	} {
		told := func(name string) string {
			a := d.Call(nobody, "iam", call[0], call[1], name)
			return fmt.Sprint(a.Status, a.Code, strings.ReplaceAll(a.Message, name, "NAME"))
		}
		there, missing := "THERE", "NOBODYS"
		if call[1] == "AccessKeyId" {
			there, missing = key, "AKIAAAAAAAAAAAAAAAAA"
		}
		if a, b := told(there), told(missing); a != b || !strings.Contains(a, "AccessDenied") {
			t.Errorf("%s tells what is there: %s, and of what is not: %s", call[0], a, b)
		}
	}
}

// TestRightsToWhatANameMeansNow: once a user is taken out of the path that somebody
// may change, they change nothing of that user, not even by a call under way.
func TestRightsToWhatANameMeansNow(t *testing.T) {
	d := awstest.Open(t)
	lead := d.User("lead", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:PutUserPolicy","Resource":"`+arn+`user/team/*"}]}`)
	for i := range 30 {
		name := fmt.Sprint("user", i)
		run(t, d, d.Root, []step{{"CreateUser Path=/team/ UserName=" + name, "", ""}})
		out := make(chan struct{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for n := 0; ; n++ {
					a := d.Call(lead, "iam", "PutUserPolicy", "UserName", name, "PolicyName", "p", "PolicyDocument", fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Sid":"n%d","Effect":"Allow","Action":"s3:ListBucket","Resource":"*"}]}`, n))
					select {
					case <-out:
						return
					default:
						if !a.Is("") && !a.Is("AccessDenied") && !a.Is("ConcurrentModification") && !a.Is("Throttling") {
							t.Error(a.Body)
							return
						}
					}
				}
			})
		}
		run(t, d, d.Root, []step{{"UpdateUser NewPath=/ UserName=" + name, "", ""}})
		was := d.Call(d.Root, "iam", "GetUserPolicy", "UserName", name, "PolicyName", "p").Text("PolicyDocument")
		close(out)
		wg.Wait()
		if is := d.Call(d.Root, "iam", "GetUserPolicy", "UserName", name, "PolicyName", "p").Text("PolicyDocument"); is != was {
			t.Fatalf("changed after it was out of reach: %s, was %s", is, was)
		}
	}
}

// TestChangesOfOneThingAtOnce: they take turns, and all are made.
func TestChangesOfOneThingAtOnce(t *testing.T) {
	d := awstest.Open(t)
	lead := d.User("lead", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:TagUser","Resource":"`+arn+`user/lead"}]}`)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if a := d.Call(lead, "iam", "TagUser", "UserName", "lead", "Tags.member.1.Key", fmt.Sprint("key", i), "Tags.member.1.Value", "v"); !a.Is("") {
				t.Error(a.Body)
			}
		})
	}
	wg.Wait()
	if a := d.Call(d.Root, "iam", "ListUserTags", "UserName", "lead"); len(a.All("Key")) != 20 {
		t.Error(a.Body)
	}
}
