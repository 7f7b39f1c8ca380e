package iam

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/access/policy"
	"github.com/gust-dev/gust/internal/aws/wire"
)

func (s *server) simulation() []wire.Operation {
	const note = "by the code that decides requests; context keys are those of ContextEntries, and what is known of the principal, of CallerArn what it says"
	return []wire.Operation{
		{Name: "SimulatePrincipalPolicy", Level: wire.Read, Note: note, Run: wire.Do(s.simulatePrincipalPolicy, func(in *SimulatePrincipalPolicyRequest) []access.Need {
			return s.aboutSource("iam:SimulatePrincipalPolicy", in.PolicySourceArn)
		})},
		{Name: "SimulateCustomPolicy", Level: wire.Read, Note: "by the code that decides requests; context keys are those of ContextEntries, and what CallerArn says",
			Run: wire.Do(s.simulateCustomPolicy, func(*SimulateCustomPolicyRequest) []access.Need {
				return []access.Need{{Action: "iam:SimulateCustomPolicy", Resource: "*"}}
			})},
		{Name: "GetContextKeysForPrincipalPolicy", Level: wire.Read, Run: wire.Do(s.getContextKeysForPrincipalPolicy, func(in *GetContextKeysForPrincipalPolicyRequest) []access.Need {
			return s.aboutSource("iam:GetContextKeysForPrincipalPolicy", in.PolicySourceArn)
		})},
		operation(s, wire.Read, "GetContextKeysForCustomPolicy", nothing, func(_ context.Context, in *GetContextKeysForCustomPolicyRequest) (*GetContextKeysForPolicyResponse, error) {
			docs, err := inputs("PolicyInputList", in.PolicyInputList)
			return &GetContextKeysForPolicyResponse{ContextKeyNames: contextKeys(docs)}, err
		}),
	}
}

// aboutSource: it is about the user, group or role whose policies are looked at.
func (s *server) aboutSource(action, arn string) []access.Need {
	n := access.Need{Action: action, Resource: arn, Keys: map[string][]string{}}
	rest := strings.TrimPrefix(arn, s.Place.IAM(""))
	if kind, name, ok := strings.Cut(rest, "/"); ok && kind != string(identity.KindPolicy) && kind != string(identity.KindProvider) {
		name = name[strings.LastIndexByte(name, '/')+1:]
		if e, err := s.Directory.Entity(identity.Ref{Kind: identity.Kind(kind), Name: name}); err == nil && e.ARN == arn {
			s.present(&n, e.Kind, name)
			n.Shown = "" // it is what was asked for
		}
	}
	return []access.Need{n}
}

// layers are those of a user, a group or a role by its ARN, which is what was
// asked for: another way to write it would pass by who may not.
func (s *server) layers(arn string) (policy.Layers, *access.Principal, error) {
	if !strings.HasPrefix(arn, s.Place.IAM("")) {
		return policy.Layers{}, nil, fault("InvalidInputException", "PolicySourceArn is %.200s: it may be the ARN of a user, a group or a role of this account", arn)
	}
	return s.Directory.Layers(arn)
}

// inputs are the documents of a request, named as AWS names them.
func inputs(list string, texts []string) ([]policy.Attached, error) {
	var docs []policy.Attached
	for i, text := range texts {
		name := fmt.Sprintf("%s.%d", list, i+1)
		doc, err := policy.Parse(policy.Identity, []byte(text))
		if err != nil {
			return nil, fault("InvalidInputException", "%s: %v", name, err)
		}
		docs = append(docs, policy.Attached{Name: name, Document: doc})
	}
	return docs, nil
}

// simulation is what both operations have in common.
type simulation struct {
	s        *server
	layers   policy.Layers
	asks     *access.Principal // nil is somebody of the account
	resource *policy.Document
	context  map[string][]string
}

// maxSimulated bounds the work of one answer, whose measure is work, to about a
// second of a core: there are patterns that take some 4 ns for each byte of theirs
// and each of a value.
const maxSimulated = 4 * gust.MB

// work is what one decision takes of it: the bytes of all policies, times those
// that each is compared with at most. That is an action, a resource or all values
// of one key, of which 64 bytes, and what is less, count as one.
func (sim *simulation) work(actions, resources []string) int {
	documents := sim.layers.Identity
	if sim.layers.Boundary != nil {
		documents = append(slices.Clip(documents), *sim.layers.Boundary)
	}
	bytes := 1
	for _, d := range documents {
		bytes += len(d.Document.JSON())
	}
	if sim.resource != nil {
		bytes += len(sim.resource.JSON())
	}
	size := func(value string) int { return 1 + min(len(value), policy.MaxValue)/64 }
	most := 1
	for _, asked := range [][]string{actions, resources} {
		for _, v := range asked {
			most = max(most, size(v))
		}
	}
	for _, values := range sim.context {
		all := 0
		for _, v := range values {
			all += size(v)
		}
		most = max(most, all)
	}
	return bytes * most
}

// with takes in what of the requests is alike.
func (sim *simulation) with(boundaries []string, resourcePolicy, owner, handling *string, entries []ContextEntry) error {
	if err := unused(handling != nil, "ResourceHandlingOption", "there are no instances, leave it out"); err != nil {
		return err
	}
	if own := sim.s.Place.IAM("root"); owner != nil && *owner != own && *owner != sim.s.Place.Account {
		return fault("InvalidInputException", "ResourceOwner is %s: a node has one account, whose ARN is %s", *owner, own)
	}
	if len(boundaries) > 1 {
		return fault("InvalidInputException", "PermissionsBoundaryPolicyInputList has %d policies: it may have one", len(boundaries))
	}
	docs, err := inputs("PermissionsBoundaryPolicyInputList", boundaries)
	if err != nil {
		return err
	}
	if len(docs) == 1 {
		sim.layers.Boundary = &docs[0]
	}
	if resourcePolicy != nil {
		if sim.resource, err = policy.Parse(policy.Resource, []byte(*resourcePolicy)); err != nil {
			return fault("InvalidInputException", "ResourcePolicy: %v", err)
		}
		if sim.asks == nil {
			return fault("InvalidInputException", "ResourcePolicy is there and CallerArn is not: it says who asks")
		}
	}
	if sim.asks == nil {
		sim.asks = &access.Principal{Account: sim.s.Place.Account}
	}
	sim.context = map[string][]string{}
	for i, e := range entries {
		if e.ContextKeyName == nil || len(e.ContextKeyValues) == 0 {
			return fault("InvalidInputException", "ContextEntries.%d has no name or no value", i+1)
		}
		sim.context[policy.Lower(*e.ContextKeyName)] = e.ContextKeyValues
	}
	return nil
}

// caller makes somebody the one who asks. Nothing is known of them but what the
// ARN says: whoever may simulate may not for that learn who there is, nor their
// tags by conditions.
func (sim *simulation) caller(given *string) error {
	if given == nil {
		return nil
	}
	arn, who := *given, &access.Principal{Account: sim.s.Place.Account}
	rest, ok := strings.CutPrefix(arn, sim.s.Place.IAM(""))
	kind, path, _ := strings.Cut(rest, "/")
	name := path[strings.LastIndexByte(path, '/')+1:]
	switch {
	case ok && rest == "root":
		who.Kind, who.ARN = access.KindRoot, arn
	case ok && kind == string(identity.KindUser) && name != "":
		who.Kind, who.ARN, who.Name = access.KindUser, arn, name
	case ok && kind == string(identity.KindRole) && name != "":
		who.Kind, who.RoleARN, who.Name = access.KindRole, arn, name
		who.ARN = "arn:aws:sts::" + sim.s.Place.Account + ":assumed-role/" + name + "/session"
	default:
		return fault("InvalidInputException", "CallerArn is %.200s: it may be the ARN of the root, a user or a role of this account", arn)
	}
	sim.asks = who
	return nil
}

func (s *server) simulatePrincipalPolicy(ctx context.Context, in *SimulatePrincipalPolicyRequest) (*SimulatePolicyResponse, error) {
	if err := unused(len(in.PolicyExclusionList) > 0, "PolicyExclusionList", "use SimulateCustomPolicy with the policies that are to count"); err != nil {
		return nil, err
	}
	sim := simulation{s: s}
	var err error
	if sim.layers, sim.asks, err = s.layers(in.PolicySourceArn); err != nil {
		return nil, err
	}
	more, err := inputs("PolicyInputList", in.PolicyInputList)
	if err != nil {
		return nil, err
	}
	sim.layers.Identity = slices.Concat(sim.layers.Identity, more)
	if wire.Or(in.CallerArn, in.PolicySourceArn) != in.PolicySourceArn {
		if err := sim.caller(in.CallerArn); err != nil {
			return nil, err
		}
	}
	if err := sim.with(in.PermissionsBoundaryPolicyInputList, in.ResourcePolicy, in.ResourceOwner, in.ResourceHandlingOption,
		in.ContextEntries); err != nil {
		return nil, err
	}
	return sim.run(ctx, in.ActionNames, in.ResourceArns, in.Marker, in.MaxItems)
}

func (s *server) simulateCustomPolicy(ctx context.Context, in *SimulateCustomPolicyRequest) (*SimulatePolicyResponse, error) {
	if err := unused(in.OrderedOrganizationPolicyInputList != nil, "OrderedOrganizationPolicyInputList", "there are no organizations, leave it out"); err != nil {
		return nil, err
	}
	sim := simulation{s: s}
	var err error
	if sim.layers.Identity, err = inputs("PolicyInputList", in.PolicyInputList); err != nil {
		return nil, err
	}
	if err := sim.caller(in.CallerArn); err != nil {
		return nil, err
	}
	if err := sim.with(in.PermissionsBoundaryPolicyInputList, in.ResourcePolicy, in.ResourceOwner, in.ResourceHandlingOption,
		in.ContextEntries); err != nil {
		return nil, err
	}
	return sim.run(ctx, in.ActionNames, in.ResourceArns, in.Marker, in.MaxItems)
}

// run decides every action on every resource, as far as a page goes: the product
// of two lists is never made. As with AWS, a page may have fewer than MaxItems
// though there are more.
func (sim *simulation) run(ctx context.Context, actions, resources []string, marker *string, limit *int32) (*SimulatePolicyResponse, error) {
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	work := sim.work(actions, resources)
	if work > maxSimulated {
		return nil, fault("InvalidInputException", "the bytes of all policies, times the values of one of ContextEntries (or the longest action or resource) in units of 64 bytes, are %d, above the maximum of %d: simulate with fewer or shorter ones at once", work, maxSimulated)
	}
	most := min(wire.Or(limit, defaultPage), int32(maxSimulated/work))
	from, until, more, next, err := window(len(actions)*len(resources), marker, &most)
	out := &SimulatePolicyResponse{EvaluationResults: []EvaluationResult{}, IsTruncated: more, Marker: next}
	rights := policy.Compile(sim.layers)
	for i := from; i < until; i++ {
		if ctx.Err() != nil { // nobody waits for it any more
			return nil, context.Cause(ctx)
		}
		out.EvaluationResults = append(out.EvaluationResults, sim.decide(rights, actions[i/len(resources)], resources[i%len(resources)]))
	}
	return out, err
}

func (sim *simulation) decide(rights *policy.Rights, action, resource string) EvaluationResult {
	missing := map[string]bool{}
	subject := identity.SubjectOf(sim.asks)
	subject.Kind = cmp.Or(subject.Kind, string(access.KindUser))
	value := identity.Presumed(sim.s.Place, sim.asks, sim.s.Now(), &access.Need{Action: action, Resource: resource, Keys: sim.context})
	e := rights.Explain(&policy.Request{Action: action, Resource: resource, Subject: &subject, Value: func(key string) []string {
		v := value(key)
		if v == nil {
			missing[key] = true
		}
		return v
	}}, sim.resource)
	r := EvaluationResult{EvalActionName: action, EvalResourceName: &resource, EvalDecision: "implicitDeny", MatchedStatements: []Statement{}, MissingContextValues: []string{}}
	switch {
	case e.Allowed:
		r.EvalDecision = "allowed"
	case e.Denied:
		r.EvalDecision = "explicitDeny"
	}
	bounded := false
	for _, st := range e.Statements {
		if st.Matched && st.Layer == policy.LayerBoundary {
			bounded = st.Effect == "allow"
			if !bounded {
				break
			}
		}
	}
	for _, st := range e.Statements {
		if st.Deciding {
			r.MatchedStatements = append(r.MatchedStatements, Statement{SourcePolicyId: &st.Policy, SourcePolicyType: new(sources[st.Layer]),
				StartPosition: &Position{Line: new(int32(st.Line)), Column: new(int32(1))}})
		}
	}
	if sim.layers.Boundary != nil {
		r.PermissionsBoundaryDecisionDetail = &PermissionsBoundaryDecisionDetail{AllowedByPermissionsBoundary: &bounded}
	}
	for key := range missing {
		r.MissingContextValues = append(r.MissingContextValues, key)
	}
	slices.Sort(r.MissingContextValues)
	return r
}

// sources are what AWS calls the sorts of policies here.
var sources = map[policy.Layer]string{
	policy.LayerIdentity: "IAM Policy", policy.LayerResource: "Resource Policy", policy.LayerBoundary: "Permissions Boundary Policy", policy.LayerSession: "Session Policy",
}

func (s *server) getContextKeysForPrincipalPolicy(_ context.Context, in *GetContextKeysForPrincipalPolicyRequest) (*GetContextKeysForPolicyResponse, error) {
	layers, _, err := s.layers(in.PolicySourceArn)
	if err != nil {
		return nil, err
	}
	more, err := inputs("PolicyInputList", in.PolicyInputList)
	return &GetContextKeysForPolicyResponse{ContextKeyNames: contextKeys(slices.Concat(layers.Identity, more))}, err
}

var variable = regexp.MustCompile(`\$\{([A-Za-z0-9-]+:[^},]+)`)

// contextKeys are the condition keys and the variables of documents, in order.
func contextKeys(docs []policy.Attached) []string {
	keys := map[string]string{} // by lower case, which is what counts
	note := func(key string) { keys[policy.Lower(key)] = key }
	for _, d := range docs {
		for _, m := range variable.FindAllSubmatch(d.Document.JSON(), -1) {
			note(strings.TrimSpace(string(m[1])))
		}
		var doc struct{ Statement json.RawMessage }
		if json.Unmarshal(d.Document.JSON(), &doc) != nil {
			continue
		}
		text := doc.Statement
		if len(text) > 0 && text[0] == '{' { // one statement may stand without a list
			text = slices.Concat([]byte("["), text, []byte("]"))
		}
		var statements []struct {
			Condition map[string]map[string]json.RawMessage
		}
		if json.Unmarshal(text, &statements) != nil {
			continue
		}
		for _, st := range statements {
			for _, test := range st.Condition {
				for key := range test {
					note(key)
				}
			}
		}
	}
	list := []string{}
	for _, key := range keys {
		list = append(list, key)
	}
	slices.Sort(list)
	return list
}
