package iam

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/aws/wire"
)

func (s *server) managedPolicies() []wire.Operation {
	return []wire.Operation{
		operation(s, wire.Write, "CreatePolicy", subject{kind: identity.KindPolicy, member: "PolicyName", makes: true}, s.createPolicy),
		operation(s, wire.Read, "GetPolicy", ofPolicy, s.getPolicy),
		operation(s, wire.Read, "ListPolicies", nothing, s.listPolicies),
		operation(s, wire.Write, "DeletePolicy", ofPolicy, done(func(ctx context.Context, in *DeletePolicyRequest) error {
			return s.Directory.DeletePolicy(ctx, in.PolicyArn)
		})),
		operation(s, wire.Write, "CreatePolicyVersion", ofPolicy, s.createPolicyVersion),
		operation(s, wire.Read, "GetPolicyVersion", ofPolicy, s.getPolicyVersion),
		operation(s, wire.Read, "ListPolicyVersions", ofPolicy, s.listPolicyVersions),
		operation(s, wire.Write, "SetDefaultPolicyVersion", ofPolicy, done(func(ctx context.Context, in *SetDefaultPolicyVersionRequest) error {
			v, err := s.version(in.PolicyArn, in.VersionId)
			if err != nil {
				return err
			}
			return s.Directory.SetDefaultVersion(ctx, in.PolicyArn, v.Number)
		})),
		operation(s, wire.Write, "DeletePolicyVersion", ofPolicy, done(func(ctx context.Context, in *DeletePolicyVersionRequest) error {
			v, err := s.version(in.PolicyArn, in.VersionId)
			if err != nil {
				return err
			}
			return s.Directory.DeleteVersion(ctx, in.PolicyArn, v.Number)
		})),
		operation(s, wire.Read, "ListEntitiesForPolicy", ofPolicy, s.listEntitiesForPolicy),
		operation(s, wire.Write, "TagPolicy", ofPolicy, done(func(ctx context.Context, in *TagPolicyRequest) error {
			return s.tag(ctx, identity.Policy(in.PolicyArn), in.Tags)
		})),
		operation(s, wire.Write, "UntagPolicy", ofPolicy, done(func(ctx context.Context, in *UntagPolicyRequest) error {
			return s.Directory.Untag(ctx, identity.Policy(in.PolicyArn), in.TagKeys)
		})),
		operation(s, wire.Read, "ListPolicyTags", ofPolicy, func(_ context.Context, in *ListPolicyTagsRequest) (*ListPolicyTagsResponse, error) {
			p, err := s.Directory.Policy(in.PolicyArn)
			if err != nil {
				return nil, err
			}
			out := &ListPolicyTagsResponse{}
			out.Tags, out.IsTruncated, out.Marker, err = pageInOrder(tagsOf(p.Tags), in.Marker, in.MaxItems)
			return out, err
		}),
	}
}

// uses are how often each managed policy is used, by ARN.
type uses struct{ attached, bounded map[string]int }

func (s *server) uses() (u uses) {
	u.attached, u.bounded = s.Directory.Attachments()
	return u
}

func (u uses) policy(p *identity.ManagedPolicy) Policy {
	out := Policy{
		PolicyName: &p.Name, PolicyId: &p.ID, Arn: &p.ARN, Path: &p.Path, DefaultVersionId: new(versionID(p.Default)), IsAttachable: new(p.Attachable()),
		AttachmentCount: new(int32(u.attached[p.ARN])), PermissionsBoundaryUsageCount: new(int32(u.bounded[p.ARN])),
		CreateDate: new(second(p.Created)), UpdateDate: new(second(p.Updated)), Tags: tagsOf(p.Tags),
	}
	if p.Description != "" {
		out.Description = &p.Description
	}
	return out
}

func versionID(number int) string { return "v" + strconv.Itoa(number) }

// version finds a version of a policy by what the API calls it.
func (s *server) version(arn, id string) (*identity.Version, error) {
	p, err := s.Directory.Policy(arn)
	if err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(strings.TrimPrefix(id, "v"))
	if v := p.Version(number); err == nil && v != nil {
		return v, nil
	}
	return nil, fault("NoSuchEntityException", "Policy %s version %s does not exist or is not attachable.", arn, id)
}

func (s *server) createPolicy(ctx context.Context, in *CreatePolicyRequest) (*CreatePolicyResponse, error) {
	tags, err := tagsIn(in.Tags)
	if err != nil {
		return nil, err
	}
	p, err := s.Directory.CreatePolicy(ctx, identity.NewPolicy{
		Name: in.PolicyName, Path: wire.Or(in.Path, ""), Description: wire.Or(in.Description, ""), Document: in.PolicyDocument, Tags: tags,
	})
	if err != nil {
		return nil, err
	}
	return &CreatePolicyResponse{Policy: new(uses{}.policy(p))}, nil
}

func (s *server) getPolicy(_ context.Context, in *GetPolicyRequest) (*GetPolicyResponse, error) {
	p, err := s.Directory.Policy(in.PolicyArn)
	if err != nil {
		return nil, err
	}
	return &GetPolicyResponse{Policy: new(s.uses().policy(p))}, nil
}

func (s *server) listPolicies(_ context.Context, in *ListPoliciesRequest) (*ListPoliciesResponse, error) {
	u := s.uses()
	list := slices.DeleteFunc(s.Directory.Policies(), func(p *identity.ManagedPolicy) bool {
		used := u.attached[p.ARN]
		switch wire.Or(in.PolicyUsageFilter, "") {
		case "PermissionsBoundary":
			used = u.bounded[p.ARN]
			if used == 0 {
				return true
			}
		case "PermissionsPolicy":
			if used == 0 {
				return true
			}
		}
		return wire.Or(in.Scope, "") == "AWS" && !p.AWS || wire.Or(in.Scope, "") == "Local" && p.AWS ||
			wire.Or(in.OnlyAttached, false) && used == 0 || !strings.HasPrefix(p.Path, wire.Or(in.PathPrefix, ""))
	})
	list, more, marker, err := page(list, policyKey, in.Marker, in.MaxItems)
	return &ListPoliciesResponse{IsTruncated: more, Marker: marker, Policies: each(list, func(p *identity.ManagedPolicy) Policy {
		out := u.policy(p)
		out.Tags, out.Description = nil, nil // lists have neither, in AWS
		return out
	})}, err
}

// policyKey is the order of Directory.Policies, in fewer characters than a marker
// may have: two of a name are one of the account's and one of AWS's.
func policyKey(p *identity.ManagedPolicy) string { return attachedKey(p.Name, p.ARN) }

func attachedKey(name, arn string) string {
	if strings.HasPrefix(arn, "arn:aws:iam::aws:") {
		return name + "\x00aws"
	}
	return name + "\x00"
}

func (s *server) createPolicyVersion(ctx context.Context, in *CreatePolicyVersionRequest) (*CreatePolicyVersionResponse, error) {
	v, err := s.Directory.CreateVersion(ctx, in.PolicyArn, in.PolicyDocument, wire.Or(in.SetAsDefault, false))
	if err != nil {
		return nil, err
	}
	return &CreatePolicyVersionResponse{PolicyVersion: &PolicyVersion{
		VersionId: new(versionID(v.Number)), IsDefaultVersion: new(wire.Or(in.SetAsDefault, false)), CreateDate: new(second(v.Created)),
	}}, nil
}

func (s *server) getPolicyVersion(_ context.Context, in *GetPolicyVersionRequest) (*GetPolicyVersionResponse, error) {
	p, err := s.Directory.Policy(in.PolicyArn)
	if err != nil {
		return nil, err
	}
	v, err := s.version(in.PolicyArn, in.VersionId)
	if err != nil {
		return nil, err
	}
	return &GetPolicyVersionResponse{PolicyVersion: new(policyVersion(p, v))}, nil
}

// policyVersion is a version with its document.
func policyVersion(p *identity.ManagedPolicy, v *identity.Version) PolicyVersion {
	return PolicyVersion{
		Document: new(escaped(v.Document.JSON())), VersionId: new(versionID(v.Number)), IsDefaultVersion: new(v.Number == p.Default), CreateDate: new(second(v.Created)),
	}
}

// listPolicyVersions lists the newest first, without documents, as AWS does.
func (s *server) listPolicyVersions(_ context.Context, in *ListPolicyVersionsRequest) (*ListPolicyVersionsResponse, error) {
	p, err := s.Directory.Policy(in.PolicyArn)
	if err != nil {
		return nil, err
	}
	var list []PolicyVersion
	for i := range p.Versions {
		v := policyVersion(p, &p.Versions[i])
		v.Document = nil
		list = append(list, v)
	}
	slices.Reverse(list)
	list, more, marker, err := pageInOrder(list, in.Marker, in.MaxItems)
	return &ListPolicyVersionsResponse{Versions: list, IsTruncated: more, Marker: marker}, err
}

func (s *server) listEntitiesForPolicy(_ context.Context, in *ListEntitiesForPolicyRequest) (*ListEntitiesForPolicyResponse, error) {
	if _, err := s.Directory.Policy(in.PolicyArn); err != nil {
		return nil, err
	}
	var kind identity.Kind
	switch filter := wire.Or(in.EntityFilter, ""); filter {
	case "":
	case "User", "Group", "Role":
		kind = identity.Kind(strings.ToLower(filter))
	default:
		return nil, fault("InvalidInputException", "EntityFilter is %s, and a policy is attached to users, groups and roles: it may be User, Group or Role", filter)
	}
	u := s.Directory.Uses(in.PolicyArn)
	var list []*identity.Entity
	if wire.Or(in.PolicyUsageFilter, "PermissionsPolicy") == "PermissionsPolicy" {
		list = append(list, u.Attached...)
	}
	if wire.Or(in.PolicyUsageFilter, "PermissionsBoundary") == "PermissionsBoundary" {
		list = append(list, u.Bounded...)
	}
	key := func(e *identity.Entity) string { return string(e.Kind) + " " + e.Name }
	slices.SortFunc(list, func(a, b *identity.Entity) int { return strings.Compare(key(a), key(b)) })
	list = slices.CompactFunc(list, func(a, b *identity.Entity) bool { return a.ID == b.ID }) // attached, and its boundary
	list = slices.DeleteFunc(list, func(e *identity.Entity) bool {
		return kind != "" && e.Kind != kind || !strings.HasPrefix(e.Path, wire.Or(in.PathPrefix, ""))
	})
	list, more, marker, err := page(list, key, in.Marker, in.MaxItems)
	out := &ListEntitiesForPolicyResponse{IsTruncated: more, Marker: marker}
	for _, e := range list {
		switch e.Kind {
		case identity.KindUser:
			out.PolicyUsers = append(out.PolicyUsers, PolicyUser{UserName: &e.Name, UserId: &e.ID})
		case identity.KindGroup:
			out.PolicyGroups = append(out.PolicyGroups, PolicyGroup{GroupName: &e.Name, GroupId: &e.ID})
		case identity.KindRole:
			out.PolicyRoles = append(out.PolicyRoles, PolicyRole{RoleName: &e.Name, RoleId: &e.ID})
		}
	}
	return out, err
}
