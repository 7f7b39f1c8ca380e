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
	switch what := e.What; {
	case what == "user", what == "group", what == "role":
		return fmt.Sprintf("The %s with name %s cannot be found.", what, e.Name)
	case strings.HasPrefix(what, "inline policy of "):
		kind, _, _ := strings.Cut(strings.TrimPrefix(what, "inline policy of "), " ")
		return fmt.Sprintf("The %s policy with name %s cannot be found.", kind, e.Name)
	case what == "managed policy", strings.HasPrefix(what, "managed policy attached to "):
		return fmt.Sprintf("Policy %s was not found.", e.Name)
	case strings.HasPrefix(what, "access key"):
		return fmt.Sprintf("The Access Key with id %s cannot be found.", e.Name)
	case what == "OpenID Connect provider":
		return fmt.Sprintf("OpenIDConnect Provider not found for arn %s", e.Name)
	case strings.HasPrefix(what, "MFA device"):
		return fmt.Sprintf("VirtualMFADevice with serial number %s does not exist.", e.Name)
	case what == "account alias":
		return fmt.Sprintf("The account alias %s cannot be found.", e.Name)
	}
	return e.Error()
}

func exists(e *identity.ExistsError) string {
	switch e.What {
	case "user", "group", "role":
		return fmt.Sprintf("%s%s with name %s already exists.", strings.ToUpper(e.What[:1]), e.What[1:], e.Name)
	case "policy":
		return fmt.Sprintf("A policy called %s already exists. Duplicate names are not allowed.", e.Name)
	case "OpenID Connect provider":
		return fmt.Sprintf("Provider with url https://%s already exists.", e.Name)
	case "MFA device":
		return "MFADevice entity at the same path and name already exists."
	case "user of MFA device":
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

// quotas are AWS's names of them, by how the directory's limits begin.
var quotas = []struct{ limit, quota string }{
	{"users", "UsersPerAccount"}, {"groups of user", "GroupsPerUser"}, {"groups", "GroupsPerAccount"}, {"roles", "RolesPerAccount"},
	{"access keys of user", "AccessKeysPerUser"}, {"MFA devices of user", "MFADevicesPerUser"}, {"MFA devices", "VirtualMFADevicesPerAccount"}, {"managed policies attached to user", "PoliciesPerUser"},
	{"managed policies attached to group", "PoliciesPerGroup"}, {"managed policies attached to role", "PoliciesPerRole"},
	{"managed policies", "PoliciesPerAccount"}, {"OpenID Connect providers", "OpenIdConnectProvidersPerAccount"},
	{"client IDs of provider", "ClientIdsPerOpenIdConnectProvider"}, {"thumbprints of provider", "ThumbprintsPerOpenIdConnectProvider"},
	{"characters of the managed policy", "PolicySize"}, {"characters of the trust policy", "ACLSizePerRole"},
}

func limit(e *identity.LimitError) string {
	if policy, ok := strings.CutPrefix(e.What, "versions of policy "); ok {
		return fmt.Sprintf("A managed policy can have up to %d versions, and %s has them. Before you create a new version, you must delete an existing version.",
			e.Limit, policy)
	}
	// "characters of the inline policy p of user u, white space not counted"
	if strings.HasPrefix(e.What, "characters of the inline policy ") || strings.HasPrefix(e.What, "characters of all inline policies of ") {
		who := e.What[strings.LastIndex(e.What, " of ")+4:]
		who, _, _ = strings.Cut(who, ",")
		return fmt.Sprintf("Maximum policy size of %d bytes exceeded for %s", e.Limit, who)
	}
	for _, q := range quotas {
		if strings.HasPrefix(e.What, q.limit) {
			return fmt.Sprintf("Cannot exceed quota for %s: %d", q.quota, e.Limit)
		}
	}
	return e.Error()
}

func inUse(e *identity.InUseError) string {
	switch by := e.By; {
	case strings.Contains(by, "access key"):
		return "Cannot delete entity, must delete access keys first."
	case e.What == "MFA device":
		return "MFA VirtualDevice in use. Must deactivate first."
	case strings.Contains(by, "MFA device"):
		return "Cannot delete entity, must delete MFA device first."
	case strings.Contains(by, "managed polic"):
		return "Cannot delete entity, must detach all policies first."
	case strings.Contains(by, "inline polic"):
		return "Cannot delete entity, must delete policies first."
	case e.What == "user" && strings.Contains(by, "group"), e.What == "group" && strings.Contains(by, "user"):
		return "Cannot delete entity, must remove users from group first."
	case e.What == "policy" && strings.Contains(by, "versions"):
		return "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. " +
			"The default version is deleted with the policy."
	case e.What == "policy":
		return "Cannot delete a policy attached to entities."
	case e.What == "version":
		return "Cannot delete the default version of a policy."
	}
	return e.Error()
}
