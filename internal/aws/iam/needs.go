package iam

import (
	"context"
	"reflect"
	"strings"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/guard"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/access/policy"
	"github.com/gust-dev/gust/internal/aws/wire"
)

// subject says what an operation is about, by a member of its request: what has
// to be allowed is the operation on that resource, as AWS's Service
// Authorization Reference has it.
type subject struct {
	kind   identity.Kind
	member string
	makes  bool // it is made by the operation
	self   bool // it is who asks, if the member is left out
}

var (
	nothing    = subject{} // the resource is "*"
	ofUser     = subject{kind: identity.KindUser, member: "UserName"}
	ofSelf     = subject{kind: identity.KindUser, member: "UserName", self: true}
	ofGroup    = subject{kind: identity.KindGroup, member: "GroupName"}
	ofRole     = subject{kind: identity.KindRole, member: "RoleName"}
	ofPolicy   = subject{kind: identity.KindPolicy, member: "PolicyArn"}
	ofProvider = subject{kind: identity.KindProvider, member: "OpenIDConnectProviderArn"}
	ofDevice   = subject{kind: identity.KindDevice, member: "SerialNumber"}
)

// operation makes a row of the table. What a name stands for may become another
// thing while its caller's rights to it are looked at: so f runs alone among those
// that write, and what it needs by now is asked for again. A provider's name is
// its URL and never another's, and f may wait for its server.
func operation[In, Out any](s *server, level wire.Level, name string, about subject, f func(context.Context, *In) (*Out, error)) wire.Operation {
	members := membersOf[In]()
	return asking(s, level, name, about, f, func(ctx context.Context, in *In) ([]access.Need, error) {
		return s.needs(ctx, "iam:"+name, about, members, reflect.ValueOf(in).Elem())
	})
}

// asking is operation for what needs other rights.
func asking[In, Out any](s *server, level wire.Level, name string, about subject, f func(context.Context, *In) (*Out, error),
	needs func(context.Context, *In) ([]access.Need, error)) wire.Operation {
	return wire.Operation{Name: name, Level: level, Run: wire.DoFor(func(ctx context.Context, in *In) (*Out, error) {
		switch {
		case about.kind == identity.KindProvider:
		case level == wire.Write:
			s.running.Lock()
			defer s.running.Unlock()
		default:
			s.running.RLock()
			defer s.running.RUnlock()
		}
		now, err := needs(ctx, in)
		if err == nil && !reflect.DeepEqual(now, wire.Granted(ctx)) {
			err = guard.CallFrom(ctx).Allow(ctx, now...)
		}
		if err != nil {
			return nil, err
		}
		return f(ctx, in)
	}, needs)}
}

// self is the user whom an operation is about that may leave the name out.
func (s *server) self(ctx context.Context, given *string) (*identity.Entity, error) {
	name := wire.Or(given, "")
	if name == "" {
		p := guard.CallFrom(ctx).Caller.Principal
		if name = p.Name; p.Kind != access.KindUser {
			return nil, unnamed(p)
		}
	}
	return s.Directory.Entity(identity.User(name))
}

var (
	errNoUser = invalid("Must specify userName when calling with non-User credentials")
	errRoot   = invalid("Must specify userName when calling with non-User credentials: root has no other key than the one in root.key of the data folder, and no second factor")
)

// unnamed is why who is no user has to name one.
func unnamed(p *access.Principal) error {
	if p.Kind == access.KindRoot {
		return errRoot
	}
	return errNoUser
}

// members are where a request type has its members.
type members map[string]int

func membersOf[In any]() members {
	t, m := reflect.TypeFor[In](), members{}
	for i := range t.NumField() {
		m[t.Field(i).Name] = i
	}
	return m
}

// text is a member that is a text, or empty.
func (m members) text(v reflect.Value, name string) string {
	i, ok := m[name]
	if !ok {
		return ""
	}
	f := v.Field(i)
	if f.Kind() == reflect.Pointer {
		if f.IsNil() {
			return ""
		}
		f = f.Elem()
	}
	return f.String()
}

// needs says what has to be allowed: the action on what the request is about.
// The condition keys are of what is there already (its tags and its boundary)
// and of what the request brings.
func (s *server) needs(ctx context.Context, action string, about subject, m members, v reflect.Value) ([]access.Need, error) {
	n := access.Need{Action: action, Resource: "*", Keys: map[string][]string{}}
	switch p := guard.CallFrom(ctx).Caller.Principal; {
	case about.self && m.text(v, about.member) == "":
		switch p.Kind {
		case access.KindUser:
			s.present(&n, about.kind, p.Name)
		case access.KindRoot:
			n.Resource = p.ARN
		default:
			return nil, errNoUser
		}
	case about.makes:
		n.Resource = s.future(about.kind, m.text(v, "Path"), m.text(v, about.member))
	case about.kind != "":
		s.present(&n, about.kind, m.text(v, about.member))
	}
	if i, ok := m["Tags"]; ok {
		for _, t := range v.Field(i).Interface().([]Tag) {
			n.Keys["aws:requesttag/"+policy.Lower(t.Key)] = []string{t.Value}
			n.Keys["aws:tagkeys"] = append(n.Keys["aws:tagkeys"], t.Key)
		}
	}
	if i, ok := m["TagKeys"]; ok {
		n.Keys["aws:tagkeys"] = v.Field(i).Interface().([]string)
	}
	if _, ok := m["PermissionsBoundary"]; ok {
		delete(n.Keys, "iam:permissionsboundary")
		if arn := m.text(v, "PermissionsBoundary"); arn != "" {
			n.Keys["iam:permissionsboundary"] = []string{arn}
		}
	}
	if arn := m.text(v, "PolicyArn"); arn != "" && about.kind != identity.KindPolicy {
		n.Keys["iam:policyarn"] = []string{arn}
	}
	needs := []access.Need{n}
	// Who gives another name or path makes something of that name: it takes the
	// right to both.
	if name, path := m.text(v, "New"+about.member), m.text(v, "NewPath"); name != "" || path != "" {
		also := n
		was, err := s.Directory.Entity(identity.Ref{Kind: about.kind, Name: m.text(v, about.member)})
		if err == nil {
			if name == "" {
				name = was.Name
			}
			if path == "" {
				path = was.Path
			}
		}
		also.Resource, also.Shown = s.future(about.kind, path, name), ""
		needs = append(needs, also)
	}
	return needs, nil
}

// future is the ARN of what is not there yet.
func (s *server) future(kind identity.Kind, path, name string) string {
	if path == "" {
		path = "/"
	}
	if kind == identity.KindProvider {
		_, rest, _ := strings.Cut(name, "://")
		path, name = "/", strings.TrimSuffix(rest, "/")
	}
	return s.Place.IAM(string(kind) + path + name)
}

// present makes n about what is there, however its name was written, with what
// conditions may ask about it. What is not there has the ARN that it would have,
// and what is there is shown by that one, too, so that nobody learns from a denial
// whether it is, and at which path.
func (s *server) present(n *access.Need, kind identity.Kind, name string) {
	tags := func(tags map[string]string) {
		for k, v := range tags {
			n.Keys["aws:resourcetag/"+policy.Lower(k)] = []string{v}
			n.Keys["iam:resourcetag/"+policy.Lower(k)] = []string{v}
		}
	}
	n.Resource = name
	switch kind {
	case identity.KindPolicy:
		if p, err := s.Directory.Policy(name); err == nil {
			tags(p.Tags)
		}
		return
	case identity.KindProvider:
		if p, err := s.Directory.Provider(name); err == nil {
			tags(p.Tags)
		}
		return
	case identity.KindDevice:
		if m, err := s.Directory.MFADevice(name); err == nil {
			tags(m.Tags)
		}
		return
	}
	n.Resource = s.future(kind, "", name)
	e, err := s.Directory.Entity(identity.Ref{Kind: kind, Name: name})
	if err != nil {
		return
	}
	n.Resource, n.Shown = e.ARN, n.Resource
	tags(e.Tags)
	if e.Boundary != "" {
		n.Keys["iam:permissionsboundary"] = []string{e.Boundary}
	}
}
