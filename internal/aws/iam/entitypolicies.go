package iam

import (
	"context"
	"slices"
	"strings"

	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/aws/wire"
)

// entityPolicies are the operations on the policies and boundaries of users,
// groups and roles. They are alike, but for their types.
func (s *server) entityPolicies() []wire.Operation {
	d := s.Directory
	return []wire.Operation{
		operation(s, wire.Write, "AttachUserPolicy", ofUser, done(func(ctx context.Context, in *AttachUserPolicyRequest) error {
			return d.Attach(ctx, identity.User(in.UserName), in.PolicyArn)
		})),
		operation(s, wire.Write, "AttachGroupPolicy", ofGroup, done(func(ctx context.Context, in *AttachGroupPolicyRequest) error {
			return d.Attach(ctx, identity.Group(in.GroupName), in.PolicyArn)
		})),
		operation(s, wire.Write, "AttachRolePolicy", ofRole, done(func(ctx context.Context, in *AttachRolePolicyRequest) error {
			return d.Attach(ctx, identity.Role(in.RoleName), in.PolicyArn)
		})),
		operation(s, wire.Write, "DetachUserPolicy", ofUser, done(func(ctx context.Context, in *DetachUserPolicyRequest) error {
			return d.Detach(ctx, identity.User(in.UserName), in.PolicyArn)
		})),
		operation(s, wire.Write, "DetachGroupPolicy", ofGroup, done(func(ctx context.Context, in *DetachGroupPolicyRequest) error {
			return d.Detach(ctx, identity.Group(in.GroupName), in.PolicyArn)
		})),
		operation(s, wire.Write, "DetachRolePolicy", ofRole, done(func(ctx context.Context, in *DetachRolePolicyRequest) error {
			return d.Detach(ctx, identity.Role(in.RoleName), in.PolicyArn)
		})),
		operation(s, wire.Read, "ListAttachedUserPolicies", ofUser, func(_ context.Context, in *ListAttachedUserPoliciesRequest) (out *ListAttachedUserPoliciesResponse, err error) {
			out = &ListAttachedUserPoliciesResponse{}
			out.AttachedPolicies, out.IsTruncated, out.Marker, err = s.attachedPage(identity.User(in.UserName), in.PathPrefix, in.Marker, in.MaxItems)
			return out, err
		}),
		operation(s, wire.Read, "ListAttachedGroupPolicies", ofGroup, func(_ context.Context, in *ListAttachedGroupPoliciesRequest) (out *ListAttachedGroupPoliciesResponse, err error) {
			out = &ListAttachedGroupPoliciesResponse{}
			out.AttachedPolicies, out.IsTruncated, out.Marker, err = s.attachedPage(identity.Group(in.GroupName), in.PathPrefix, in.Marker, in.MaxItems)
			return out, err
		}),
		operation(s, wire.Read, "ListAttachedRolePolicies", ofRole, func(_ context.Context, in *ListAttachedRolePoliciesRequest) (out *ListAttachedRolePoliciesResponse, err error) {
			out = &ListAttachedRolePoliciesResponse{}
			out.AttachedPolicies, out.IsTruncated, out.Marker, err = s.attachedPage(identity.Role(in.RoleName), in.PathPrefix, in.Marker, in.MaxItems)
			return out, err
		}),

		operation(s, wire.Write, "PutUserPolicy", ofUser, done(func(ctx context.Context, in *PutUserPolicyRequest) error {
			return d.PutInline(ctx, identity.User(in.UserName), in.PolicyName, in.PolicyDocument)
		})),
		operation(s, wire.Write, "PutGroupPolicy", ofGroup, done(func(ctx context.Context, in *PutGroupPolicyRequest) error {
			return d.PutInline(ctx, identity.Group(in.GroupName), in.PolicyName, in.PolicyDocument)
		})),
		operation(s, wire.Write, "PutRolePolicy", ofRole, done(func(ctx context.Context, in *PutRolePolicyRequest) error {
			return d.PutInline(ctx, identity.Role(in.RoleName), in.PolicyName, in.PolicyDocument)
		})),
		operation(s, wire.Read, "GetUserPolicy", ofUser, func(_ context.Context, in *GetUserPolicyRequest) (*GetUserPolicyResponse, error) {
			e, doc, err := s.inline(identity.User(in.UserName), in.PolicyName)
			return &GetUserPolicyResponse{UserName: e, PolicyName: in.PolicyName, PolicyDocument: doc}, err
		}),
		operation(s, wire.Read, "GetGroupPolicy", ofGroup, func(_ context.Context, in *GetGroupPolicyRequest) (*GetGroupPolicyResponse, error) {
			e, doc, err := s.inline(identity.Group(in.GroupName), in.PolicyName)
			return &GetGroupPolicyResponse{GroupName: e, PolicyName: in.PolicyName, PolicyDocument: doc}, err
		}),
		operation(s, wire.Read, "GetRolePolicy", ofRole, func(_ context.Context, in *GetRolePolicyRequest) (*GetRolePolicyResponse, error) {
			e, doc, err := s.inline(identity.Role(in.RoleName), in.PolicyName)
			return &GetRolePolicyResponse{RoleName: e, PolicyName: in.PolicyName, PolicyDocument: doc}, err
		}),
		operation(s, wire.Read, "ListUserPolicies", ofUser, func(_ context.Context, in *ListUserPoliciesRequest) (out *ListUserPoliciesResponse, err error) {
			out = &ListUserPoliciesResponse{}
			out.PolicyNames, out.IsTruncated, out.Marker, err = s.inlinePage(identity.User(in.UserName), in.Marker, in.MaxItems)
			return out, err
		}),
		operation(s, wire.Read, "ListGroupPolicies", ofGroup, func(_ context.Context, in *ListGroupPoliciesRequest) (out *ListGroupPoliciesResponse, err error) {
			out = &ListGroupPoliciesResponse{}
			out.PolicyNames, out.IsTruncated, out.Marker, err = s.inlinePage(identity.Group(in.GroupName), in.Marker, in.MaxItems)
			return out, err
		}),
		operation(s, wire.Read, "ListRolePolicies", ofRole, func(_ context.Context, in *ListRolePoliciesRequest) (out *ListRolePoliciesResponse, err error) {
			out = &ListRolePoliciesResponse{}
			out.PolicyNames, out.IsTruncated, out.Marker, err = s.inlinePage(identity.Role(in.RoleName), in.Marker, in.MaxItems)
			return out, err
		}),
		operation(s, wire.Write, "DeleteUserPolicy", ofUser, done(func(ctx context.Context, in *DeleteUserPolicyRequest) error {
			return d.DeleteInline(ctx, identity.User(in.UserName), in.PolicyName)
		})),
		operation(s, wire.Write, "DeleteGroupPolicy", ofGroup, done(func(ctx context.Context, in *DeleteGroupPolicyRequest) error {
			return d.DeleteInline(ctx, identity.Group(in.GroupName), in.PolicyName)
		})),
		operation(s, wire.Write, "DeleteRolePolicy", ofRole, done(func(ctx context.Context, in *DeleteRolePolicyRequest) error {
			return d.DeleteInline(ctx, identity.Role(in.RoleName), in.PolicyName)
		})),

		operation(s, wire.Write, "PutUserPermissionsBoundary", ofUser, done(func(ctx context.Context, in *PutUserPermissionsBoundaryRequest) error {
			return d.SetBoundary(ctx, identity.User(in.UserName), in.PermissionsBoundary)
		})),
		operation(s, wire.Write, "PutRolePermissionsBoundary", ofRole, done(func(ctx context.Context, in *PutRolePermissionsBoundaryRequest) error {
			return d.SetBoundary(ctx, identity.Role(in.RoleName), in.PermissionsBoundary)
		})),
		operation(s, wire.Write, "DeleteUserPermissionsBoundary", ofUser, done(func(ctx context.Context, in *DeleteUserPermissionsBoundaryRequest) error {
			return d.DeleteBoundary(ctx, identity.User(in.UserName))
		})),
		operation(s, wire.Write, "DeleteRolePermissionsBoundary", ofRole, done(func(ctx context.Context, in *DeleteRolePermissionsBoundaryRequest) error {
			return d.DeleteBoundary(ctx, identity.Role(in.RoleName))
		})),
	}
}

// attached are the managed policies attached to somebody, by name.
func (s *server) attached(e *identity.Entity, prefix string) []AttachedPolicy {
	list := []AttachedPolicy{}
	for _, arn := range e.Attached {
		if p, err := s.Directory.Policy(arn); err == nil && strings.HasPrefix(p.Path, prefix) {
			list = append(list, AttachedPolicy{PolicyName: &p.Name, PolicyArn: &p.ARN})
		}
	}
	slices.SortFunc(list, func(a, b AttachedPolicy) int { return strings.Compare(a.key(), b.key()) })
	return list
}

func (p AttachedPolicy) key() string { return attachedKey(*p.PolicyName, *p.PolicyArn) }

func (s *server) attachedPage(r identity.Ref, prefix, marker *string, limit *int32) ([]AttachedPolicy, *bool, *string, error) {
	e, err := s.Directory.Entity(r)
	if err != nil {
		return nil, nil, nil, err
	}
	return page(s.attached(e, wire.Or(prefix, "")), AttachedPolicy.key, marker, limit)
}

func (s *server) inlinePage(r identity.Ref, marker *string, limit *int32) ([]string, *bool, *string, error) {
	e, err := s.Directory.Entity(r)
	if err != nil {
		return nil, nil, nil, err
	}
	return page(e.InlineNames(), itself, marker, limit)
}

// inline is an inline policy, and the name of whose it is.
func (s *server) inline(r identity.Ref, policy string) (owner, document string, err error) {
	e, err := s.Directory.Entity(r)
	if err != nil {
		return "", "", err
	}
	doc, ok := e.Inline[policy]
	if !ok {
		return "", "", &identity.NotFoundError{Kind: identity.KindInline, Of: r.Kind, What: "inline policy of " + r.String(), Name: policy}
	}
	return e.Name, escaped(doc.JSON()), nil
}
