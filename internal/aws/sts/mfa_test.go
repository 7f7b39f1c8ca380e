package sts_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/aws/awstest"
)

const (
	factor   = `"Bool":{"aws:MultiFactorAuthPresent":"true"}`
	noFactor = `"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}`
)

// device makes a device and makes it a user's; what it shows from now on has not
// been used.
func device(t *testing.T, d *awstest.Door, user string) (serial, seed string) {
	t.Helper()
	a := d.Call(d.Root, "iam", "CreateVirtualMFADevice", "VirtualMFADeviceName", user)
	b, err := base64.StdEncoding.DecodeString(a.Text("Base32StringSeed"))
	if err != nil {
		t.Fatal(err)
	}
	serial, seed = a.Text("SerialNumber"), string(b)
	if a := d.Call(d.Root, "iam", "EnableMFADevice", "UserName", user, "SerialNumber", serial,
		"AuthenticationCode1", d.Code(seed, 3), "AuthenticationCode2", d.Code(seed, 2)); !a.Is("") {
		t.Fatal(a.Body)
	}
	return serial, seed
}

func TestGetSessionTokenWithASecondFactor(t *testing.T) {
	d := awstest.Open(t)
	alice := d.User("alice", policy(`{"Effect":"Allow","Action":"iam:*","Resource":"*"}`,
		`{"Effect":"Deny","NotAction":["sts:GetSessionToken","iam:ListMFADevices"],"Resource":"*","Condition":{`+noFactor+`}}`))
	bob := d.User("bob", "")
	serial, seed := device(t, d, "alice")
	if a := d.Call(alice, "iam", "ListUsers"); !a.Is("AccessDenied") {
		t.Error(a.Body)
	}
	if a := d.Call(alice, "iam", "ListMFADevices"); a.Text("SerialNumber") != serial {
		t.Error(a.Body)
	}
	token := func(who string, params ...string) *awstest.Answer {
		return d.Call(who, "sts", "GetSessionToken", params...)
	}
	if a := d.Call(session(t, token(alice)), "iam", "ListMFADevices"); !a.Is("AccessDenied") {
		t.Error(a.Body)
	}
	const (
		unknown = "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user."
		wrong   = "MultiFactorAuthentication failed with invalid MFA one time pass code. "
	)
	code := d.Code(seed, 0)
	for name, test := range map[string]struct {
		who, text string
		params    []string
	}{
		"no code":         {alice, "must provide both", []string{"SerialNumber", serial}},
		"no device":       {alice, "must provide both", []string{"TokenCode", code}},
		"another device":  {alice, unknown, []string{"SerialNumber", serial + "x", "TokenCode", code}},
		"another's":       {bob, unknown, []string{"SerialNumber", serial, "TokenCode", code}},
		"root":            {d.Root, unknown, []string{"SerialNumber", serial, "TokenCode", code}},
		"an old code":     {alice, wrong, []string{"SerialNumber", serial, "TokenCode", d.Code(seed, 9)}},
		"a code to come":  {alice, wrong, []string{"SerialNumber", serial, "TokenCode", d.Code(seed, -9)}},
		"a user's by ARN": {alice, unknown, []string{"SerialNumber", arn + "user/alice", "TokenCode", code}},
	} {
		if a := token(test.who, test.params...); !a.Is("AccessDenied") || !strings.Contains(a.Message, test.text) {
			t.Errorf("%s: %s", name, a.Body)
		}
	}
	if a := token(alice, "SerialNumber", serial, "TokenCode", "12x456"); !a.Is("ValidationError") {
		t.Error(a.Body)
	}
	with := session(t, token(alice, "SerialNumber", serial, "TokenCode", code))
	if a := token(alice, "SerialNumber", serial, "TokenCode", code); !a.Is("AccessDenied") || a.Message != wrong {
		t.Errorf("the same code again: %s", a.Body)
	}
	if a := d.Call(with, "iam", "ListUsers"); !a.Is("") {
		t.Error(a.Body)
	}
	if a := d.Call(with, "iam", "CreateAccessKey", "UserName", "bob"); !a.Is("") {
		t.Error(a.Body)
	}
	if a := d.Call(with, "sts", "GetSessionToken"); !a.Is("AccessDenied") {
		t.Error(a.Body)
	}
	failed := 0
	for r, err := range d.Log.Read(t.Context(), audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Action == "sts:GetSessionToken" && r.Code == "AccessDenied" {
			t.Errorf("what was denied is recorded as %+v", r)
		}
		if r.Result == audit.Denied && (strings.HasPrefix(r.Reason, "because the MFA device ") || strings.HasPrefix(r.Reason, "because only half of a second factor")) {
			failed++
		}
		for name, value := range r.Parameters {
			if strings.Contains(name, "Code") || strings.Contains(value, seed) || value == code {
				t.Errorf("on record is %s of %s", name, r.Action)
			}
		}
	}
	if failed != 9 {
		t.Errorf("%d attempts are on record", failed)
	}
}

func TestAssumeRoleWithASecondFactor(t *testing.T) {
	d := awstest.Open(t)
	role(t, d, "strict", trusts(`{"AWS":"`+arn+`root"}`, `"sts:AssumeRole"`, factor), policy(`{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*","Condition":{`+factor+`}}`))
	alice := d.User("alice", policy(allow("sts:AssumeRole", arn+"role/strict")))
	bob := d.User("bob", "")
	serial, seed := device(t, d, "alice")
	bobs, bobSeed := device(t, d, "bob")
	assume := func(who string, params ...string) *awstest.Answer {
		return d.Call(who, "sts", "AssumeRole", append([]string{"RoleArn", arn + "role/strict", "RoleSessionName", "run"}, params...)...)
	}
	code := d.Code(seed, 0)
	for name, test := range map[string]struct {
		who, text string
		params    []string
	}{
		"none":                 {alice, "not authorized to perform: sts:AssumeRole", nil},
		"a wrong code":         {alice, "invalid MFA one time pass code", []string{"SerialNumber", serial, "TokenCode", d.Code(seed, 9)}},
		"who may not, wrong":   {bob, "not authorized to perform: sts:AssumeRole", []string{"SerialNumber", bobs, "TokenCode", d.Code(bobSeed, 9)}},
		"who may not, right":   {bob, "not authorized to perform: sts:AssumeRole", []string{"SerialNumber", bobs, "TokenCode", d.Code(bobSeed, 0)}},
		"a device of another":  {alice, "unable to validate MFA code", []string{"SerialNumber", bobs, "TokenCode", d.Code(bobSeed, 0)}},
		"nothing but a number": {alice, "must provide both", []string{"SerialNumber", serial}},
	} {
		if a := assume(test.who, test.params...); !a.Is("AccessDenied") || !strings.Contains(a.Message, test.text) {
			t.Errorf("%s: %s", name, a.Body)
		}
	}
	with := session(t, assume(alice, "SerialNumber", serial, "TokenCode", code))
	if a := d.Call(with, "iam", "ListUsers"); !a.Is("") {
		t.Error(a.Body)
	}
	if a := assume(alice, "SerialNumber", serial, "TokenCode", code); !a.Is("AccessDenied") {
		t.Errorf("the same code again: %s", a.Body)
	}
	// The one who may not has not used up the code.
	if a := d.Call(bob, "sts", "GetSessionToken", "SerialNumber", bobs, "TokenCode", d.Code(bobSeed, 0)); !a.Is("") {
		t.Error(a.Body)
	}
}
