package iam

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/aws/wire"
)

func (s *server) roles() []wire.Operation {
	ops := []wire.Operation{
		operation(s, wire.Write, "CreateRole", subject{kind: identity.KindRole, member: "RoleName", makes: true}, s.createRole),
		operation(s, wire.Read, "GetRole", ofRole, s.getRole),
		operation(s, wire.Read, "ListRoles", nothing, s.listRoles),
		operation(s, wire.Write, "UpdateRole", ofRole, s.updateRole),
		operation(s, wire.Write, "UpdateRoleDescription", ofRole, s.updateRoleDescription),
		operation(s, wire.Write, "UpdateAssumeRolePolicy", ofRole, done(func(ctx context.Context, in *UpdateAssumeRolePolicyRequest) error {
			return s.Directory.SetTrust(ctx, in.RoleName, in.PolicyDocument)
		})),
		operation(s, wire.Write, "DeleteRole", ofRole, done(func(ctx context.Context, in *DeleteRoleRequest) error {
			return s.Directory.Delete(ctx, identity.Role(in.RoleName))
		})),
		operation(s, wire.Write, "TagRole", ofRole, done(func(ctx context.Context, in *TagRoleRequest) error {
			return s.tag(ctx, identity.Role(in.RoleName), in.Tags)
		})),
		operation(s, wire.Write, "UntagRole", ofRole, done(func(ctx context.Context, in *UntagRoleRequest) error {
			return s.Directory.Untag(ctx, identity.Role(in.RoleName), in.TagKeys)
		})),
		operation(s, wire.Read, "ListRoleTags", ofRole, func(_ context.Context, in *ListRoleTagsRequest) (*ListRoleTagsResponse, error) {
			e, err := s.Directory.Entity(identity.Role(in.RoleName))
			if err != nil {
				return nil, err
			}
			out := &ListRoleTagsResponse{}
			out.Tags, out.IsTruncated, out.Marker, err = pageInOrder(tagsOf(e.Tags), in.Marker, in.MaxItems)
			return out, err
		}),
	}
	for i := range ops {
		switch ops[i].Name {
		case "GetRole", "ListRoles", "ListRoleTags":
			ops[i].Note = "functions' own roles, fn.NAME, among them"
		default:
			ops[i].Note = "not functions' own roles, fn.NAME, which change with a deploy"
		}
	}
	return ops
}

const noConsole = "nobody signs in to a console here: leave it out"

func (s *server) createRole(ctx context.Context, in *CreateRoleRequest) (*CreateRoleResponse, error) {
	if err := unused(in.MaxSigninSessionDuration != nil, "MaxSigninSessionDuration", noConsole); err != nil {
		return nil, err
	}
	tags, err := tagsIn(in.Tags)
	if err != nil {
		return nil, err
	}
	e, err := s.Directory.CreateRole(ctx, identity.NewEntity{
		Name: in.RoleName, Path: wire.Or(in.Path, ""), Tags: tags, Boundary: wire.Or(in.PermissionsBoundary, ""), Description: wire.Or(in.Description, ""),
		MaxSession: time.Duration(wire.Or(in.MaxSessionDuration, 0)) * time.Second, Trust: in.AssumeRolePolicyDocument,
	})
	if err != nil {
		return nil, err
	}
	return &CreateRoleResponse{Role: role(e)}, nil
}

func (s *server) getRole(_ context.Context, in *GetRoleRequest) (*GetRoleResponse, error) {
	e, err := s.Directory.Entity(identity.Role(in.RoleName))
	if err != nil {
		return nil, err
	}
	r := role(e)
	r.RoleLastUsed = s.lastUsed(e)
	return &GetRoleResponse{Role: r}, nil
}

func (s *server) lastUsed(e *identity.Entity) *RoleLastUsed {
	if u := s.Directory.RoleUsed(e); u != nil {
		return &RoleLastUsed{LastUsedDate: new(second(u.At)), Region: &u.Region}
	}
	return &RoleLastUsed{}
}

func (s *server) listRoles(_ context.Context, in *ListRolesRequest) (*ListRolesResponse, error) {
	list, more, marker, err := page(s.Directory.Entities(identity.KindRole, wire.Or(in.PathPrefix, "")), name, in.Marker, in.MaxItems)
	return &ListRolesResponse{IsTruncated: more, Marker: marker, Roles: each(list, func(e *identity.Entity) Role {
		r := role(e)
		r.Tags, r.PermissionsBoundary = nil, nil // lists have neither, in AWS
		return r
	})}, err
}

func (s *server) updateRole(ctx context.Context, in *UpdateRoleRequest) (*UpdateRoleResponse, error) {
	if err := unused(in.MaxSigninSessionDuration != nil || in.ResetMaxSigninSessionDuration != nil, "MaxSigninSessionDuration", noConsole); err != nil {
		return nil, err
	}
	var longest *time.Duration
	if in.MaxSessionDuration != nil {
		longest = new(time.Duration(*in.MaxSessionDuration) * time.Second)
	}
	return &UpdateRoleResponse{}, s.Directory.UpdateRole(ctx, in.RoleName, in.Description, longest)
}

func (s *server) updateRoleDescription(ctx context.Context, in *UpdateRoleDescriptionRequest) (*UpdateRoleDescriptionResponse, error) {
	if err := s.Directory.UpdateRole(ctx, in.RoleName, &in.Description, nil); err != nil {
		return nil, err
	}
	e, err := s.Directory.Entity(identity.Role(in.RoleName))
	if err != nil {
		return nil, err
	}
	return &UpdateRoleDescriptionResponse{Role: new(role(e))}, nil
}

func role(e *identity.Entity) Role {
	r := Role{
		Path: e.Path, RoleName: e.Name, RoleId: e.ID, Arn: e.ARN, CreateDate: second(e.Created), MaxSessionDuration: new(int32(e.MaxSession / time.Second)),
		PermissionsBoundary: boundary(e), Tags: tagsOf(e.Tags), AssumeRolePolicyDocument: new(escaped(e.Trust.JSON())),
	}
	if e.Description != "" {
		r.Description = &e.Description
	}
	return r
}

// escaped is a document as the API gives documents out, by RFC 3986.
func escaped(doc []byte) string { return strings.ReplaceAll(url.QueryEscape(string(doc)), "+", "%20") }
