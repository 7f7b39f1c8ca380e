package iam

import (
	"context"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/guard"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/aws/wire"
)

func (s *server) users() []wire.Operation {
	return []wire.Operation{
		operation(s, wire.Write, "CreateUser", subject{kind: identity.KindUser, member: "UserName", makes: true}, s.createUser),
		operation(s, wire.Read, "GetUser", ofSelf, s.getUser),
		operation(s, wire.Read, "ListUsers", nothing, s.listUsers),
		operation(s, wire.Write, "UpdateUser", ofUser, done(func(ctx context.Context, in *UpdateUserRequest) error {
			return s.Directory.Rename(ctx, identity.User(in.UserName), wire.Or(in.NewUserName, ""), wire.Or(in.NewPath, ""))
		})),
		operation(s, wire.Write, "DeleteUser", ofUser, done(func(ctx context.Context, in *DeleteUserRequest) error {
			return s.Directory.Delete(ctx, identity.User(in.UserName))
		})),
		operation(s, wire.Write, "TagUser", ofUser, done(func(ctx context.Context, in *TagUserRequest) error {
			return s.tag(ctx, identity.User(in.UserName), in.Tags)
		})),
		operation(s, wire.Write, "UntagUser", ofUser, done(func(ctx context.Context, in *UntagUserRequest) error {
			return s.Directory.Untag(ctx, identity.User(in.UserName), in.TagKeys)
		})),
		operation(s, wire.Read, "ListUserTags", ofUser, func(_ context.Context, in *ListUserTagsRequest) (*ListUserTagsResponse, error) {
			e, err := s.Directory.Entity(identity.User(in.UserName))
			if err != nil {
				return nil, err
			}
			out := &ListUserTagsResponse{}
			out.Tags, out.IsTruncated, out.Marker, err = pageInOrder(tagsOf(e.Tags), in.Marker, in.MaxItems)
			return out, err
		}),
	}
}

func (s *server) tag(ctx context.Context, r identity.Ref, list []Tag) error {
	tags, err := tagsIn(list)
	if err != nil {
		return err
	}
	return s.Directory.Tag(ctx, r, tags)
}

func (s *server) createUser(ctx context.Context, in *CreateUserRequest) (*CreateUserResponse, error) {
	tags, err := tagsIn(in.Tags)
	if err != nil {
		return nil, err
	}
	e, err := s.Directory.CreateUser(ctx, identity.NewEntity{Name: in.UserName, Path: wire.Or(in.Path, ""), Tags: tags, Boundary: wire.Or(in.PermissionsBoundary, "")})
	if err != nil {
		return nil, err
	}
	u := user(e)
	return &CreateUserResponse{User: &u}, nil
}

// getUser tells of the caller if no name is given, root among them.
func (s *server) getUser(ctx context.Context, in *GetUserRequest) (*GetUserResponse, error) {
	if p := guard.CallFrom(ctx).Caller.Principal; in.UserName == nil && p.Kind == access.KindRoot {
		return &GetUserResponse{User: User{Path: "/", UserName: p.Name, UserId: p.ID, Arn: p.ARN, CreateDate: second(s.Since)}}, nil
	}
	e, err := s.self(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	return &GetUserResponse{User: user(e)}, nil
}

func (s *server) listUsers(_ context.Context, in *ListUsersRequest) (*ListUsersResponse, error) {
	list, more, marker, err := page(s.Directory.Entities(identity.KindUser, wire.Or(in.PathPrefix, "")), name, in.Marker, in.MaxItems)
	return &ListUsersResponse{Users: listed(list), IsTruncated: more, Marker: marker}, err
}

// listed are users as lists have them, in AWS: without tags and boundaries.
func listed(list []*identity.Entity) []User {
	return each(list, func(e *identity.Entity) User {
		u := user(e)
		u.Tags, u.PermissionsBoundary = nil, nil
		return u
	})
}

func name(e *identity.Entity) string { return e.Name }

func user(e *identity.Entity) User {
	return User{Path: e.Path, UserName: e.Name, UserId: e.ID, Arn: e.ARN, CreateDate: second(e.Created), PermissionsBoundary: boundary(e), Tags: tagsOf(e.Tags)}
}

func boundary(e *identity.Entity) *AttachedPermissionsBoundary {
	if e.Boundary == "" {
		return nil
	}
	kind := "Policy"
	return &AttachedPermissionsBoundary{PermissionsBoundaryType: &kind, PermissionsBoundaryArn: &e.Boundary}
}
