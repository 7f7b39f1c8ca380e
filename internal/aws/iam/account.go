package iam

import (
	"context"
	"strings"

	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/aws/wire"
)

func (s *server) account() []wire.Operation {
	return []wire.Operation{
		operation(s, wire.Write, "CreateAccountAlias", nothing, done(func(ctx context.Context, in *CreateAccountAliasRequest) error {
			return s.Directory.SetAlias(ctx, in.AccountAlias)
		})),
		operation(s, wire.Write, "DeleteAccountAlias", nothing, done(func(ctx context.Context, in *DeleteAccountAliasRequest) error {
			return s.Directory.DeleteAlias(ctx, in.AccountAlias)
		})),
		operation(s, wire.Read, "ListAccountAliases", nothing, func(_ context.Context, in *ListAccountAliasesRequest) (*ListAccountAliasesResponse, error) {
			aliases := []string{}
			if a := s.Directory.Alias(); a != "" {
				aliases = append(aliases, a)
			}
			aliases, more, marker, err := page(aliases, itself, in.Marker, in.MaxItems)
			return &ListAccountAliasesResponse{AccountAliases: aliases, IsTruncated: more, Marker: marker}, err
		}),
		operation(s, wire.Read, "GetAccountSummary", nothing, s.getAccountSummary),
		operation(s, wire.Read, "GetAccountAuthorizationDetails", nothing, s.getAccountAuthorizationDetails),
		operation(s, wire.Read, "GenerateCredentialReport", nothing, s.generateCredentialReport),
		operation(s, wire.Read, "GetCredentialReport", nothing, s.getCredentialReport),
	}
}

func (s *server) getAccountSummary(context.Context, *none) (*GetAccountSummaryResponse, error) {
	local, versions := 0, 0
	for _, p := range s.Directory.Policies() {
		if !p.AWS {
			local, versions = local+1, versions+len(p.Versions)
		}
	}
	devices, owners := s.Directory.MFADevices()
	used := 0
	for _, user := range owners {
		if user != nil {
			used++
		}
	}
	count := func(k identity.Kind) int { return len(s.Directory.Entities(k, "")) }
	sum := map[string]int32{}
	for name, n := range map[string]int{
		"Users": count(identity.KindUser), "UsersQuota": identity.MaxUsers, "Groups": count(identity.KindGroup), "GroupsQuota": identity.MaxGroups,
		"Roles": count(identity.KindRole), "RolesQuota": identity.MaxRoles, "Policies": local, "PoliciesQuota": identity.MaxPolicies,
		"PolicyVersionsInUse": versions, "PolicyVersionsInUseQuota": identity.MaxPolicies * identity.MaxVersions,
		"VersionsPerPolicyQuota": identity.MaxVersions, "Providers": len(s.Directory.Providers()),
		"GroupsPerUserQuota": identity.MaxGroupsPerUser, "AccessKeysPerUserQuota": identity.MaxKeysPerUser,
		"AttachedPoliciesPerUserQuota": identity.MaxAttached, "AttachedPoliciesPerGroupQuota": identity.MaxAttached, "AttachedPoliciesPerRoleQuota": identity.MaxAttached,
		"UserPolicySizeQuota": identity.MaxUserInline, "GroupPolicySizeQuota": identity.MaxGroupInline, "RolePolicySizeQuota": identity.MaxRoleInline,
		"PolicySizeQuota": identity.MaxManaged, "AssumeRolePolicySizeQuota": identity.MaxTrust,
		"AccountAccessKeysPresent": 1, "AccountPasswordPresent": 0, "AccountMFAEnabled": 0, "AccountSigningCertificatesPresent": 0,
		"MFADevices": len(devices), "MFADevicesInUse": used, "ServerCertificates": 0, "ServerCertificatesQuota": 0, "SigningCertificatesPerUserQuota": 0,
		"InstanceProfiles": 0, "InstanceProfilesQuota": 0,
	} {
		sum[name] = int32(n)
	}
	return &GetAccountSummaryResponse{SummaryMap: sum}, nil
}

// detail is one entry of GetAccountAuthorizationDetails: a user, a group, a role
// or a policy.
type detail struct {
	entity *identity.Entity
	policy *identity.ManagedPolicy
}

func (d detail) key() string {
	if d.entity == nil {
		return "policy " + policyKey(d.policy)
	}
	return string(d.entity.Kind) + " " + d.entity.Name
}

func (s *server) getAccountAuthorizationDetails(_ context.Context, in *GetAccountAuthorizationDetailsRequest) (*GetAccountAuthorizationDetailsResponse, error) {
	wanted := map[string]bool{}
	for _, f := range in.Filter {
		wanted[f] = true
	}
	var list []detail // in the order of their keys
	for _, kind := range []identity.Kind{identity.KindGroup, identity.KindPolicy, identity.KindRole, identity.KindUser} {
		if kind == identity.KindPolicy {
			for _, p := range s.Directory.Policies() {
				if len(wanted) == 0 || wanted["LocalManagedPolicy"] && !p.AWS || wanted["AWSManagedPolicy"] && p.AWS {
					list = append(list, detail{policy: p})
				}
			}
		} else if len(wanted) == 0 || wanted[strings.ToUpper(string(kind[:1]))+string(kind[1:])] {
			for _, e := range s.Directory.Entities(kind, "") {
				list = append(list, detail{entity: e})
			}
		}
	}
	list, more, marker, err := page(list, detail.key, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	// All four are in every page, as in AWS: programs add them up.
	out := &GetAccountAuthorizationDetailsResponse{IsTruncated: more, Marker: marker, UserDetailList: []UserDetail{}, GroupDetailList: []GroupDetail{},
		RoleDetailList: []RoleDetail{}, Policies: []ManagedPolicyDetail{}}
	u := s.uses()
	for _, d := range list {
		e := d.entity
		if e == nil {
			out.Policies = append(out.Policies, u.detail(d.policy))
			continue
		}
		var inline []PolicyDetail
		for _, name := range e.InlineNames() {
			inline = append(inline, PolicyDetail{PolicyName: &name, PolicyDocument: new(escaped(e.Inline[name].JSON()))})
		}
		attached := s.attached(e, "")
		switch e.Kind {
		case identity.KindUser:
			groups, err := s.Directory.Groups(e.Name)
			if err != nil {
				continue // it was deleted meanwhile
			}
			out.UserDetailList = append(out.UserDetailList, UserDetail{Path: &e.Path, UserName: &e.Name, UserId: &e.ID, Arn: &e.ARN, CreateDate: new(second(e.Created)),
				UserPolicyList: inline, GroupList: each(groups, name), AttachedManagedPolicies: attached, PermissionsBoundary: boundary(e), Tags: tagsOf(e.Tags)})
		case identity.KindGroup:
			out.GroupDetailList = append(out.GroupDetailList, GroupDetail{Path: &e.Path, GroupName: &e.Name, GroupId: &e.ID, Arn: &e.ARN, CreateDate: new(second(e.Created)),
				GroupPolicyList: inline, AttachedManagedPolicies: attached})
		case identity.KindRole:
			r := role(e)
			out.RoleDetailList = append(out.RoleDetailList, RoleDetail{Path: &e.Path, RoleName: &e.Name, RoleId: &e.ID, Arn: &e.ARN, CreateDate: new(second(e.Created)),
				AssumeRolePolicyDocument: r.AssumeRolePolicyDocument, InstanceProfileList: []InstanceProfile{}, RolePolicyList: inline,
				AttachedManagedPolicies: attached, PermissionsBoundary: r.PermissionsBoundary, Tags: r.Tags, RoleLastUsed: s.lastUsed(e)})
		}
	}
	return out, nil
}

func (u uses) detail(p *identity.ManagedPolicy) ManagedPolicyDetail {
	m := u.policy(p)
	d := ManagedPolicyDetail{PolicyName: m.PolicyName, PolicyId: m.PolicyId, Arn: m.Arn, Path: m.Path, DefaultVersionId: m.DefaultVersionId,
		AttachmentCount: m.AttachmentCount, PermissionsBoundaryUsageCount: m.PermissionsBoundaryUsageCount, IsAttachable: m.IsAttachable,
		Description: m.Description, CreateDate: m.CreateDate, UpdateDate: m.UpdateDate}
	for i := range p.Versions {
		d.PolicyVersionList = append(d.PolicyVersionList, policyVersion(p, &p.Versions[i]))
	}
	return d
}
