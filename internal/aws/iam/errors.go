package iam

import (
	"errors"
	"fmt"
	"strings"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/aws/wire"
)

func fault(name, format string, args ...any) error {
	return &wire.Error{Name: name, Message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error { return fault("ValidationError", format, args...) }

// unused refuses a member of a request that is there and is not carried out.
func unused(given bool, member, instead string) error {
	if !given {
		return nil
	}
	return fault("InvalidInputException", "%s is not carried out by Gust: %s", member, instead)
}

// describe is the one table of the directory's errors and the API's.
func describe(err error) *wire.Error {
	as := func(name, text string) *wire.Error { return &wire.Error{Name: name, Message: text} }
	if e := (*identity.NotFoundError)(nil); errors.As(err, &e) {
		return as("NoSuchEntityException", notFound(e))
	}
	if e := (*identity.ExistsError)(nil); errors.As(err, &e) {
		return as("EntityAlreadyExistsException", exists(e))
	}
	if e := (*identity.LimitError)(nil); errors.As(err, &e) {
		return as("LimitExceededException", limit(e))
	}
	if e := (*identity.InUseError)(nil); errors.As(err, &e) {
		return as("DeleteConflictException", inUse(e))
	}
	if e := (*identity.FactorError)(nil); errors.As(err, &e) {
		return as("InvalidAuthenticationCodeException", factor(e))
	}
	if e := (*identity.MalformedPolicyError)(nil); errors.As(err, &e) {
		return as("MalformedPolicyDocumentException", e.Error())
	}
	if e := (*identity.UnmodifiableError)(nil); errors.As(err, &e) {
		return as("UnmodifiableEntityException", e.Error())
	}
	if e := (*identity.InvalidError)(nil); errors.As(err, &e) {
		return as("ValidationError", e.Error())
	}
	switch {
	case errors.Is(err, gust.ErrConflict):
		return as("ConcurrentModificationException", err.Error())
	case errors.Is(err, gust.ErrInvalid):
		return as("InvalidInputException", err.Error())
	}
	return nil
}

// The texts below are AWS's where it has one: programs look for them.

func notFound(e *identity.NotFoundError) string {
	switch e.Kind {
	case identity.KindUser, identity.KindGroup, identity.KindRole:
		return fmt.Sprintf("The %s with name %s cannot be found.", e.Kind, e.Name)
	case identity.KindInline:
		return fmt.Sprintf("The %s policy with name %s cannot be found.", e.Of, e.Name)
	case identity.KindPolicy:
		return fmt.Sprintf("Policy %s was not found.", e.Name)
	case identity.KindKey:
		return fmt.Sprintf("The Access Key with id %s cannot be found.", e.Name)
	case identity.KindProvider:
		return fmt.Sprintf("OpenIDConnect Provider not found for arn %s", e.Name)
	case identity.KindDevice:
		return fmt.Sprintf("VirtualMFADevice with serial number %s does not exist.", e.Name)
	case identity.KindAlias:
		return fmt.Sprintf("The account alias %s cannot be found.", e.Name)
	}
	return e.Error()
}

func exists(e *identity.ExistsError) string {
	switch kind := string(e.Kind); e.Kind {
	case identity.KindUser, identity.KindGroup, identity.KindRole:
		return fmt.Sprintf("%s%s with name %s already exists.", strings.ToUpper(kind[:1]), kind[1:], e.Name)
	case identity.KindPolicy:
		return fmt.Sprintf("A policy called %s already exists. Duplicate names are not allowed.", e.Name)
	case identity.KindProvider:
		return fmt.Sprintf("Provider with url https://%s already exists.", e.Name)
	case identity.KindDevice:
		return "MFADevice entity at the same path and name already exists."
	case identity.KindDeviceUser:
		return "MFA Device is already in use."
	}
	return e.Error()
}

func factor(e *identity.FactorError) string {
	if e.Fault == identity.FactorWrong {
		return "Authentication code for device is not valid."
	}
	return e.Error()
}

func limit(e *identity.LimitError) string {
	switch e.Quota {
	case "":
		return e.Error()
	case identity.QuotaVersions:
		return fmt.Sprintf("A managed policy can have up to %d versions, and %s has them. Before you create a new version, you must delete an existing version.",
			e.Limit, e.Of.Name)
	case identity.QuotaInline:
		return fmt.Sprintf("Maximum policy size of %d bytes exceeded for %s", e.Limit, e.Of)
	}
	return fmt.Sprintf("Cannot exceed quota for %s: %d", e.Quota, e.Limit)
}

func inUse(e *identity.InUseError) string {
	switch {
	case e.Kind == identity.KindPolicy && e.Has == identity.KindVersion:
		return "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. " +
			"The default version is deleted with the policy."
	case e.Kind == identity.KindPolicy:
		return "Cannot delete a policy attached to entities."
	case e.Kind == identity.KindVersion:
		return "Cannot delete the default version of a policy."
	case e.Kind == identity.KindDevice:
		return "MFA VirtualDevice in use. Must deactivate first."
	case e.Has == identity.KindDevice:
		return "Cannot delete entity, must delete MFA device first."
	case e.Has == identity.KindKey:
		return "Cannot delete entity, must delete access keys first."
	case e.Has == identity.KindPolicy:
		return "Cannot delete entity, must detach all policies first."
	case e.Has == identity.KindInline:
		return "Cannot delete entity, must delete policies first."
	}
	return "Cannot delete entity, must remove users from group first."
}
