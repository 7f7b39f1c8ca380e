package identity

import (
	"fmt"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access/policy"
)

// NotFoundError: there is nobody and nothing of that name. (AWS: NoSuchEntity.)
type NotFoundError struct {
	Kind Kind   // of what is not there; empty where there is none for it
	Of   Kind   // of what it would be on, if it is an inline policy
	What string // "user", "managed policy", "inline policy of role deploy"
	Name string
}

func (e *NotFoundError) Error() string { return fmt.Sprintf("there is no %s %q", e.What, cut(e.Name)) }
func (e *NotFoundError) Unwrap() error { return gust.ErrNotFound }

// missing says that there is none of the name, in the kind's own words.
func missing(kind Kind, name string) error { return &NotFoundError{kind, "", string(kind), name} }

// ExistsError: the name is taken, regardless of case. (AWS:
// EntityAlreadyExists.)
type ExistsError struct {
	Kind Kind
	Name string
}

func (e *ExistsError) Error() string {
	return fmt.Sprintf("the %s %q is there already: names are told apart without regard to case", e.Kind, cut(e.Name))
}
func (e *ExistsError) Unwrap() error { return gust.ErrConflict }

// LimitError: a quota is used up. (AWS: LimitExceeded.)
type LimitError struct {
	Quota Quota
	Of    Ref    // whose it is, of QuotaInline and QuotaVersions
	What  string // "access keys of user alice"
	Limit int
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("the limit of %s is %d, and there would be more", e.What, e.Limit)
}
func (e *LimitError) Unwrap() error { return gust.ErrTooLarge }

// InUseError: something that hangs on it has to go first. (AWS:
// DeleteConflict.)
type InUseError struct {
	Kind Kind
	Name string
	Has  Kind   // of what hangs on it; empty of a policy that is attached, or the default version
	By   string // "it has 2 access keys: delete them first"
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("the %s %q cannot be deleted: %s", e.Kind, cut(e.Name), e.By)
}
func (e *InUseError) Unwrap() error { return gust.ErrConflict }

// InvalidError: a name, a path, a tag or a number is not what it may be. (AWS:
// ValidationError, InvalidInput.)
type InvalidError struct{ Text string }

func (e *InvalidError) Error() string { return e.Text }
func (e *InvalidError) Unwrap() error { return gust.ErrInvalid }

func invalid(format string, args ...any) error { return &InvalidError{fmt.Sprintf(format, args...)} }

// MalformedPolicyError: a document cannot be read, or names somebody who is not
// there. (AWS: MalformedPolicyDocument.)
type MalformedPolicyError struct {
	Policy string // what it was to be: "inline policy send of role worker"
	Err    error
}

func (e *MalformedPolicyError) Error() string { return fmt.Sprintf("the %s: %v", e.Policy, e.Err) }
func (e *MalformedPolicyError) Unwrap() error { return e.Err }

// UnmodifiableError: it is made of something else than this directory, and
// changes with that. (AWS: UnmodifiableEntity.)
type UnmodifiableError struct{ Name, Instead string }

func (e *UnmodifiableError) Error() string {
	return fmt.Sprintf("%s cannot be changed here: %s", cut(e.Name), e.Instead)
}
func (e *UnmodifiableError) Unwrap() error { return gust.ErrConflict }

// NotAttachableError: a policy is that of a role which is linked to a service.
// (AWS: PolicyNotAttachable.)
type NotAttachableError struct{ ARN string }

func (e *NotAttachableError) Error() string {
	return fmt.Sprintf("the policy %q is for the role that is linked to its service, and cannot be attached to another, or bound one", cut(e.ARN))
}
func (e *NotAttachableError) Unwrap() error { return gust.ErrInvalid }

// PackedError: what a session brings is too large for a token. (AWS:
// PackedPolicyTooLarge.)
type PackedError struct {
	What        string // "policies and tags"
	Size, Limit int
}

func (e *PackedError) Error() string {
	return fmt.Sprintf("the session's %s have %d bytes together, at most %d are allowed", e.What, e.Size, e.Limit)
}
func (e *PackedError) Unwrap() error { return gust.ErrTooLarge }

// UntrustedError: nobody here vouches for a web identity's token: its issuer is
// no provider, its audience is not one of the provider's clients, or two of its
// claims are one condition key. (AWS: InvalidIdentityToken.)
type UntrustedError struct{ Text string }

func (e *UntrustedError) Error() string { return e.Text }
func (e *UntrustedError) Unwrap() error { return gust.ErrInvalid }

// DeniedError: a policy does not allow it. Its text is AWS's. (AWS:
// AccessDenied.)
type DeniedError struct {
	Principal, Action, Resource string
	Decision                    policy.Decision
}

func (e *DeniedError) Error() string {
	text := "User: " + e.Principal + " is not authorized to perform: " + e.Action + " on resource: " + cut(e.Resource)
	if reason := e.Decision.Reason(e.Action); reason != "" {
		text += " " + reason
	}
	return text
}

// cut keeps what a caller sent from filling a log.
func cut(s string) string { return gust.Clip(s, 300) }
