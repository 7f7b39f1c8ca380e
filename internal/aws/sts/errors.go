package sts

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/guard"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/access/oidc"
	"github.com/gust-dev/gust/internal/aws/wire"
)

func invalid(format string, args ...any) error {
	return &wire.Error{Name: "ValidationError", Message: fmt.Sprintf(format, args...)}
}

// unused refuses a member of a request that is not carried out.
func unused(member, instead string) error {
	return invalid("%s is not carried out by Gust: %s", member, instead)
}

func denied(text string) *wire.Error {
	return &wire.Error{Name: "AccessDenied", Status: http.StatusForbidden, Message: text}
}

// refused is why the directory made no session. What it does not allow is a denial
// as the guard's are, and on record as they are. Web identities are not told more
// than that it is one.
func refused(ctx context.Context, err error) error {
	e := (*identity.DeniedError)(nil)
	if !errors.As(err, &e) {
		return err
	}
	call := guard.CallFrom(ctx)
	err = call.Deny(ctx, &access.Need{Action: e.Action, Resource: e.Resource}, e.Decision)
	if call.Caller.Principal.Kind == access.KindFederated {
		told := denied("Not authorized to perform sts:AssumeRoleWithWebIdentity")
		told.Cause = err
		return told
	}
	return err
}

// factor is AWS's text where it has one, with the space at its end: programs
// look for it.
func factor(e *identity.FactorError) *wire.Error {
	switch e.Fault {
	case identity.FactorUnknown:
		return denied("MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user.")
	case identity.FactorWrong:
		return denied("MultiFactorAuthentication failed with invalid MFA one time pass code. ")
	}
	return denied("MultiFactorAuthentication failed: " + e.Error())
}

// describe is the one table of the directory's errors and the API's.
func describe(err error) *wire.Error {
	as := func(name, text string) *wire.Error { return &wire.Error{Name: name, Message: text} }
	if e := (*oidc.Error)(nil); errors.As(err, &e) {
		switch e.Kind {
		case oidc.Expired:
			return as("ExpiredTokenException", e.Reason)
		case oidc.Unreachable:
			return as("IDPCommunicationErrorException", e.Reason)
		}
		return as("InvalidIdentityTokenException", e.Reason)
	}
	if e := (*identity.UntrustedError)(nil); errors.As(err, &e) {
		return as("InvalidIdentityTokenException", e.Error())
	}
	if e := (*identity.MalformedPolicyError)(nil); errors.As(err, &e) {
		return as("MalformedPolicyDocumentException", e.Error())
	}
	if e := (*identity.PackedError)(nil); errors.As(err, &e) {
		return as("PackedPolicyTooLargeException", e.Error())
	}
	if e := (*identity.InvalidError)(nil); errors.As(err, &e) {
		return as("ValidationError", e.Error())
	}
	if e := (*identity.LimitError)(nil); errors.As(err, &e) {
		return as("ValidationError", e.Error())
	}
	if e := (*identity.NotFoundError)(nil); errors.As(err, &e) {
		return as("ValidationError", e.Error())
	}
	return nil
}
