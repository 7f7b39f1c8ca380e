package gust

// Grant is one statement of what a function may do, or may not.
type Grant struct {
	Sid    string `json:"sid,omitempty"`
	Effect Effect `json:"effect"`
	// Actions are "service:Operation", with * and ? for any.
	Actions []string `json:"actions"`
	// Resources are references ("function:worker"), ARNs, or "*".
	Resources []string `json:"resources"`
	// When are conditions as IAM documents have them: operator, key, values.
	When map[string]map[string][]string `json:"when,omitempty"`
}

// Effect is what a statement does.
type Effect string

const (
	Allow Effect = "allow"
	Deny  Effect = "deny"
)
