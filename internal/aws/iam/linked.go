package iam

import (
	"context"
	"errors"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/aws/wire"
)

func (s *server) linkedRoles() []wire.Operation {
	ops := []wire.Operation{
		asking(s, wire.Write, "CreateServiceLinkedRole", ofRole, s.createLinkedRole, s.needsLinkedRole),
		operation(s, wire.Write, "DeleteServiceLinkedRole", ofRole, func(ctx context.Context, in *DeleteServiceLinkedRoleRequest) (*DeleteServiceLinkedRoleResponse, error) {
			task, err := s.Directory.DeleteLinkedRole(ctx, in.RoleName)
			return &DeleteServiceLinkedRoleResponse{DeletionTaskId: task}, err
		}),
		asking(s, wire.Read, "GetServiceLinkedRoleDeletionStatus", ofRole, s.deletionStatus, s.needsDeletionStatus),
	}
	for i, note := range []string{
		"for services of AWS's whose role's name is known (docs/ACCESS.md); nobody assumes it, and it has no policies but those of elasticbeanstalk and batch",
		"done when it is answered",
		"SUCCEEDED, of tasks of this node",
	} {
		ops[i].Note = note
	}
	return ops
}

func (s *server) needsLinkedRole(_ context.Context, in *CreateServiceLinkedRoleRequest) ([]access.Need, error) {
	path, name, err := identity.LinkedRole(in.AWSServiceName, wire.Or(in.CustomSuffix, ""))
	if err != nil {
		return nil, linkedError(err)
	}
	return []access.Need{{Action: "iam:CreateServiceLinkedRole", Resource: s.future(identity.KindRole, path, name),
		Keys: map[string][]string{"iam:awsservicename": {in.AWSServiceName}}}}, nil
}

func (s *server) createLinkedRole(ctx context.Context, in *CreateServiceLinkedRoleRequest) (*CreateServiceLinkedRoleResponse, error) {
	e, err := s.Directory.CreateLinkedRole(ctx, in.AWSServiceName, wire.Or(in.CustomSuffix, ""), wire.Or(in.Description, ""))
	if err != nil {
		return nil, linkedError(err)
	}
	return &CreateServiceLinkedRoleResponse{Role: new(role(e))}, nil
}

// linkedError is what AWS calls errors of this operation alone.
func linkedError(err error) error {
	if e := (*identity.ExistsError)(nil); errors.As(err, &e) {
		return fault("InvalidInputException", "Service role name %s has been taken in this account, please try a different suffix.", e.Name)
	}
	if e := (*identity.InvalidError)(nil); errors.As(err, &e) {
		return fault("InvalidInputException", "%s", e.Text)
	}
	return err
}

// needsDeletionStatus: it is about the role. Of a task that is none, those learn
// who may ask about all.
func (s *server) needsDeletionStatus(_ context.Context, in *GetServiceLinkedRoleDeletionStatusRequest) ([]access.Need, error) {
	n := access.Need{Action: "iam:GetServiceLinkedRoleDeletionStatus", Resource: "*", Keys: map[string][]string{}}
	if path, name, err := s.Directory.DeletionTask(in.DeletionTaskId); err == nil {
		n.Resource, n.Shown = s.future(identity.KindRole, path, name), "*"
	}
	return []access.Need{n}, nil
}

func (s *server) deletionStatus(_ context.Context, in *GetServiceLinkedRoleDeletionStatusRequest) (*GetServiceLinkedRoleDeletionStatusResponse, error) {
	if _, _, err := s.Directory.DeletionTask(in.DeletionTaskId); err != nil {
		return nil, err
	}
	return &GetServiceLinkedRoleDeletionStatusResponse{Status: "SUCCEEDED"}, nil
}
