package iam

import (
	"context"

	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/aws/wire"
)

func (s *server) groups() []wire.Operation {
	return []wire.Operation{
		operation(s, wire.Write, "CreateGroup", subject{kind: identity.KindGroup, member: "GroupName", makes: true}, s.createGroup),
		operation(s, wire.Read, "GetGroup", ofGroup, s.getGroup),
		operation(s, wire.Read, "ListGroups", nothing, s.listGroups),
		operation(s, wire.Write, "UpdateGroup", ofGroup, done(func(ctx context.Context, in *UpdateGroupRequest) error {
			return s.Directory.Rename(ctx, identity.Group(in.GroupName), wire.Or(in.NewGroupName, ""), wire.Or(in.NewPath, ""))
		})),
		operation(s, wire.Write, "DeleteGroup", ofGroup, done(func(ctx context.Context, in *DeleteGroupRequest) error {
			return s.Directory.Delete(ctx, identity.Group(in.GroupName))
		})),
		operation(s, wire.Write, "AddUserToGroup", ofGroup, done(func(ctx context.Context, in *AddUserToGroupRequest) error {
			return s.Directory.AddToGroup(ctx, in.GroupName, in.UserName)
		})),
		operation(s, wire.Write, "RemoveUserFromGroup", ofGroup, done(func(ctx context.Context, in *RemoveUserFromGroupRequest) error {
			return s.Directory.RemoveFromGroup(ctx, in.GroupName, in.UserName)
		})),
		operation(s, wire.Read, "ListGroupsForUser", ofUser, s.listGroupsForUser),
	}
}

func (s *server) createGroup(ctx context.Context, in *CreateGroupRequest) (*CreateGroupResponse, error) {
	e, err := s.Directory.CreateGroup(ctx, identity.NewEntity{Name: in.GroupName, Path: wire.Or(in.Path, "")})
	if err != nil {
		return nil, err
	}
	return &CreateGroupResponse{Group: group(e)}, nil
}

func (s *server) getGroup(_ context.Context, in *GetGroupRequest) (*GetGroupResponse, error) {
	e, err := s.Directory.Entity(identity.Group(in.GroupName))
	if err != nil {
		return nil, err
	}
	members, err := s.Directory.Members(in.GroupName)
	if err != nil {
		return nil, err
	}
	out := &GetGroupResponse{Group: group(e)}
	members, out.IsTruncated, out.Marker, err = page(members, name, in.Marker, in.MaxItems)
	out.Users = listed(members)
	return out, err
}

func (s *server) listGroups(_ context.Context, in *ListGroupsRequest) (*ListGroupsResponse, error) {
	list, more, marker, err := page(s.Directory.Entities(identity.KindGroup, wire.Or(in.PathPrefix, "")), name, in.Marker, in.MaxItems)
	return &ListGroupsResponse{Groups: groupsOf(list), IsTruncated: more, Marker: marker}, err
}

func (s *server) listGroupsForUser(_ context.Context, in *ListGroupsForUserRequest) (*ListGroupsForUserResponse, error) {
	list, err := s.Directory.Groups(in.UserName)
	if err != nil {
		return nil, err
	}
	list, more, marker, err := page(list, name, in.Marker, in.MaxItems)
	return &ListGroupsForUserResponse{Groups: groupsOf(list), IsTruncated: more, Marker: marker}, err
}

func group(e *identity.Entity) Group {
	return Group{Path: e.Path, GroupName: e.Name, GroupId: e.ID, Arn: e.ARN, CreateDate: second(e.Created)}
}

func groupsOf(list []*identity.Entity) []Group { return each(list, group) }
