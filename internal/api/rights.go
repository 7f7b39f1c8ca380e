package api

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/access/policy"
)

// Question asks whether somebody may do something.
type Question struct {
	// Principal is "root", "user/NAME", "role/NAME", or the ARN of a user, a
	// role or a role's session.
	Principal string `json:"principal"`
	Action    string `json:"action"`
	// Resource is an ARN, or "*".
	Resource string `json:"resource"`
	// Context has condition keys of the request that is thought of.
	Context map[string][]string `json:"context,omitempty"`
}

// Explanation answers a Question.
type Explanation struct {
	Question // Principal is the ARN
	policy.Explanation
	// Reason says why it is denied, in AWS's words.
	Reason string `json:"reason,omitempty"`
}

func (s *server) explain(q *request) (answer, error) {
	if _, err := parameters(q); err != nil {
		return answer{}, err
	}
	var in Question
	if err := decode(q, &in, maxUnasked); err != nil {
		return answer{}, err
	}
	kind, _, _ := strings.Cut(in.Principal, "/")
	if in.Principal != "root" && kind != "user" && kind != "role" && !strings.HasPrefix(in.Principal, "arn:") {
		return answer{}, badRequest("the principal is %.200q; want root, user/NAME, role/NAME, or an ARN", in.Principal)
	}
	who, about := in.Principal, s.Place.IAM(in.Principal) // as if there were nobody of the name
	if strings.HasPrefix(who, "arn:") {
		about = who
	}
	shown := about
	subject, unknown := s.Directory.Subject(who)
	if unknown == nil {
		who, about = subject.ARN, subject.ARN
		if subject.RoleARN != "" {
			about = subject.RoleARN
		}
	}
	if err := q.allowShown(about, shown, named("action", in.Action, "resource", in.Resource)...); err != nil {
		return answer{}, err
	}
	if unknown != nil {
		return answer{}, unknown
	}
	if err := checkQuestion(&in); err != nil {
		return answer{}, err
	}
	keys := make(map[string][]string, len(in.Context))
	for k, v := range in.Context {
		keys[policy.Lower(k)] = v
	}
	e, err := s.Directory.Explain(who, in.Action, in.Resource, keys)
	if err != nil {
		return answer{}, err
	}
	in.Principal = who
	return reply(http.StatusOK, Explanation{Question: in, Explanation: e, Reason: e.Reason(in.Action)})
}

// checkQuestion refuses what no request would ask for, so that a typo is not
// taken for a denial.
func checkQuestion(in *Question) error {
	if strings.ContainsAny(in.Action, "*?") {
		return badRequest("the action %.200q is a pattern; want one action", in.Action)
	}
	problems := policy.CheckGrants([]gust.Grant{{Effect: gust.Allow, Actions: []string{in.Action}, Resources: []string{"*"}}})
	if len(problems) > 0 {
		return badRequest("the action: %s", problems[0].Text)
	}
	if in.Resource != "*" && !strings.HasPrefix(in.Resource, "arn:") {
		return badRequest(`the resource is %.200q; want an ARN, or "*"`, in.Resource)
	}
	return nil
}

func revoke(kind identity.Kind) handler {
	return func(s *server, q *request) (answer, error) {
		if _, err := parameters(q); err != nil {
			return answer{}, err
		}
		name := q.PathValue("name")
		about := s.Place.IAM(string(kind) + "/" + name)
		shown := about
		e, err := s.Directory.Entity(identity.Ref{Kind: kind, Name: name})
		if err == nil {
			about = e.ARN
		}
		if err := q.allowShown(about, shown); err != nil {
			return answer{}, err
		}
		if err != nil {
			return answer{}, err
		}
		if err := s.Directory.Revoke(q.Context(), e.Ref()); err != nil {
			return answer{}, err
		}
		if e.Function != "" {
			s.Replace(e.Function)
		}
		return reply(http.StatusNoContent, nil)
	}
}

// Explain asks whether somebody may do something, and what decides it.
func (c *Client) Explain(ctx context.Context, q *Question) (*Explanation, error) {
	return ask[Explanation](ctx, c, "POST", "/v1/explain", q)
}

// RevokeRole ends all sessions of a role that have begun by now. If it is a
// function's own, the function's environments are replaced.
func (c *Client) RevokeRole(ctx context.Context, name string) error {
	return c.revoke(ctx, "roles", name)
}

// RevokeUser ends all sessions that a user has begun by now. The user's keys
// stay.
func (c *Client) RevokeUser(ctx context.Context, name string) error {
	return c.revoke(ctx, "users", name)
}

func (c *Client) revoke(ctx context.Context, kind, name string) error {
	resp, err := c.send(ctx, "POST", "/v1/"+kind+"/"+url.PathEscape(name)+"/revoke", nil, nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
