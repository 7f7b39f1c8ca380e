package policy

// Severity is how bad a finding is.
type Severity string

const (
	// SeverityError: the document is refused.
	SeverityError Severity = "error"
	// SeverityWarning: it most likely does something else than was meant, or
	// allows more.
	SeverityWarning Severity = "warning"
	// SeverityNote: worth knowing.
	SeverityNote Severity = "note"
)

// Finding is one thing that a look at a document found.
type Finding struct {
	Severity Severity `json:"severity"`
	// Line and Column count from 1, columns in characters.
	Line   int `json:"line"`
	Column int `json:"column"`
	// Path is where, such as "Statement[2].Condition"; Statement is the Sid of
	// the statement, or "#2", or empty.
	Path      string `json:"path"`
	Statement string `json:"statement,omitempty"`
	// Text says what is wrong, and Do what to do.
	Text string `json:"text"`
	Do   string `json:"do"`
}

// Lint looks a document over. Its kind is told from what its statements have: a
// principal makes it a resource's policy, or a trust policy if there is no
// resource. The findings are in the order of the document.
func Lint(doc []byte) []Finding { return nil }
