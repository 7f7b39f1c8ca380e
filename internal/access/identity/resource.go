package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access/policy"
)

// ResourcePolicy finds the policy of the resource with exactly this ARN, or a
// *NotFoundError.
func (d *Directory) ResourcePolicy(arn string) (Document, error) {
	if p, ok := d.resourcePolicy(d.state.Load(), arn); ok {
		return p, nil
	}
	return Document{}, &NotFoundError{What: "policy of the resource", Name: arn}
}

// resourcePolicy finds the policy of a resource. That of a function which has
// come to another app is not there any more: whom the one app let in, the other
// has not.
func (d *Directory) resourcePolicy(st *state, arn string) (Document, bool) {
	p, ok := st.resources[arn]
	if !ok {
		return Document{}, false
	}
	if owner, there := d.ownerOf(arn); !there || p.owner != owner {
		return Document{}, false
	}
	return p, true
}

// ownerOf is the unique ID of the own role of the function that an ARN names, and
// whether it is declared. What is no function has no owner, and is there.
func (d *Directory) ownerOf(arn string) (owner string, there bool) {
	name, ok := d.functionOf(arn)
	if !ok {
		return "", true
	}
	if e := d.functionRole(name); e != nil {
		return e.ID, true
	}
	return "", false
}

// functionOf is the function that an ARN names, maybe with a version or an alias.
func (d *Directory) functionOf(arn string) (name string, ok bool) {
	name, ok = strings.CutPrefix(arn, d.functionARN)
	name, _, _ = strings.Cut(name, ":")
	return name, ok
}

// ChangeResourcePolicy makes what fn returns the policy of a resource; fn gets
// the one that there is, or nothing, and nobody else changes it meanwhile. An
// empty document removes it. Statements that stay mean whom they meant, also if
// somebody else has got the name. Of a function that is not declared it is a
// *NotFoundError.
func (d *Directory) ChangeResourcePolicy(ctx context.Context, arn string, fn func(was string) (document string, err error)) error {
	if !strings.HasPrefix(arn, "arn:") || len(arn) > 2048 || strings.ContainsAny(arn, "*?\x00") {
		return invalid("the resource %q is not named by an ARN without wildcards", cut(arn))
	}
	return d.change(ctx, func(c *change) error {
		// Functions come and go meanwhile. Whose it is is asked once: what is
		// written then is that one's, and a removal that this did not see yet
		// has its Sweep wait for it.
		owner, there := d.ownerOf(arn)
		if !there {
			return &NotFoundError{What: "function", Name: strings.TrimPrefix(arn, d.functionARN)}
		}
		was := ""
		before := c.resources[arn]
		if before.IsZero() || before.owner != owner {
			before = Document{}
		} else {
			was = before.text
		}
		text, err := fn(was)
		if err != nil {
			return err
		}
		if text == "" {
			if was != "" {
				delete(c.resources, arn)
				c.delete("resource/" + arn)
			}
			return nil
		}
		what := "policy of " + arn
		p, err := newDocument(policy.Resource, what, text, LimitError{Limit: MaxResourcePolicy})
		if err != nil {
			return err
		}
		if was == "" && len(c.resources) >= MaxResources {
			return &LimitError{What: "resources with policies", Limit: MaxResources}
		}
		if err := c.bind(what, p, before); err != nil {
			return err
		}
		p.owner = owner
		c.resources[arn] = p
		return c.write("resource/"+arn, p)
	})
}

// Sweep forgets the policies of functions that are no longer declared, or of
// another app now, so that a function that gets the name later does not inherit
// them. The node calls it when functions were removed.
func (d *Directory) Sweep(ctx context.Context) error {
	return d.change(ctx, func(c *change) error {
		functions := d.functions()
		for arn := range c.resources {
			if _, ok := d.resourcePolicy(c.state, arn); !ok {
				delete(c.resources, arn)
				c.delete("resource/" + arn)
			}
		}
		for name, r := range c.revoked {
			if functions[name] == nil && c.now.Sub(r.At) > MaxFunctionToken { // what it revoked has expired
				delete(c.revoked, name)
				c.delete("revoked/" + name)
			}
		}
		return nil
	})
}

// bind finds the unique IDs of the users and roles whom a new document names as
// its principals: they are meant, and not who gets their names when they are
// gone. A name of nobody is refused, as AWS does. Statements that the document
// before had, too, go on to mean whom they meant.
func (c *change) bind(what string, d, before Document) error {
	list, err := d.statements()
	if err != nil {
		return &MalformedPolicyError{what, err}
	}
	meant := map[string]bool{}
	if !before.IsZero() {
		old, err := before.statements()
		if err != nil {
			return fmt.Errorf("%w: the %s: %w", gust.ErrCorrupt, what, err)
		}
		for _, s := range old {
			meant[s.text] = true
		}
	}
	d.bound = make(map[string]string)
	ids := make(map[string]string) // the name of each
	for _, s := range list {
		for _, arn := range append(s.Principal.AWS, s.NotPrincipal.AWS...) {
			id := ""
			if meant[s.text] {
				id = before.bound[arn]
			} else if id, err = c.idOf(arn); err != nil {
				return &MalformedPolicyError{what, err}
			}
			// A document has one meaning for a name, and one name for whom it means.
			if other, ok := d.bound[arn]; ok && other != id {
				return &MalformedPolicyError{what, invalid("an earlier statement names by %q who had that name before: remove it first", cut(arn))}
			}
			if other, ok := ids[id]; ok && id != "" && other != arn {
				return &MalformedPolicyError{what, invalid("it names by %q and by %q one and the same, who was renamed: remove the statements with one of them first", cut(other), cut(arn))}
			}
			d.bound[arn], ids[id] = id, arn
		}
	}
	maps.DeleteFunc(d.bound, func(_, id string) bool { return id == "" })
	return nil
}

// idOf is the unique ID of the user or the role whom an ARN names, of a role's
// session that of the role, and empty for the account and for what is of another
// account.
func (c *change) idOf(arn string) (string, error) {
	if session, ok := strings.CutPrefix(arn, "arn:aws:sts::"+c.account+":assumed-role/"); ok {
		name, _, _ := strings.Cut(session, "/")
		if e := c.d.find(c.state, Role(name)); e != nil {
			return e.ID, nil
		}
		return "", invalid("it names a session of the role %q, which is not of this account", cut(name))
	}
	rest, ok := strings.CutPrefix(arn, c.d.place.IAM(""))
	if !ok || rest == "root" {
		return "", nil
	}
	e := c.d.byARN(c.state, arn)
	if e == nil || e.Kind == KindGroup {
		return "", invalid("it names the principal %q, who is not a user or a role of this account", cut(arn))
	}
	return e.ID, nil
}

// byARN finds a user, a group or a role by exactly its ARN, or nil.
func (d *Directory) byARN(st *state, arn string) *Entity {
	rest, ok := strings.CutPrefix(arn, d.place.IAM(""))
	if !ok {
		return nil
	}
	kind, path, _ := strings.Cut(rest, "/")
	e := d.find(st, Ref{Kind(kind), path[strings.LastIndexByte(path, '/')+1:]})
	if e == nil || e.ARN != arn {
		return nil
	}
	return e
}

// named and names read what policy documents may have one of, or a list.
type named struct {
	Principal, NotPrincipal principal
	text                    string // in one form, however it was written
}

// statements are those of a resource's or a trust policy.
func (d *document) statements() ([]named, error) {
	var doc struct{ Statement json.RawMessage }
	if err := json.Unmarshal(d.JSON(), &doc); err != nil {
		return nil, err
	}
	texts := []json.RawMessage{doc.Statement}
	if len(doc.Statement) > 0 && doc.Statement[0] == '[' {
		if err := json.Unmarshal(doc.Statement, &texts); err != nil {
			return nil, err
		}
	}
	list := make([]named, len(texts))
	for i, text := range texts {
		var compact bytes.Buffer
		if err := json.Compact(&compact, text); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &list[i]); err != nil {
			return nil, err
		}
		list[i].text = compact.String()
	}
	return list, nil
}

type principal struct{ AWS names }

func (p *principal) UnmarshalJSON(data []byte) error {
	if string(data) == `"*"` {
		return nil
	}
	type object principal
	return json.Unmarshal(data, (*object)(p))
}

type names []string

func (n *names) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*n = names{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(data, &many); err != nil {
		return errors.New("a principal is neither a text nor a list of texts")
	}
	*n = many
	return nil
}
