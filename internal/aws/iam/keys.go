package iam

import (
	"context"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/aws/wire"
)

func (s *server) keys() []wire.Operation {
	const note = "without a name it is about the user who asks; root's only key is the file root.key"
	ops := []wire.Operation{
		operation(s, wire.Write, "CreateAccessKey", ofSelf, s.createAccessKey),
		operation(s, wire.Read, "ListAccessKeys", ofSelf, s.listAccessKeys),
		operation(s, wire.Write, "UpdateAccessKey", ofSelf, done(s.updateAccessKey)),
		operation(s, wire.Write, "DeleteAccessKey", ofSelf, done(s.deleteAccessKey)),
	}
	for i := range ops {
		ops[i].Note = note
		if ops[i].Name == "UpdateAccessKey" {
			ops[i].Note += "; a key that is Inactive, and all sessions that were begun with it, are out with the next request"
		}
		if ops[i].Name == "ListAccessKeys" {
			ops[i].Note += "; Expired is a key that was sealed under another seal key than the node has"
		}
	}
	return append(ops, wire.Operation{
		Name: "GetAccessKeyLastUsed", Level: wire.Read, Note: "exact to the second, and kept each minute", Run: wire.Do(s.getAccessKeyLastUsed, s.needsLastUsed),
	})
}

// status is how the API calls a key that is let in, or kept out: for now, or
// because it cannot be opened.
func status(k *identity.AccessKey) string {
	switch {
	case k.Unusable:
		return "Expired"
	case k.Active:
		return "Active"
	}
	return "Inactive"
}

func (s *server) createAccessKey(ctx context.Context, in *CreateAccessKeyRequest) (*CreateAccessKeyResponse, error) {
	user, err := s.self(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	k, secret, err := s.Directory.CreateKey(ctx, user.Name)
	if err != nil {
		return nil, err
	}
	return &CreateAccessKeyResponse{AccessKey: AccessKey{UserName: user.Name, AccessKeyId: k.ID, Status: status(k), SecretAccessKey: secret, CreateDate: new(second(k.Created))}}, nil
}

func (s *server) listAccessKeys(ctx context.Context, in *ListAccessKeysRequest) (*ListAccessKeysResponse, error) {
	user, err := s.self(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	keys, err := s.Directory.Keys(user.Name)
	if err != nil {
		return nil, err
	}
	keys, more, marker, err := pageInOrder(keys, in.Marker, in.MaxItems)
	return &ListAccessKeysResponse{IsTruncated: more, Marker: marker, AccessKeyMetadata: each(keys, func(k *identity.AccessKey) AccessKeyMetadata {
		return AccessKeyMetadata{UserName: &user.Name, AccessKeyId: &k.ID, Status: new(status(k)), CreateDate: new(second(k.Created))}
	})}, err
}

func (s *server) updateAccessKey(ctx context.Context, in *UpdateAccessKeyRequest) error {
	user, err := s.self(ctx, in.UserName)
	if err != nil {
		return err
	}
	if in.Status == "Expired" {
		return fault("InvalidInputException", "Status may be Active or Inactive: keys do not expire by themselves")
	}
	return s.Directory.SetKeyActive(ctx, user.Name, in.AccessKeyId, in.Status == "Active")
}

func (s *server) deleteAccessKey(ctx context.Context, in *DeleteAccessKeyRequest) error {
	user, err := s.self(ctx, in.UserName)
	if err != nil {
		return err
	}
	return s.Directory.DeleteKey(ctx, user.Name, in.AccessKeyId)
}

// needsLastUsed: it is about the user of the key. Of a key that is not there,
// those learn who may ask about all.
func (s *server) needsLastUsed(in *GetAccessKeyLastUsedRequest) []access.Need {
	n := access.Need{Action: "iam:GetAccessKeyLastUsed", Resource: "*", Keys: map[string][]string{}}
	if e, _, err := s.Directory.KeyOwner(in.AccessKeyId); err == nil {
		s.present(&n, identity.KindUser, e.Name)
		n.Shown = "*"
	}
	return []access.Need{n}
}

func (s *server) getAccessKeyLastUsed(_ context.Context, in *GetAccessKeyLastUsedRequest) (*GetAccessKeyLastUsedResponse, error) {
	e, k, err := s.Directory.KeyOwner(in.AccessKeyId)
	if err != nil {
		return nil, err
	}
	used := AccessKeyLastUsed{ServiceName: "N/A", Region: "N/A"}
	if u := k.Used; u != nil {
		used = AccessKeyLastUsed{LastUsedDate: new(second(u.At)), ServiceName: u.Service, Region: u.Region}
	}
	return &GetAccessKeyLastUsedResponse{UserName: &e.Name, AccessKeyLastUsed: &used}, nil
}
