package manifest

import (
	"cmp"
	"slices"
	"strconv"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/manifest/rules"
)

// Problem is one thing that is wrong with a manifest.
type Problem struct {
	File string `json:"file"`
	// Line and Column count from 1, columns in characters. They are 0 when
	// the problem is the whole file's.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Text begins with the path of what is wrong ("functions.api.memory: "),
	// and says what would be right.
	Text string `json:"text"`
}

// String is the form that editors and terminals know how to jump to:
// "gust.yaml:12:5: functions.api.memory: ...".
func (p Problem) String() string {
	where := p.File
	if p.Line > 0 {
		where += ":" + strconv.Itoa(p.Line) + ":" + strconv.Itoa(max(p.Column, 1))
	}
	return where + ": " + p.Text
}

// Problems is everything that is wrong with a manifest, in the order of the
// file. It is a gust.ErrInvalid.
type Problems []Problem

func (ps Problems) Error() string { return rules.Lines(ps, " problems") }

// Is makes errors.Is(err, gust.ErrInvalid) true.
func (Problems) Is(target error) bool { return target == gust.ErrInvalid }

func (ps Problems) sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Text, b.Text))
	})
}
