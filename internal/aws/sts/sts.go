// Package sts speaks the AWS Security Token Service API (query, version
// 2011-06-15) over the directory of identities: who somebody is, and sessions.
// docs/compatibility.md lists all operations.
package sts

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/guard"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/access/oidc"
	"github.com/gust-dev/gust/internal/aws/wire"
)

// Options are what the API works with.
type Options struct {
	Directory *identity.Directory
	// Tokens verifies web identities.
	Tokens *oidc.Verifier
	Place  gust.Place
	// Logger gets why an issuer could not be asked; nil is slog.Default.
	Logger *slog.Logger
}

type server struct{ Options }

// New makes the service's table.
func New(o Options) *wire.Service {
	s := &server{o}
	if s.Logger == nil {
		s.Logger = slog.Default()
	}
	return &wire.Service{Model: &model, Errors: describe, Operations: slices.Concat([]wire.Operation{
		{Name: "GetCallerIdentity", Level: wire.Data, Note: "takes no right, as in AWS", Run: wire.Do(s.getCallerIdentity, nil)},
		{Name: "AssumeRole", Level: wire.Session, Note: "with a second factor, session policies, tags and a source identity; functions' own roles, fn.NAME, are the functions' alone",
			Run: wire.DoFor(s.assumeRole, s.needsAssumeRole)},
		{Name: "AssumeRoleWithWebIdentity", Level: wire.Session, Open: true, Note: "tokens of any OpenID Connect issuer that is a provider (iam CreateOpenIDConnectProvider)",
			Run: wire.Do(s.assumeRoleWithWebIdentity, nil)},
		{Name: "GetSessionToken", Level: wire.Session, Note: "takes no right, as in AWS; without a second factor such a session makes no calls to iam", Run: wire.DoFor(s.getSessionToken, needsSessionToken)},
		{Name: "GetAccessKeyInfo", Level: wire.Read, Note: "for access keys of this account", Run: wire.Do(s.getAccessKeyInfo, func(*GetAccessKeyInfoRequest) []access.Need {
			return []access.Need{{Action: "sts:GetAccessKeyInfo", Resource: "*"}}
		})},
		// Refused to those who have no key, who are the ones that call it.
		{Name: "AssumeRoleWithSAML", Level: wire.Session, Open: true, Note: "identity providers speak OpenID Connect: AssumeRoleWithWebIdentity"},
	},
		wire.Refuse("the messages of denials are not encoded: they say who, what and why", "DecodeAuthorizationMessage"),
		wire.Refuse("make a role with the rights (iam CreateRole), and AssumeRole, whose Policy narrows them", "GetFederationToken"),
		wire.Refuse("there are no organizations: a node has one account", "AssumeRoot"),
		wire.Refuse("rights are delegated by roles: AssumeRole", "GetDelegatedAccessToken", "GetScopedCredentials"),
		wire.Refuse("the node issues no tokens for others: programs that need one ask their identity provider", "GetWebIdentityToken"),
	)}
}

func (s *server) getCallerIdentity(ctx context.Context, _ *GetCallerIdentityRequest) (*GetCallerIdentityResponse, error) {
	p := guard.CallFrom(ctx).Caller.Principal
	return &GetCallerIdentityResponse{UserId: &p.ID, Account: &p.Account, Arn: &p.ARN}, nil
}

func (s *server) assumeRole(ctx context.Context, in *AssumeRoleRequest) (*AssumeRoleResponse, error) {
	ask, err := asked(in)
	if err != nil {
		return nil, err
	}
	caller, err := s.factor(ctx, "sts:AssumeRole", in.RoleArn, in.SerialNumber, in.TokenCode)
	if err != nil {
		return nil, err
	}
	session, err := s.Directory.AssumeRole(caller, *ask)
	if err != nil {
		return nil, refused(ctx, err)
	}
	return &AssumeRoleResponse{Credentials: credentials(session), AssumedRoleUser: assumed(session), PackedPolicySize: packed(session, ask.Limits),
		SourceIdentity: some(session.SourceIdentity)}, nil
}

// needsAssumeRole says what the directory asks again. That a second factor comes
// with the request is believed for now: it is looked at when the request is
// allowed and on record, and who may not learns nothing about a code.
func (s *server) needsAssumeRole(ctx context.Context, in *AssumeRoleRequest) ([]access.Need, error) {
	ask, err := asked(in)
	if err != nil {
		return nil, err
	}
	needs := ask.Needs(guard.CallFrom(ctx).Caller)
	if in.SerialNumber != nil {
		for _, n := range needs {
			n.Keys["aws:multifactorauthpresent"], n.Keys["aws:multifactorauthage"] = []string{"true"}, []string{"0"}
		}
	}
	return needs, nil
}

// factor is the caller of an action, with the second factor that comes with a
// request. One that is wrong is a denial as the guard's are, and on record as they are.
func (s *server) factor(ctx context.Context, action, resource string, serial, code *string) (*access.Caller, error) {
	call := guard.CallFrom(ctx)
	if serial == nil && code == nil {
		return call.Caller, nil
	}
	told, reason := denied("MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code."), "because only half of a second factor came"
	if serial != nil && code != nil {
		caller, err := s.Directory.ShowFactor(ctx, call.Caller, *serial, *code)
		e := (*identity.FactorError)(nil)
		if !errors.As(err, &e) {
			return caller, err
		}
		told, reason = factor(e), "because "+e.Error()
	}
	told.Cause = call.DenyFactor(ctx, &access.Need{Action: action, Resource: resource}, reason)
	return nil, told
}

func asked(in *AssumeRoleRequest) (*identity.AssumeRole, error) {
	for _, m := range []struct {
		given           bool
		member, instead string
	}{
		{in.ProvidedContexts != nil, "ProvidedContexts", "trusted identity propagation is AWS's, leave it out"},
		{in.MinimumSessionTokenSize != nil, "MinimumSessionTokenSize", "leave it out"},
	} {
		if m.given {
			return nil, unused(m.member, m.instead)
		}
	}
	tags, err := tagsIn(in.Tags)
	if err != nil {
		return nil, err
	}
	return &identity.AssumeRole{RoleARN: in.RoleArn, SessionName: in.RoleSessionName, ExternalID: wire.Or(in.ExternalId, ""), Limits: identity.Limits{
		Duration: seconds(in.DurationSeconds), Policy: wire.Or(in.Policy, ""), PolicyARNs: arns(in.PolicyArns), Tags: tags, Transitive: in.TransitiveTagKeys,
		SourceIdentity: wire.Or(in.SourceIdentity, ""),
	}}, nil
}

func (s *server) assumeRoleWithWebIdentity(ctx context.Context, in *AssumeRoleWithWebIdentityRequest) (*AssumeRoleWithWebIdentityResponse, error) {
	if in.ProviderId != nil {
		return nil, unused("ProviderId", "it is for OAuth 2.0 access tokens, and tokens of OpenID Connect issuers say who issued them, leave it out")
	}
	if in.MinimumSessionTokenSize != nil {
		return nil, unused("MinimumSessionTokenSize", "leave it out")
	}
	claims, err := s.Tokens.Verify(ctx, in.WebIdentityToken, func(issuer string) (oidc.Provider, error) {
		p, err := s.Directory.ProviderOf(issuer)
		if err != nil {
			return oidc.Provider{}, err
		}
		return oidc.Provider{Issuer: p.Issuer(), Audiences: p.ClientIDs, Thumbprints: p.Thumbprints}, nil
	})
	if e := (*oidc.Error)(nil); errors.As(err, &e) && e.Err != nil {
		// What was asked, and where, is not for those who only may try.
		s.Logger.Warn("the token of a web identity could not be verified", "error", e, "request_id", wire.RequestID(ctx))
	}
	if err != nil {
		return nil, err
	}
	ask := identity.WebIdentity{Issuer: claims.Issuer, Subject: claims.Subject, Audience: []string{claims.Audience}, Claims: claims.Values,
		AssumeRole: identity.AssumeRole{RoleARN: in.RoleArn, SessionName: in.RoleSessionName, Limits: identity.Limits{
			Duration: seconds(in.DurationSeconds), Policy: wire.Or(in.Policy, ""), PolicyARNs: arns(in.PolicyArns), Tags: claims.Tags, Transitive: claims.Transitive,
			SourceIdentity: claims.SourceIdentity,
		}}}
	provider, err := s.Directory.ProviderOf(claims.Issuer)
	if err != nil {
		return nil, err
	}
	call := guard.CallFrom(ctx)
	if err := call.Vouched(provider.Identity(claims.Subject), in.RoleArn); err != nil {
		return nil, err
	}
	session, err := s.Directory.AssumeRoleWithWebIdentity(call.Caller, ask)
	if err != nil {
		return nil, refused(ctx, err)
	}
	return &AssumeRoleWithWebIdentityResponse{Credentials: credentials(session), AssumedRoleUser: assumed(session), PackedPolicySize: packed(session, ask.Limits),
		SourceIdentity: some(session.SourceIdentity), SubjectFromWebIdentityToken: &session.Subject, Audience: &session.Audience,
		Provider: &session.Provider}, nil
}

// needsSessionToken: it takes no right, but a key that lasts. Sessions are denied
// it, whatever their policies say.
func needsSessionToken(ctx context.Context, _ *GetSessionTokenRequest) ([]access.Need, error) {
	if guard.CallFrom(ctx).Caller.Principal.Issued.IsZero() {
		return nil, nil
	}
	return []access.Need{{Action: "sts:GetSessionToken", Resource: "*"}}, nil
}

func (s *server) getSessionToken(ctx context.Context, in *GetSessionTokenRequest) (*GetSessionTokenResponse, error) {
	if in.MinimumSessionTokenSize != nil {
		return nil, unused("MinimumSessionTokenSize", "leave it out")
	}
	caller, err := s.factor(ctx, "sts:GetSessionToken", "*", in.SerialNumber, in.TokenCode)
	if err != nil {
		return nil, err
	}
	session, err := s.Directory.SessionToken(caller, seconds(in.DurationSeconds))
	if err != nil {
		return nil, refused(ctx, err)
	}
	return &GetSessionTokenResponse{Credentials: credentials(session)}, nil
}

// getAccessKeyInfo knows users' keys, and the one that asks.
func (s *server) getAccessKeyInfo(ctx context.Context, in *GetAccessKeyInfoRequest) (*GetAccessKeyInfoResponse, error) {
	if in.AccessKeyId != guard.CallFrom(ctx).Caller.KeyID {
		if _, _, err := s.Directory.KeyOwner(in.AccessKeyId); err != nil {
			return nil, invalid("The access key %s is not a user's of this account", in.AccessKeyId)
		}
	}
	return &GetAccessKeyInfoResponse{Account: &s.Place.Account}, nil
}

func credentials(s *identity.Session) *Credentials {
	return &Credentials{AccessKeyId: s.KeyID, SecretAccessKey: s.Secret, SessionToken: s.Token, Expiration: s.Expires.Truncate(time.Second)}
}

func assumed(s *identity.Session) *AssumedRoleUser {
	return &AssumedRoleUser{AssumedRoleId: s.ID, Arn: s.ARN}
}

// packed is told of sessions that bring policies or tags, as in AWS.
func packed(s *identity.Session, l identity.Limits) *int32 {
	if l.Policy == "" && len(l.PolicyARNs)+len(l.Tags) == 0 {
		return nil
	}
	size := int32(s.PackedSize)
	return &size
}

func seconds(n *int32) time.Duration {
	return time.Duration(wire.Or(n, 0)) * time.Second
}

func arns(list []PolicyDescriptorType) []string {
	var all []string
	for _, d := range list {
		all = append(all, wire.Or(d.Arn, ""))
	}
	return all
}

func tagsIn(list []Tag) (map[string]string, error) {
	tags, ok := identity.ReadTags(list, func(t Tag) (key, value string) { return t.Key, t.Value })
	if !ok {
		return nil, invalid("%s", identity.DuplicateTags)
	}
	return tags, nil
}

func some(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
