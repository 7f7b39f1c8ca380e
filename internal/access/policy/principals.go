package policy

import (
	"slices"
	"strings"
)

// reach is how far a resource's policy lets somebody in ("Determining whether a
// request is allowed or denied within an account" in the IAM User Guide).
type reach int

const (
	nobody reach = iota
	// delegated: the account is named. Who is of it may, if his own policies
	// say so too.
	delegated
	// bounded: the role is named. Its boundary and the session's policy count.
	bounded
	// direct: the user, the session, the service, the provider or everybody is
	// named. Nothing but a deny counts.
	direct
)

// principals are whom a statement of a resource's policy is about.
type principals struct {
	not       bool // NotPrincipal
	everybody bool
	accounts  []string
	arns      []string
	services  []string
	federated []string
	raw       string
}

// reach is how the statement bears on somebody. hasBoundary tells that he has a
// permissions boundary.
func (p *principals) reach(s *Subject, deny, hasBoundary bool) reach {
	if s == nil {
		s = &Subject{} // nobody in particular
	}
	if !p.not {
		return p.names(s)
	}
	// One who asks is several: the account, the role and the session. A deny
	// spares him only if all are listed, and an allow takes none that is; and
	// NotPrincipal with a boundary denies always, as AWS does.
	switch {
	case deny && (hasBoundary || !p.namesAll(s)), !deny && p.names(s) == nobody:
		return direct
	}
	return nobody
}

// names is how somebody is listed.
func (p *principals) names(s *Subject) reach {
	switch {
	case p.everybody,
		s.ARN != "" && slices.Contains(p.arns, s.ARN),
		s.Service != "" && slices.Contains(p.services, s.Service),
		s.Federated != "" && slices.Contains(p.federated, s.Federated):
		return direct
	case s.RoleARN != "" && slices.Contains(p.arns, s.RoleARN):
		return bounded
	case s.isOfAccount() && slices.Contains(p.accounts, s.Account):
		return delegated
	}
	return nobody
}

func (p *principals) namesAll(s *Subject) bool {
	if p.everybody || !s.isOfAccount() {
		return p.names(s) == direct
	}
	return slices.Contains(p.accounts, s.Account) &&
		(s.Kind == "root" || slices.Contains(p.arns, s.ARN)) &&
		(s.RoleARN == "" || slices.Contains(p.arns, s.RoleARN))
}

// isOfAccount tells whether the subject is the root, a user or a role.
func (s *Subject) isOfAccount() bool {
	return s != nil && s.Account != "" && s.Service == "" && s.Federated == ""
}

func (p *parser) principals(n *node, not bool) *principals {
	ps := &principals{not: not, raw: string(p.source[n.offset:n.end])}
	const want = `want "*" or an object such as {"AWS": "arn:aws:iam::ACCOUNT:user/NAME"} or {"Service": "lambda.amazonaws.com"}`
	switch {
	case n.kind == isString && n.text == "*":
		ps.everybody = true
		return ps
	case n.kind != isObject:
		p.report(n.path, n.offset, "%s, got %s", want, describe(n))
		return ps
	case len(n.members) == 0:
		p.report(n.path, n.offset, "the object is empty: %s", want)
	}
	for _, m := range n.members {
		switch m.key {
		case "AWS":
			for _, item := range p.words(m.value, "an account or an ARN") {
				p.awsPrincipal(ps, item)
			}
		case "Service":
			for _, item := range p.words(m.value, "a service such as lambda.amazonaws.com") {
				if strings.ContainsAny(item.text, "*?:/ ") || !strings.Contains(item.text, ".") {
					p.report(item.path, item.offset, "want a service such as lambda.amazonaws.com, got %s", quote(item.text))
				}
				ps.services = append(ps.services, item.text)
			}
		case "Federated":
			for _, item := range p.words(m.value, "a provider's ARN") {
				if strings.ContainsAny(item.text, "*? ") || !strings.HasPrefix(item.text, "arn:") && !strings.Contains(item.text, ".") {
					p.report(item.path, item.offset, "want an identity provider, arn:aws:iam::ACCOUNT:oidc-provider/HOST, got %s", quote(item.text))
				}
				ps.federated = append(ps.federated, item.text)
			}
		case "CanonicalUser":
			p.report(m.value.path, m.offset, `canonical users are of Amazon S3, and gust has none: name an account, {"AWS": "ACCOUNT"}`)
		default:
			p.unknownKey(m, "AWS", "Service", "Federated")
		}
	}
	return ps
}

// awsPrincipal reads one entry of {"AWS": ...}.
func (p *parser) awsPrincipal(ps *principals, n *node) {
	s := n.text
	if s == "*" {
		ps.everybody = true
		return
	}
	if isAccount(s) {
		ps.accounts = append(ps.accounts, s)
		return
	}
	if strings.ContainsAny(s, "*?") {
		p.report(n.path, n.offset, `a principal has no wildcards: name it whole, or write "*" and a condition, {"ArnLike": {"aws:PrincipalArn": %s}}`, quote(s))
		return
	}
	parts := strings.SplitN(s, ":", arnParts)
	known := len(parts) == arnParts && parts[0] == "arn" && parts[3] == "" && isAccount(parts[4])
	if known {
		kind, name, _ := strings.Cut(parts[5], "/")
		switch {
		case parts[2] == "iam" && parts[5] == "root":
			ps.accounts = append(ps.accounts, parts[4])
			return
		case parts[2] == "iam":
			known = (kind == "user" || kind == "role") && name != ""
		case parts[2] == "sts" && kind == "assumed-role":
			role, session, _ := strings.Cut(name, "/")
			known = role != "" && session != "" && !strings.Contains(session, "/")
		case parts[2] == "sts":
			known = kind == "federated-user" && name != ""
		default:
			known = false
		}
	}
	if !known {
		p.report(n.path, n.offset, `want an account of 12 digits, "*", or the ARN of an account's root, a user, a role or a role's session, got %s`, quote(s))
	}
	ps.arns = append(ps.arns, s)
}

func isAccount(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) == 12
}
