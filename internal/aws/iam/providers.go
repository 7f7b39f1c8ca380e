package iam

import (
	"context"
	"slices"

	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/access/oidc"
	"github.com/gust-dev/gust/internal/aws/wire"
)

func (s *server) providers() []wire.Operation {
	ops := []wire.Operation{
		operation(s, wire.Write, "CreateOpenIDConnectProvider", subject{kind: identity.KindProvider, member: "Url", makes: true}, s.createProvider),
		operation(s, wire.Read, "GetOpenIDConnectProvider", ofProvider, s.getProvider),
		operation(s, wire.Read, "ListOpenIDConnectProviders", nothing, s.listProviders),
		operation(s, wire.Write, "DeleteOpenIDConnectProvider", ofProvider, done(func(ctx context.Context, in *DeleteOpenIDConnectProviderRequest) error {
			return s.Directory.DeleteProvider(ctx, in.OpenIDConnectProviderArn)
		})),
		operation(s, wire.Write, "AddClientIDToOpenIDConnectProvider", ofProvider, done(func(ctx context.Context, in *AddClientIDToOpenIDConnectProviderRequest) error {
			return s.Directory.UpdateProvider(ctx, in.OpenIDConnectProviderArn, func(p *identity.IdentityProvider) error {
				if !slices.Contains(p.ClientIDs, in.ClientID) {
					p.ClientIDs = append(p.ClientIDs, in.ClientID)
				}
				return nil
			})
		})),
		operation(s, wire.Write, "RemoveClientIDFromOpenIDConnectProvider", ofProvider, done(func(ctx context.Context, in *RemoveClientIDFromOpenIDConnectProviderRequest) error {
			return s.Directory.UpdateProvider(ctx, in.OpenIDConnectProviderArn, func(p *identity.IdentityProvider) error {
				p.ClientIDs = slices.DeleteFunc(p.ClientIDs, func(id string) bool { return id == in.ClientID })
				return nil
			})
		})),
		operation(s, wire.Write, "UpdateOpenIDConnectProviderThumbprint", ofProvider, done(func(ctx context.Context, in *UpdateOpenIDConnectProviderThumbprintRequest) error {
			return s.Directory.UpdateProvider(ctx, in.OpenIDConnectProviderArn, func(p *identity.IdentityProvider) error {
				p.Thumbprints = in.ThumbprintList
				return nil
			})
		})),
		operation(s, wire.Write, "TagOpenIDConnectProvider", ofProvider, done(func(ctx context.Context, in *TagOpenIDConnectProviderRequest) error {
			return s.tag(ctx, identity.Provider(in.OpenIDConnectProviderArn), in.Tags)
		})),
		operation(s, wire.Write, "UntagOpenIDConnectProvider", ofProvider, done(func(ctx context.Context, in *UntagOpenIDConnectProviderRequest) error {
			return s.Directory.Untag(ctx, identity.Provider(in.OpenIDConnectProviderArn), in.TagKeys)
		})),
		operation(s, wire.Read, "ListOpenIDConnectProviderTags", ofProvider, func(_ context.Context, in *ListOpenIDConnectProviderTagsRequest) (*ListOpenIDConnectProviderTagsResponse, error) {
			p, err := s.Directory.Provider(in.OpenIDConnectProviderArn)
			if err != nil {
				return nil, err
			}
			out := &ListOpenIDConnectProviderTagsResponse{}
			out.Tags, out.IsTruncated, out.Marker, err = pageInOrder(tagsOf(p.Tags), in.Marker, in.MaxItems)
			return out, err
		}),
	}
	ops[0].Note = "without thumbprints, the issuer is asked for its own, and its certificate has to be one that the system trusts"
	return ops
}

const noPropagation = "trusted identity propagation is AWS's: leave it out"

func (s *server) createProvider(ctx context.Context, in *CreateOpenIDConnectProviderRequest) (*CreateOpenIDConnectProviderResponse, error) {
	if err := unused(in.ContextProvider != nil, "ContextProvider", noPropagation); err != nil {
		return nil, err
	}
	if err := unused(in.IdentityCenterInstanceArn != nil, "IdentityCenterInstanceArn", noPropagation); err != nil {
		return nil, err
	}
	tags, err := tagsIn(in.Tags)
	if err != nil {
		return nil, err
	}
	if err := oidc.CheckIssuer(in.Url); err != nil {
		return nil, invalid("Invalid Open ID Connect Provider URL: %v", err)
	}
	thumbprints := in.ThumbprintList
	if len(thumbprints) == 0 {
		t, err := s.Tokens.Thumbprint(ctx, in.Url)
		if err != nil {
			// What answers where is not for those who may name an issuer.
			s.Logger.Warn("the certificate of an OpenID Connect issuer could not be learnt", "issuer", in.Url, "error", err, "request_id", wire.RequestID(ctx))
			return nil, fault("OpenIdIdpCommunicationErrorException", "the certificate of %s cannot be learnt, or is none that the system trusts (the node's log says which): give its thumbprint in ThumbprintList", in.Url)
		}
		if t != "" {
			thumbprints = []string{t}
		}
	}
	p, err := s.Directory.CreateProvider(ctx, identity.IdentityProvider{URL: in.Url, ClientIDs: in.ClientIDList, Thumbprints: thumbprints, Tags: tags})
	if err != nil {
		return nil, err
	}
	return &CreateOpenIDConnectProviderResponse{OpenIDConnectProviderArn: &p.ARN, Tags: tagsOf(p.Tags)}, nil
}

func (s *server) getProvider(_ context.Context, in *GetOpenIDConnectProviderRequest) (*GetOpenIDConnectProviderResponse, error) {
	p, err := s.Directory.Provider(in.OpenIDConnectProviderArn)
	if err != nil {
		return nil, err
	}
	return &GetOpenIDConnectProviderResponse{Url: &p.URL, ClientIDList: p.ClientIDs, ThumbprintList: p.Thumbprints, CreateDate: new(second(p.Created)), Tags: tagsOf(p.Tags)}, nil
}

func (s *server) listProviders(context.Context, *ListOpenIDConnectProvidersRequest) (*ListOpenIDConnectProvidersResponse, error) {
	return &ListOpenIDConnectProvidersResponse{OpenIDConnectProviderList: each(s.Directory.Providers(), func(p *identity.IdentityProvider) OpenIDConnectProviderListEntry {
		return OpenIDConnectProviderListEntry{Arn: &p.ARN}
	})}, nil
}
