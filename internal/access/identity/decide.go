package identity

import (
	"strconv"
	"strings"
	"sync"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/policy"
)

// question is one request put to policies. They are pooled, so that deciding
// costs no memory unless a condition asks for a key.
type question struct {
	request policy.Request
	subject policy.Subject
	caller  *access.Caller
	need    *access.Need
	region  string // the node's
	source  string // the ARN of the function that asks
}

var questions = sync.Pool{New: func() any {
	q := new(question)
	q.request.Subject, q.request.Value = &q.subject, q.value
	return q
}}

// ask prepares the question whether the caller may do what it needs.
func ask(place gust.Place, c *access.Caller, n *access.Need) *question {
	q := questions.Get().(*question)
	p := c.Principal
	q.caller, q.need, q.region = c, n, place.Region
	q.request.Action, q.request.Resource = n.Action, n.Resource
	q.subject = SubjectOf(p)
	if p.Function != "" {
		q.source = place.FunctionARN(p.Function)
	}
	return q
}

func (q *question) release() {
	q.caller, q.need, q.source = nil, nil, ""
	questions.Put(q)
}

// Decide decides whether the caller may do what it needs, by its own policies
// and the resource's, as they are now.
func (d *Directory) Decide(c *access.Caller, n *access.Need) policy.Decision {
	if denied := sessionRule(c.Principal, n.Action); denied != nil {
		return *denied
	}
	q := ask(d.place, c, n)
	defer q.release()
	resource, err := d.resource(q)
	if err != nil { // what is damaged may have been a deny
		d.log.Error("the policy of a resource is damaged; nobody may do anything with it", "resource", n.Resource, "error", err)
		return policy.Decision{Denied: true, Layer: policy.LayerResource, Policy: "the resource's policy, which is damaged", Statement: "#1"}
	}
	if c.Rights == nil { // the anonymous have none
		return policy.Compile(policy.Layers{}).Decide(&q.request, resource)
	}
	decision := c.Rights.Decide(&q.request, resource)
	if decision.Layer == policy.LayerResource && decision.Denied && isRole(n) {
		return policy.Decision{Layer: policy.LayerResource} // as of a role that is not there: see resource
	}
	return decision
}

// isRole tells whether the resource that is asked for is a role to be assumed.
func isRole(n *access.Need) bool {
	service, _, _ := strings.Cut(n.Action, ":")
	return strings.HasPrefix(n.Resource, "arn:aws:iam::") && policy.EqualFold(service, "sts")
}

// sessionRule is what AWS refuses to sessions of a user's or the root's own keys
// (GetSessionToken), whatever their policies say: without a second factor they
// make no lasting credentials. GetSessionToken is for keys that last, so it is
// refused to roles' sessions, too.
func sessionRule(p *access.Principal, action string) *policy.Decision {
	if p.Issued.IsZero() {
		return nil
	}
	service, operation, _ := strings.Cut(action, ":")
	switch {
	case p.Kind == access.KindRole:
		if !policy.EqualFold(action, "sts:GetSessionToken") {
			return nil
		}
	case policy.EqualFold(service, "iam"):
		if !p.Factor.IsZero() {
			return nil
		}
	case policy.EqualFold(service, "sts") && !policy.EqualFold(operation, "AssumeRole") && !policy.EqualFold(operation, "GetCallerIdentity"):
	default:
		return nil
	}
	return &policy.Decision{Denied: true, Layer: policy.LayerSession, Policy: "the rules for sessions of GetSessionToken", Statement: "no lasting credentials"}
}

// resource finds the policy of the resource that is asked for: its own, of an
// object its bucket's, of a role that is to be assumed its trust policy. The
// question's subject becomes whom that policy means.
func (d *Directory) resource(q *question) (*policy.Document, error) {
	st := d.state.Load()
	arn := q.request.Resource
	var doc Document
	if strings.HasPrefix(arn, "arn:aws:iam::") {
		if !isRole(q.need) {
			return nil, nil
		}
		// Whether a role is there is nobody's business whom it does not trust.
		doc = d.trustless
		if e := d.byARN(st, arn); e != nil && e.Kind == KindRole {
			doc = e.Trust
		}
	} else {
		var ok bool
		if doc, ok = d.resourcePolicy(st, arn); !ok && strings.HasPrefix(arn, "arn:aws:s3:::") {
			bucket, _, _ := strings.Cut(arn, "/")
			doc, ok = d.resourcePolicy(st, bucket)
		}
		if !ok {
			return nil, nil
		}
	}
	doc.mean(&q.subject)
	return doc.parsed()
}

// value answers a condition: what every request has, and then what this one has.
// Keys that AWS knows and a node cannot tell (organisations, networks, services
// in between) are not there.
func (q *question) value(key string) []string {
	c := q.caller
	p := c.Principal
	if tag, ok := strings.CutPrefix(key, "aws:principaltag/"); ok {
		if _, v, ok := FindTag(p.Tags, tag); ok {
			return []string{v}
		}
		return nil
	}
	switch key {
	case "aws:principalarn":
		if p.RoleARN != "" {
			return some(p.RoleARN)
		}
		return some(p.ARN)
	case "aws:principalaccount":
		return some(p.Account)
	case "aws:principaltype":
		return some(map[access.Kind]string{access.KindRoot: "Account", access.KindUser: "User", access.KindRole: "AssumedRole", access.KindAnonymous: "Anonymous"}[p.Kind])
	case "aws:principalisawsservice", "aws:viaawsservice":
		return some("false")
	case "aws:userid":
		return some(p.ID)
	case "aws:username":
		if p.Kind == access.KindUser {
			return some(p.Name)
		}
		return nil
	case "aws:sourceip":
		// A function's own listener has no address that means anything.
		if c.Environment == "" && c.Source.IsValid() {
			return some(c.Source.String())
		}
		return nil
	case "aws:securetransport":
		return some(strconv.FormatBool(c.Secure))
	case "aws:currenttime":
		return some(c.At.UTC().Format(time.RFC3339))
	case "aws:epochtime":
		return some(strconv.FormatInt(c.At.Unix(), 10))
	case "aws:tokenissuetime":
		if p.Issued.IsZero() {
			return nil
		}
		return some(p.Issued.UTC().Format(time.RFC3339))
	case "aws:multifactorauthpresent":
		if v, ok := q.need.Keys[key]; ok { // a code comes with the request, and is looked at if it is allowed
			return v
		}
		if p.Issued.IsZero() && p.Factor.IsZero() {
			return nil // of long-lived keys it is not known, as with AWS
		}
		return some(strconv.FormatBool(!p.Factor.IsZero()))
	case "aws:multifactorauthage":
		if v, ok := q.need.Keys[key]; ok {
			return v
		}
		if p.Factor.IsZero() {
			return nil
		}
		return some(strconv.FormatInt(int64(max(0, c.At.Sub(p.Factor))/time.Second), 10))
	case "aws:useragent":
		return some(c.UserAgent)
	case "aws:requestedregion":
		if c.Region == "" {
			return some(q.region)
		}
		return some(c.Region)
	case "aws:resourceaccount":
		if f := strings.SplitN(q.need.Resource, ":", 6); len(f) == 6 && f[4] != "" {
			return some(f[4])
		}
		return some(p.Account)
	case "aws:sourceidentity", "sts:sourceidentity":
		if v, ok := q.need.Keys[key]; ok { // of a session that is being made
			return v
		}
		return some(p.SourceIdentity)
	case "aws:federatedprovider":
		return some(p.Provider)
	case "lambda:sourcefunctionarn":
		return some(q.source)
	case "aws:calledvia", "aws:calledviafirst", "aws:calledvialast", "aws:sourcearn", "aws:sourceaccount":
		return nil
	}
	if v, ok := q.need.Keys[key]; ok {
		return v
	}
	return p.ProviderKeys[key]
}

func some(v string) []string {
	if v == "" {
		return nil
	}
	return []string{v}
}

// Explain tells what decides whether somebody may do something with a resource:
// a user, a role or root by ARN, "user/alice", "role/deploy" or a bare name
// (first users, then roles). keys are condition keys in lower case, and win over
// what is known otherwise; of those that every request has, only what does not
// depend on a request is there.
func (d *Directory) Explain(who, action, resource string, keys map[string][]string) (policy.Explanation, error) {
	c, err := d.callerOf(who)
	if err != nil {
		return policy.Explanation{}, err
	}
	n := &access.Need{Action: action, Resource: resource, Keys: keys}
	q := ask(d.place, c, n)
	defer q.release()
	doc, err := d.resource(q)
	if err != nil {
		return policy.Explanation{}, err
	}
	request := q.request
	request.Value = Presumed(d.place, c.Principal, c.At, n)
	return c.Rights.Explain(&request, doc), nil
}

// Presumed answers the conditions of a request of p that is only thought of: by
// what n has keys for, and then by what is known of p and of the node. What
// depends on how a request comes, such as its address, is not there.
func Presumed(place gust.Place, p *access.Principal, at time.Time, n *access.Need) func(key string) []string {
	q := ask(place, &access.Caller{Credential: &access.Credential{Principal: p}, At: at}, n)
	return func(key string) []string {
		if v, ok := n.Keys[key]; ok {
			return v
		}
		if key == "aws:securetransport" {
			return nil
		}
		return q.value(key)
	}
}

// Subject is somebody as policies see them; who is as in Explain.
func (d *Directory) Subject(who string) (policy.Subject, error) {
	c, err := d.callerOf(who)
	if err != nil {
		return policy.Subject{}, err
	}
	return SubjectOf(c.Principal), nil
}

// Layers are the policies that say what somebody may do, to be tried with others.
// who is as in Explain, or the ARN of a group, which is nobody: nil.
func (d *Directory) Layers(who string) (policy.Layers, *access.Principal, error) {
	st := d.state.Load()
	if who == "root" || who == d.root.Principal.ARN {
		return policy.Layers{Root: true}, d.root.Principal, nil
	}
	e := d.byARN(st, who)
	var p *access.Principal
	if e == nil || e.Kind != KindGroup {
		var err error
		if e, _, err = d.named(st, who); err != nil {
			return policy.Layers{}, nil, err
		}
		c, err := d.callerOf(who)
		if err != nil {
			return policy.Layers{}, nil, err
		}
		p = c.Principal
	}
	l := st.layers(e)
	return l.Layers, p, l.err
}

// named finds a user or a role, and the name of its session if who has one.
func (d *Directory) named(st *state, who string) (e *Entity, session string, err error) {
	session = "session"
	absent := &NotFoundError{What: "user or role", Name: who}
	switch kind, rest, ok := strings.Cut(who, "/"); {
	case strings.HasPrefix(who, "arn:aws:sts::"+st.account+":assumed-role/"):
		var role string
		role, session, _ = strings.Cut(rest, "/")
		e = d.find(st, Role(role))
	case strings.HasPrefix(who, "arn:"):
		e = d.byARN(st, who)
	case ok && (kind == string(KindUser) || kind == string(KindRole)):
		e = d.find(st, Ref{Kind(kind), rest[strings.LastIndexByte(rest, '/')+1:]})
		absent = &NotFoundError{Kind: Kind(kind), What: kind, Name: rest} // by its name: a command may have another form than KIND/NAME
	case !ok:
		if e = d.find(st, User(who)); e == nil {
			e = d.find(st, Role(who))
		}
	}
	if e == nil || e.Kind == KindGroup {
		return nil, "", absent
	}
	return e, session, nil
}

// callerOf is a caller as somebody would be.
func (d *Directory) callerOf(who string) (*access.Caller, error) {
	st, now := d.state.Load(), d.now()
	if who == "root" || who == d.root.Principal.ARN {
		return &access.Caller{Credential: d.root, At: now}, nil
	}
	e, name, err := d.named(st, who)
	if err != nil {
		return nil, err
	}
	if e.Kind == KindUser {
		c := st.compiled(e)
		return &access.Caller{Credential: &access.Credential{Principal: c.principal, Rights: c.rights}, At: now}, nil
	}
	b := d.bindSession(st, &session{claims: claims{Session: name, Function: e.Function, Issued: now.UnixMicro()}}, e)
	return &access.Caller{Credential: b.credential, At: now}, nil
}

// SubjectOf is p as policies see it.
func SubjectOf(p *access.Principal) policy.Subject {
	return policy.Subject{Kind: string(p.Kind), ARN: p.ARN, RoleARN: p.RoleARN, Account: p.Account, ID: p.ID, Name: p.Name}
}
