package iam

import (
	"context"
	"slices"

	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/aws/wire"
)

// absent are operations that look at what there is none of in Gust. Tools call
// them before they delete a user or a role, so they say what is: nothing.
func (s *server) absent() []wire.Operation {
	const note = "there are none"
	no := false
	ops := []wire.Operation{
		operation(s, wire.Read, "GetLoginProfile", ofSelf, func(ctx context.Context, in *GetLoginProfileRequest) (*GetLoginProfileResponse, error) {
			return nil, s.noLoginProfile(ctx, in.UserName)
		}),
		operation(s, wire.Write, "DeleteLoginProfile", ofSelf, func(ctx context.Context, in *DeleteLoginProfileRequest) (*none, error) {
			return nil, s.noLoginProfile(ctx, in.UserName)
		}),
		operation(s, wire.Read, "ListSSHPublicKeys", ofSelf, func(ctx context.Context, in *ListSSHPublicKeysRequest) (*ListSSHPublicKeysResponse, error) {
			return &ListSSHPublicKeysResponse{SSHPublicKeys: []SSHPublicKeyMetadata{}, IsTruncated: &no}, s.exists(ctx, in.UserName)
		}),
		operation(s, wire.Read, "ListSigningCertificates", ofSelf, func(ctx context.Context, in *ListSigningCertificatesRequest) (*ListSigningCertificatesResponse, error) {
			return &ListSigningCertificatesResponse{Certificates: []SigningCertificate{}, IsTruncated: &no}, s.exists(ctx, in.UserName)
		}),
		operation(s, wire.Read, "ListServiceSpecificCredentials", ofSelf, func(ctx context.Context, in *ListServiceSpecificCredentialsRequest) (*ListServiceSpecificCredentialsResponse, error) {
			return &ListServiceSpecificCredentialsResponse{ServiceSpecificCredentials: []ServiceSpecificCredentialMetadata{}, IsTruncated: &no},
				s.exists(ctx, in.UserName)
		}),
		operation(s, wire.Read, "ListSAMLProviders", nothing, func(context.Context, *ListSAMLProvidersRequest) (*ListSAMLProvidersResponse, error) {
			return &ListSAMLProvidersResponse{SAMLProviderList: []SAMLProviderListEntry{}}, nil
		}),
		operation(s, wire.Read, "ListServerCertificates", nothing, func(context.Context, *ListServerCertificatesRequest) (*ListServerCertificatesResponse, error) {
			return &ListServerCertificatesResponse{ServerCertificateMetadataList: []ServerCertificateMetadata{}, IsTruncated: &no}, nil
		}),
		operation(s, wire.Read, "GetAccountPasswordPolicy", nothing, func(context.Context, *none) (*GetAccountPasswordPolicyResponse, error) {
			return nil, fault("NoSuchEntityException", "The Password Policy with domain name %s cannot be found.", s.Place.Account)
		}),
		operation(s, wire.Read, "GetInstanceProfile", subject{kind: "instance-profile", member: "InstanceProfileName", makes: true}, func(_ context.Context, in *GetInstanceProfileRequest) (*GetInstanceProfileResponse, error) {
			return nil, fault("NoSuchEntityException", "Instance Profile %s cannot be found.", in.InstanceProfileName)
		}),
		operation(s, wire.Read, "ListInstanceProfiles", nothing, func(context.Context, *ListInstanceProfilesRequest) (*ListInstanceProfilesResponse, error) {
			return &ListInstanceProfilesResponse{InstanceProfiles: []InstanceProfile{}, IsTruncated: &no}, nil
		}),
		operation(s, wire.Read, "ListInstanceProfilesForRole", ofRole, func(_ context.Context, in *ListInstanceProfilesForRoleRequest) (*ListInstanceProfilesForRoleResponse, error) {
			_, err := s.Directory.Entity(identity.Role(in.RoleName))
			return &ListInstanceProfilesForRoleResponse{InstanceProfiles: []InstanceProfile{}, IsTruncated: &no}, err
		}),
	}
	for i := range ops {
		ops[i].Note = note
	}
	return ops
}

// exists tells whether a user is there who is, or may be, the one who asks.
func (s *server) exists(ctx context.Context, given *string) error {
	_, err := s.self(ctx, given)
	return err
}

func (s *server) noLoginProfile(ctx context.Context, given *string) error {
	user, err := s.self(ctx, given)
	if err != nil {
		return err
	}
	return fault("NoSuchEntityException", "Login Profile for User %s cannot be found.", user.Name)
}

// refused are the operations that Gust does not carry out.
func refused() []wire.Operation {
	return slices.Concat(
		wire.Refuse("nobody signs in with a password here: give users access keys (CreateAccessKey), or let their identity provider's tokens stand for roles (sts AssumeRoleWithWebIdentity)",
			"ChangePassword", "CreateLoginProfile", "UpdateLoginProfile", "UpdateAccountPasswordPolicy", "DeleteAccountPasswordPolicy"),
		wire.Refuse("it tells of security keys, with which people sign in to a console: ListMFADevices and ListVirtualMFADevices tell of all devices that there are",
			"GetMFADevice"),
		wire.Refuse("identity providers speak OpenID Connect: CreateOpenIDConnectProvider",
			"CreateSAMLProvider", "GetSAMLProvider", "UpdateSAMLProvider", "DeleteSAMLProvider", "TagSAMLProvider", "UntagSAMLProvider", "ListSAMLProviderTags"),
		wire.Refuse("certificates are given to the node that serves with them: docs/ACCESS.md says how",
			"UploadServerCertificate", "GetServerCertificate", "UpdateServerCertificate", "DeleteServerCertificate", "TagServerCertificate", "UntagServerCertificate",
			"ListServerCertificateTags", "UploadSigningCertificate", "UpdateSigningCertificate", "DeleteSigningCertificate"),
		wire.Refuse("there is no Git service and no other that has credentials of its own: use access keys (CreateAccessKey)",
			"UploadSSHPublicKey", "GetSSHPublicKey", "UpdateSSHPublicKey", "DeleteSSHPublicKey", "CreateServiceSpecificCredential",
			"UpdateServiceSpecificCredential", "ResetServiceSpecificCredential", "DeleteServiceSpecificCredential"),
		wire.Refuse("there are no instances to have one: functions have roles of their own (policy: in the manifest), and programs elsewhere assume roles (sts AssumeRole)",
			"CreateInstanceProfile", "DeleteInstanceProfile", "AddRoleToInstanceProfile", "RemoveRoleFromInstanceProfile", "TagInstanceProfile",
			"UntagInstanceProfile", "ListInstanceProfileTags"),
		wire.Refuse("no service here needs a role that is linked to it: make a role (CreateRole) that the service may assume",
			"CreateServiceLinkedRole", "DeleteServiceLinkedRole", "GetServiceLinkedRoleDeletionStatus"),
		wire.Refuse("which services somebody used is in the audit log: `gust audit`",
			"GenerateServiceLastAccessedDetails", "GetServiceLastAccessedDetails", "GetServiceLastAccessedDetailsWithEntities", "GenerateOrganizationsAccessReport",
			"GetOrganizationsAccessReport"),
		wire.Refuse("`gust policy explain PRINCIPAL ACTION RESOURCE`, or SimulatePrincipalPolicy, tells who may do what and by which policy",
			"ListPoliciesGrantingServiceAccess", "GetHumanReadableSummary"),
		wire.Refuse("there are no organizations: a node has one account",
			"ListOrganizationsFeatures", "EnableOrganizationsRootCredentialsManagement", "DisableOrganizationsRootCredentialsManagement",
			"EnableOrganizationsRootSessions", "DisableOrganizationsRootSessions"),
		wire.Refuse("rights are delegated by roles: CreateRole with a trust policy that names who may assume it",
			"CreateDelegationRequest", "GetDelegationRequest", "ListDelegationRequests", "UpdateDelegationRequest", "AcceptDelegationRequest",
			"AssociateDelegationRequest", "RejectDelegationRequest", "SendDelegationToken", "AcquireRole", "GetRoleTemplateVersion"),
		wire.Refuse("the node issues no tokens for others: programs that need one ask their identity provider",
			"EnableOutboundWebIdentityFederation", "DisableOutboundWebIdentityFederation", "GetOutboundWebIdentityFederationInfo"),
		wire.Refuse("it configures what AWS alone has: leave it out",
			"SetSecurityTokenServicePreferences", "GetAccountProperties", "PutAccountProperties", "UpdateOpenIDConnectProvider"),
	)
}
