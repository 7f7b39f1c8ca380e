package lambda

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	gust "github.com/gust-dev/gust"
)

// document is a function's policy: who but its own account's principals may do
// what with it. Statements are kept as they are.
type document struct {
	Version   string
	ID        string `json:"Id"`
	Statement []json.RawMessage
}

// statement is one that AddPermission makes.
type statement struct {
	Sid, Effect string
	Principal   any
	Action      string
	Resource    string
	Condition   map[string]map[string]string `json:",omitempty"`
}

// addPermission is the operation AddPermission.
func (s *server) addPermission(ctx context.Context, in *AddPermissionRequest) (*AddPermissionResponse, error) {
	for _, refused := range []struct {
		there      bool
		name, text string
	}{
		{in.FunctionUrlAuthType != nil, "FunctionUrlAuthType", "functions have no URLs: declare routes in gust.yaml"},
		{in.InvokedViaFunctionUrl != nil, "InvokedViaFunctionUrl", "functions have no URLs: declare routes in gust.yaml"},
		{in.EventSourceToken != nil, "EventSourceToken", "it is of Alexa's skills, which are not part of Gust"},
		{in.PrincipalOrgID != nil, "PrincipalOrgID", "organisations are not part of Gust"},
	} {
		if refused.there {
			return nil, invalid("%s is not carried out by Gust: %s", refused.name, refused.text)
		}
	}
	st := statement{Sid: in.StatementId, Effect: "Allow", Principal: principalOf(in.Principal), Action: in.Action}
	st.condition("ArnLike", "AWS:SourceArn", in.SourceArn)
	st.condition("StringEquals", "AWS:SourceAccount", in.SourceAccount)
	arn, err := s.changePolicy(ctx, in.FunctionName, in.Qualifier, in.RevisionId, func(arn string, doc *document) error {
		if doc.find(in.StatementId) >= 0 {
			return fault("ResourceConflictException", fmt.Sprintf(
				"The statement id (%s) provided already exists. Please provide a new statement id, or remove the existing statement.", in.StatementId))
		}
		st.Resource = arn
		raw, err := json.Marshal(st)
		doc.Statement = append(doc.Statement, raw)
		return err
	})
	if err != nil {
		return nil, err
	}
	st.Resource = arn
	raw, err := json.Marshal(st)
	return &AddPermissionResponse{Statement: new(string(raw))}, err
}

// principalOf is whom AddPermission means: everybody, an account, an ARN, or a
// service.
func principalOf(p string) any {
	switch {
	case p == "*":
		return p
	case len(p) == 12 && !slices.ContainsFunc([]byte(p), func(c byte) bool { return c < '0' || c > '9' }):
		return map[string]string{"AWS": gust.Place{Account: p}.IAM("root")}
	case len(p) > 4 && p[:4] == "arn:":
		return map[string]string{"AWS": p}
	}
	return map[string]string{"Service": p}
}

func (st *statement) condition(operator, key string, value *string) {
	if value == nil {
		return
	}
	if st.Condition == nil {
		st.Condition = map[string]map[string]string{}
	}
	st.Condition[operator] = map[string]string{key: *value}
}

// removePermission is the operation RemovePermission.
func (s *server) removePermission(ctx context.Context, in *RemovePermissionRequest) (*struct{}, error) {
	_, err := s.changePolicy(ctx, in.FunctionName, in.Qualifier, in.RevisionId, func(_ string, doc *document) error {
		i := doc.find(in.StatementId)
		if i < 0 {
			return fault("ResourceNotFoundException", fmt.Sprintf("Statement %s is not found in resource policy.", in.StatementId))
		}
		doc.Statement = slices.Delete(doc.Statement, i, i+1)
		return nil
	})
	return &struct{}{}, err
}

// getPolicy is the operation GetPolicy.
func (s *server) getPolicy(_ context.Context, in *GetPolicyRequest) (*GetPolicyResponse, error) {
	_, n, err := s.function(in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	p, err := s.Directory.ResourcePolicy(n.arn(s.Place))
	if err != nil {
		return nil, fault("ResourceNotFoundException", "No policy is associated with the given resource.")
	}
	return &GetPolicyResponse{Policy: new(string(p.JSON())), RevisionId: new(revision(p.JSON()))}, nil
}

// changePolicy changes the policy of what a request names, if it is at the
// revision that the request wants.
func (s *server) changePolicy(ctx context.Context, label string, qualifier, want *string, change func(arn string, doc *document) error) (arn string, err error) {
	_, n, err := s.function(label, qualifier)
	if err != nil {
		return "", err
	}
	arn = n.arn(s.Place)
	return arn, s.Directory.ChangeResourcePolicy(ctx, arn, func(was string) (string, error) {
		doc := &document{Version: "2012-10-17", ID: "default"}
		at := ""
		if was != "" {
			if err := json.Unmarshal([]byte(was), doc); err != nil {
				return "", fmt.Errorf("the policy of %s: %w", arn, gust.ErrCorrupt)
			}
			at = revision([]byte(was))
		}
		if want != nil && *want != at {
			return "", fault("PreconditionFailedException",
				"The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the latest Revision Id")
		}
		if err := change(arn, doc); err != nil {
			return "", err
		}
		if len(doc.Statement) == 0 {
			return "", nil
		}
		text, err := json.Marshal(doc)
		return string(text), err
	})
}

// find is the place of a statement, or -1.
func (d *document) find(sid string) int {
	return slices.IndexFunc(d.Statement, func(raw json.RawMessage) bool {
		var st struct{ Sid string }
		return json.Unmarshal(raw, &st) == nil && st.Sid == sid
	})
}

// revision names a document, in the form that the API has for it.
func revision(doc []byte) string {
	sum := sha256.Sum256(doc)
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
