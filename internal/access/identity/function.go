package identity

import (
	"crypto/sha256"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access/policy"
)

// functionTrust is the trust policy that functions' roles show. Nobody assumes
// them by it: the node alone makes their sessions (FunctionSession).
const functionTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

// functionRole is the own role of a declared function, made of what is declared
// of it now, or nil if it is not declared.
func (d *Directory) functionRole(name string) *Entity {
	f := d.functions()[name]
	if f == nil {
		d.roles.Delete(name)
		return nil
	}
	if v, ok := d.roles.Load(name); ok && v.(*functionEntity).of == f {
		return v.(*functionEntity).Entity
	}
	e := d.newFunctionRole(f)
	d.roles.Store(name, &functionEntity{e, f})
	return e
}

// functionEntity is the role of a function as it was declared. Functions in the
// catalog do not change: another declaration is another pointer.
type functionEntity struct {
	*Entity
	of *gust.Function
}

func (d *Directory) newFunctionRole(f *gust.Function) *Entity {
	// A function has no ID of its own that outlives a deploy. Its app is part
	// of what it is: another app's function of the same name is somebody else.
	sum := sha256.Sum256([]byte("gust function role\x00" + d.place.Account + "\x00" + f.App + "\x00" + f.Name))
	e := &Entity{
		Kind: KindRole, Name: functionPrefix + f.Name, Path: functionPath, ID: "AROA" + idEncoding.EncodeToString(sum[:10]),
		ARN:     iamARN(d.place, KindRole, functionPath, functionPrefix+f.Name),
		Created: f.Modified, Description: "The own role of function " + f.Name + " of app " + f.App + ".",
		MaxSession: MaxFunctionToken, Function: f.Name, rights: new(rights),
	}
	e.Trust = Document{&document{kind: policy.Trust, text: functionTrust}}
	if len(f.Policy) == 0 {
		return e
	}
	doc, err := policy.FromGrants(d.place, f.Policy)
	if err != nil { // the catalog has accepted it, so it is read by other rules
		d.log.Error("a function's policy cannot be read, and allows nothing: deploy the function again", "function", f.Name, "error", err)
		return e
	}
	e.Inline = map[string]Document{"policy": {&document{kind: policy.Identity, text: string(doc.JSON()), doc: doc}}}
	return e
}

// FunctionSession makes the credentials of one environment of a function, for
// ttl. They are those of the function's own role, and end with the function.
func (d *Directory) FunctionSession(function, environment string, ttl time.Duration) (*Session, error) {
	e := d.functionRole(function)
	if e == nil {
		return nil, &NotFoundError{What: "function", Name: function}
	}
	if err := checkSessionName("environment", environment); err != nil {
		return nil, err
	}
	if ttl < MinFunctionToken || ttl > MaxFunctionToken {
		return nil, invalid("the credentials of function %s are to last %v: want %v to %v", function, ttl, MinFunctionToken, MaxFunctionToken)
	}
	d.state.Load().compiled(e) // ready when they are first used
	return d.issue(e, ttl, claims{Function: function, Session: environment})
}
