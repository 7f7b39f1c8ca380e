package conformance

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// TestFactorsByBoto3 makes the calls of the examples of AWS's documentation for
// Python about second factors and roles that are linked to a service.
func TestFactorsByBoto3(t *testing.T) {
	python := need(t, "../.cache/conformance/clients/bin/python")
	if got := decode[struct{ Passed bool }](t, run(t, ".", clientEnv(t), python, "testdata/identity/factors.py")); !got.Passed {
		t.Error("the script ended early")
	}
}

// TestFactors has the SDK for Go show a second factor, by itself where it assumes
// a role.
func TestFactors(t *testing.T) {
	ctx, root := t.Context(), asKey("", "", "").iam()
	onlyWith := map[string]any{"Bool": map[string]string{"aws:MultiFactorAuthPresent": "true"}}
	fred, _ := person(t, "fred", policyOf(
		map[string]any{"Effect": "Allow", "Action": "iam:ListUsers", "Resource": "*", "Condition": onlyWith},
		map[string]any{"Effect": "Allow", "Action": "iam:ListRoles", "Resource": "*", "Condition": map[string]any{"NumericLessThan": map[string]string{"aws:MultiFactorAuthAge": "300"}}}))
	strict := roleOf(t, "strict", policyOf(map[string]any{"Effect": "Allow", "Principal": map[string]string{"AWS": account + "user/fred"}, "Action": "sts:AssumeRole", "Condition": onlyWith}),
		statement("Allow", "iam:ListUsers", "*"))

	made := must(root.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: aws.String("fred")}))(t).VirtualMFADevice
	seed := must(base32.StdEncoding.DecodeString(string(made.Base32StringSeed)))(t)
	step := time.Now().Unix()/30 - 3
	code := func() string { // the next one
		step++
		mac := hmac.New(sha1.New, seed)
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(step)))
		sum := mac.Sum(nil)
		return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&(1<<31-1)%1_000_000)
	}
	enable := &iam.EnableMFADeviceInput{UserName: aws.String("fred"), SerialNumber: made.SerialNumber, AuthenticationCode1: aws.String("123456"), AuthenticationCode2: aws.String("123456")}
	if got := fault(root.EnableMFADevice(ctx, enable)); got != "InvalidAuthenticationCodeException" {
		t.Errorf("wrong codes: %s", got)
	}
	enable.AuthenticationCode1, enable.AuthenticationCode2 = aws.String(code()), aws.String(code())
	must(root.EnableMFADevice(ctx, enable))(t)
	if got := fault(root.EnableMFADevice(ctx, enable)); got != "EntityAlreadyExistsException" {
		t.Errorf("twice: %s", got)
	}

	t.Run("a session token", func(t *testing.T) {
		for what, with := range map[string]*sts.GetSessionTokenInput{
			"AccessDenied": {}, "none": {SerialNumber: made.SerialNumber, TokenCode: aws.String(code())},
		} {
			session := asSession(must(fred.sts().GetSessionToken(ctx, with))(t).Credentials).iam()
			if got := fault(session.ListUsers(ctx, nil)); got != what {
				t.Errorf("with %v: %s", with.SerialNumber, got)
			}
			if got := fault(session.ListRoles(ctx, nil)); got != what {
				t.Errorf("soon after, with %v: %s", with.SerialNumber, got)
			}
			if with.SerialNumber == nil {
				continue
			}
			if got := told(failed(fred.sts().GetSessionToken(ctx, with))); got != "AccessDenied: MultiFactorAuthentication failed with invalid MFA one time pass code. " {
				t.Errorf("the same code again: %s", got)
			}
		}
	})

	t.Run("a role that the SDK assumes", func(t *testing.T) {
		plain := fred.Copy()
		plain.Credentials = stscreds.NewAssumeRoleProvider(fred.sts(), *strict)
		if got := textOf(failed(iam.NewFromConfig(plain).ListUsers(ctx, nil))); !strings.Contains(got, "AccessDenied") {
			t.Errorf("without: %s", got)
		}
		shown := fred.Copy()
		shown.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(fred.sts(), *strict, func(o *stscreds.AssumeRoleOptions) {
			o.SerialNumber, o.TokenProvider = made.SerialNumber, func() (string, error) { return code(), nil }
		}))
		for range 2 { // one code is for a session, not for a call
			must(iam.NewFromConfig(shown).ListUsers(ctx, nil))(t)
		}
	})

	device := &iam.DeleteVirtualMFADeviceInput{SerialNumber: made.SerialNumber}
	if got := fault(root.DeleteVirtualMFADevice(ctx, device)); got != "DeleteConflictException" {
		t.Errorf("in use: %s", got)
	}
	must(root.DeactivateMFADevice(ctx, &iam.DeactivateMFADeviceInput{UserName: aws.String("fred"), SerialNumber: made.SerialNumber}))(t)
	must(root.DeleteVirtualMFADevice(ctx, device))(t)
}

// TestLinkedRoles makes, shows and deletes a role that is linked to a service.
func TestLinkedRoles(t *testing.T) {
	ctx, c := t.Context(), asKey("", "", "").iam()
	made := must(c.CreateServiceLinkedRole(ctx, &iam.CreateServiceLinkedRoleInput{AWSServiceName: aws.String("autoscaling.amazonaws.com"), CustomSuffix: aws.String("blue")}))(t).Role
	if *made.Arn != account+"role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling_blue" {
		t.Errorf("it is %s", *made.Arn)
	}
	if who := first(t, made.AssumeRolePolicyDocument); who.Principal["Service"] != "autoscaling.amazonaws.com" {
		t.Errorf("it trusts %v", who)
	}
	if got := fault(c.CreateServiceLinkedRole(ctx, &iam.CreateServiceLinkedRoleInput{AWSServiceName: aws.String("autoscaling.amazonaws.com"), CustomSuffix: aws.String("blue")})); got != "InvalidInputException" {
		t.Errorf("twice: %s", got)
	}
	if got := fault(c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: made.RoleName, PolicyName: aws.String("p"), PolicyDocument: statement("Allow", "s3:*", "*")})); got != "UnmodifiableEntityException" {
		t.Errorf("changed: %s", got)
	}
	task := must(c.DeleteServiceLinkedRole(ctx, &iam.DeleteServiceLinkedRoleInput{RoleName: made.RoleName}))(t).DeletionTaskId
	if got := must(c.GetServiceLinkedRoleDeletionStatus(ctx, &iam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: task}))(t).Status; got != types.DeletionTaskStatusTypeSucceeded {
		t.Errorf("its deletion: %s", got)
	}
	if got := fault(c.GetRole(ctx, &iam.GetRoleInput{RoleName: made.RoleName})); got != "NoSuchEntityException" {
		t.Errorf("afterwards: %s", got)
	}
}
