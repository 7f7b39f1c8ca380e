package identity

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// linkedPath begins the paths of roles that are linked to a service, and is that
// of AWS's policies which they alone have.
const linkedPath = "/aws-service-role/"

// linkedRoles are services of AWS's to which roles can be linked, and the names
// that their roles have there, since no rule makes the one of the other: a line
// each. After them stands "suffix" if a role's name may get one, and the policy of
// AWS's that the role has, where Gust has that.
//
//go:embed linked.txt
var linkedRoles string

// linkedRole is what is known of a service's role.
type linkedRole struct {
	name   string
	suffix bool
	policy string // its name, or empty
}

func linkedRoleOf(service string) (r linkedRole, found bool) {
	for line := range strings.Lines(linkedRoles) {
		f := strings.Fields(line)
		if f[0] != service {
			continue
		}
		r = linkedRole{name: f[1], suffix: slices.Contains(f, "suffix")}
		for _, option := range f[2:] {
			if name, ok := strings.CutPrefix(option, "policy:"); ok {
				r.policy = name
			}
		}
		return r, true
	}
	return r, false
}

// LinkedRole is what the role has to be called that is linked to a service.
func LinkedRole(service, suffix string) (path, name string, err error) {
	r, found := linkedRoleOf(service)
	if !found {
		return "", "", invalid("the service %q is none of those whose linked role Gust knows the name of (docs/ACCESS.md has them): make a role that the service may assume", cut(service))
	}
	path, name = linkedPath+service+"/", r.name
	if suffix != "" {
		if !r.suffix {
			return "", "", invalid("Custom suffix is not allowed for %s", service) // AWS's text
		}
		name += "_" + suffix
	}
	return path, name, checkName("role", name, MaxName)
}

// CreateLinkedRole makes the role that is linked to a service, which nobody
// changes. It may do nothing that counts: no service assumes it.
func (d *Directory) CreateLinkedRole(ctx context.Context, service, suffix, description string) (e *Entity, err error) {
	path, name, err := LinkedRole(service, suffix)
	if err != nil {
		return nil, err
	}
	err = d.change(ctx, func(c *change) error {
		if c.entities[Role(name).key()] != nil {
			return &ExistsError{KindRole, name}
		}
		if c.count(KindRole) >= MaxRoles {
			return &LimitError{Quota: quotas[KindRole].account, What: "roles", Limit: MaxRoles}
		}
		e = (&Entity{Kind: KindRole, Name: name, Path: path, ID: newID("AROA"), Created: c.now, Service: service}).copied()
		if err := e.setRole(description, DefaultSession); err != nil {
			return err
		}
		if r, _ := linkedRoleOf(service); r.policy != "" {
			e.Attached = []string{awsPolicies + linkedPath[1:] + r.policy}
		}
		if err := c.setTrust(e, fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":%q},"Action":"sts:AssumeRole"}]}`, service)); err != nil {
			return err
		}
		return c.put(e)
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// DeleteLinkedRole removes a role that is linked to a service, at once, and
// returns the name of the task for whoever asks later what came of it.
func (d *Directory) DeleteLinkedRole(ctx context.Context, name string) (task string, err error) {
	err = d.change(ctx, func(c *change) error {
		e := c.entities[Role(name).key()]
		if e == nil || e.Service == "" {
			return &NotFoundError{What: "role that is linked to a service", Name: name}
		}
		var id uuid.UUID
		rand.Read(id[:]) // never fails
		task = taskPrefix + e.Service + "/" + e.Name + "/" + d.seal.sign(e.Service, e.Name, id).String()
		c.drop(e)
		return nil
	})
	if err != nil {
		return "", err
	}
	return task, nil
}

// taskPrefix begins the names of deletion tasks. A deletion is done when it is
// answered, so a task is nothing but a name that only this node could have given.
const taskPrefix = "task" + linkedPath

// DeletionTask tells whose deletion a task was. Each task has succeeded.
func (d *Directory) DeletionTask(task string) (path, name string, err error) {
	parts := strings.Split(task, "/")
	if strings.HasPrefix(task, taskPrefix) && len(parts) == 5 {
		id, err := uuid.Parse(parts[4])
		if signed := d.seal.sign(parts[2], parts[3], id); err == nil && hmac.Equal([]byte(parts[4]), []byte(signed.String())) {
			return linkedPath + parts[2] + "/", parts[3], nil
		}
	}
	return "", "", &NotFoundError{What: "deletion task", Name: task}
}

// sign makes of the first half of id, which is any, a UUID whose second half only
// the node knows.
func (s *seal) sign(service, name string, id uuid.UUID) uuid.UUID {
	id[6] = id[6]&0x0f | 0x80 // a UUID of version 8, whose bits have no other meaning
	h := hmac.New(sha256.New, s.tasks)
	h.Write(id[:8])
	h.Write([]byte(service + "/" + name))
	copy(id[8:], h.Sum(nil))
	id[8] = id[8]&0x3f | 0x80
	return id
}
