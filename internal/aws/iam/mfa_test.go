package iam_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"strings"
	"testing"

	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/aws/awstest"
)

func TestLifeOfADevice(t *testing.T) {
	d := awstest.Open(t)
	alice := d.User("alice", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:*MFADevice*"],"Resource":["`+arn+`mfa/${aws:username}","`+arn+`user/${aws:username}"]}]}`)
	a := d.Call(alice, "iam", "CreateVirtualMFADevice", "VirtualMFADeviceName", "alice", "Tags.member.1.Key", "kind", "Tags.member.1.Value", "phone")
	if serial := a.Text("SerialNumber"); !a.Is("") || serial != arn+"mfa/alice" {
		t.Fatal(a.Body)
	}
	seed := decoded(t, a.Text("Base32StringSeed"))
	readable(t, []byte(decoded(t, a.Text("QRCodePNG"))))
	code := func(n string, ago int64) string { return " AuthenticationCode" + n + "=" + d.Code(seed, ago) }
	const device = " SerialNumber=" + arn + "mfa/alice"
	run(t, d, alice, []step{
		{"CreateVirtualMFADevice VirtualMFADeviceName=bob", "AccessDenied", "iam:CreateVirtualMFADevice on resource: " + arn + "mfa/bob"},
		{"EnableMFADevice UserName=alice" + device + code("1", 1) + code("2", 1), "InvalidAuthenticationCode", "Authentication code for device is not valid."},
		{"EnableMFADevice UserName=alice" + device + code("1", 2) + code("2", 1), "", ""},
		{"ListMFADevices", "", "<UserName>alice</UserName><SerialNumber>" + arn + "mfa/alice</SerialNumber><EnableDate>"},
		{"ListMFADeviceTags" + device, "", "<Key>kind</Key><Value>phone</Value>"},
		{"ResyncMFADevice UserName=alice" + device + code("1", 2) + code("2", 1), "InvalidAuthenticationCode", ""},
		{"ResyncMFADevice UserName=bob" + device + code("1", 0) + code("2", -1), "AccessDenied", "iam:ResyncMFADevice on resource: " + arn + "user/bob"},
	})
	run(t, d, d.Root, []step{
		{"CreateVirtualMFADevice VirtualMFADeviceName=ALICE", "EntityAlreadyExists", "MFADevice entity at the same path and name already exists."},
		{"CreateVirtualMFADevice VirtualMFADeviceName=spare Path=/team/", "", arn + "mfa/team/spare"},
		{"CreateUser UserName=bob", "", ""},
		{"EnableMFADevice UserName=bob" + device + code("1", 2) + code("2", 1), "EntityAlreadyExists", "MFA Device is already in use."},
		{"EnableMFADevice UserName=bob SerialNumber=" + arn + "mfa/none" + code("1", 2) + code("2", 1), "NoSuchEntity", "VirtualMFADevice with serial number " + arn + "mfa/none does not exist."},
		{"EnableMFADevice UserName=bob" + device + " AuthenticationCode1=12345 AuthenticationCode2=abcdef", "ValidationError", "authenticationCode1"},
		{"DeactivateMFADevice UserName=bob" + device, "NoSuchEntity", "does not exist"},
		{"DeactivateMFADevice" + device, "ValidationError", "Must specify userName"},
		{"DeleteVirtualMFADevice" + device, "DeleteConflict", "MFA VirtualDevice in use. Must deactivate first."},
		{"ListVirtualMFADevices AssignmentStatus=Assigned", "", "<Arn>" + arn + "user/alice</Arn>"},
		{"ListVirtualMFADevices AssignmentStatus=Unassigned", "", "<member><SerialNumber>" + arn + "mfa/team/spare</SerialNumber></member></VirtualMFADevices>"},
		{"ListVirtualMFADevices AssignmentStatus=Some", "ValidationError", "assignmentStatus"},
		{"GetAccountSummary", "", "<key>MFADevices</key><value>2</value>"},
		{"GetAccountSummary", "", "<key>MFADevicesInUse</key><value>1</value>"},
		{"TagMFADevice" + device + " Tags.member.1.Key=Kind Tags.member.1.Value=watch", "", ""},
		{"ListMFADeviceTags" + device, "", "<Tags><member><Key>Kind</Key><Value>watch</Value></member></Tags>"},
		{"UntagMFADevice" + device + " TagKeys.member.1=kind", "", ""},
		{"ListMFADeviceTags" + device, "", "<Tags></Tags>"},
		{"ListMFADevices UserName=bob", "", "<MFADevices></MFADevices>"},
		{"ListMFADevices UserName=none", "NoSuchEntity", "none"},
		{"GetMFADevice" + device, "InvalidAction", "ListMFADevices and ListVirtualMFADevices"},
	})
	if a := d.Call(d.Root, "iam", "ListVirtualMFADevices", "MaxItems", "1"); strings.Contains(a.Body, "Seed") || a.Text("Marker") == "" || a.Text("SerialNumber") != arn+"mfa/alice" {
		t.Error(a.Body)
	} else if a = d.Call(d.Root, "iam", "ListVirtualMFADevices", "Marker", a.Text("Marker")); a.Text("SerialNumber") != arn+"mfa/team/spare" {
		t.Error(a.Body)
	}
	report := decoded(t, d.Call(d.Root, "iam", "GetCredentialReport").Text("Content"))
	for _, line := range strings.Split(report, "\n") {
		if strings.HasPrefix(line, "alice,") != (len(line) > 0 && strings.Split(line, ",")[7] == "true") {
			t.Errorf("mfa_active: %s", line)
		}
	}
	for _, key := range d.Call(d.Root, "iam", "ListAccessKeys", "UserName", "alice").All("AccessKeyId") {
		run(t, d, d.Root, []step{{"DeleteAccessKey UserName=alice AccessKeyId=" + key, "", ""}})
	}
	run(t, d, d.Root, []step{
		{"DeleteUser UserName=alice", "DeleteConflict", "Cannot delete entity, must delete MFA device first."},
		{"DeactivateMFADevice UserName=alice" + device, "", ""},
		{"DeleteVirtualMFADevice" + device, "", ""},
		{"DeleteVirtualMFADevice" + device, "NoSuchEntity", "does not exist"},
		{"DeleteUserPolicy UserName=alice PolicyName=own", "", ""},
		{"DeleteUser UserName=alice", "", ""},
	})
	for r, err := range d.Log.Read(t.Context(), audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Action == "iam:EnableMFADevice" && r.Result == audit.OK && (r.Parameters["SerialNumber"] != arn+"mfa/alice" || len(r.Parameters) != 2) {
			t.Errorf("it is on record as %+v", r)
		}
	}
}

func TestGuessesAreBounded(t *testing.T) {
	d := awstest.Open(t)
	d.User("alice", "")
	a := d.Call(d.Root, "iam", "CreateVirtualMFADevice", "VirtualMFADeviceName", "phone")
	seed := decoded(t, a.Text("Base32StringSeed"))
	enable := func(first, second string) *awstest.Answer {
		return d.Call(d.Root, "iam", "EnableMFADevice", "UserName", "alice", "SerialNumber", arn+"mfa/phone", "AuthenticationCode1", first, "AuthenticationCode2", second)
	}
	for range 5 {
		if a := enable("000000", "000000"); !a.Is("InvalidAuthenticationCode") {
			t.Error(a.Body)
		}
	}
	if a := enable(d.Code(seed, 1), d.Code(seed, 0)); !a.Is("InvalidAuthenticationCode") || !strings.Contains(a.Message, "was sent 5 wrong codes, and takes another one in a minute") {
		t.Error(a.Body)
	}
}

// readable checks what readers look for in a QR code: the margin, and the three
// squares by which they find it.
func readable(t *testing.T, picture []byte) {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	const scale, margin = 6, 4
	side := img.Bounds().Dx()/scale - 2*margin
	if img.Bounds() != image.Rect(0, 0, img.Bounds().Dx(), img.Bounds().Dx()) || (side-17)%4 != 0 {
		t.Fatalf("it is %v", img.Bounds())
	}
	black := func(x, y int) bool {
		return color.GrayModel.Convert(img.At((x+margin)*scale+scale/2, (y+margin)*scale+scale/2)).(color.Gray).Y == 0
	}
	for _, corner := range []image.Point{{}, {X: side - 7}, {Y: side - 7}} {
		for y := -1; y <= 7; y++ {
			for x := -1; x <= 7; x++ {
				out := max(max(x-3, 3-x), max(y-3, 3-y)) // from the middle
				if black(corner.X+x, corner.Y+y) != (out != 2 && out != 4) {
					t.Fatalf("the square at %v is not one at %d,%d", corner, x, y)
				}
			}
		}
	}
	for i := -margin; i < side+margin; i++ {
		for edge := 1; edge <= margin; edge++ {
			if black(i, -edge) || black(-edge, i) || black(i, side-1+edge) || black(side-1+edge, i) {
				t.Fatal("the margin is not white")
			}
		}
	}
}
