package identity

import "github.com/gust-dev/gust/internal/access/policy"

// Layers are all documents that bound what a user or a role may do, or those of
// a group, by its ARN, and who that is to policies: for simulations.
func (d *Directory) Layers(arn string) (policy.Layers, policy.Subject, error) {
	st := d.state.Load()
	e := d.byARN(st, arn)
	if e == nil {
		return policy.Layers{}, policy.Subject{}, &NotFoundError{"user, group or role", arn}
	}
	if e.Kind == KindGroup {
		return policy.Layers{Identity: st.attached(nil, e)}, policy.Subject{}, nil
	}
	subject, err := d.Subject(arn)
	return st.compiled(e).layers, subject, err
}

// Subject is who a user, a role, a role's session or root is to policies.
func (d *Directory) Subject(arn string) (policy.Subject, error) {
	c, err := d.callerOf(arn)
	if err != nil {
		return policy.Subject{}, err
	}
	p := c.Principal
	return policy.Subject{Kind: string(p.Kind), ARN: p.ARN, RoleARN: p.RoleARN, Account: p.Account, ID: p.ID, Name: p.Name}, nil
}
