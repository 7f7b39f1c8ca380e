// Package suggest finds the word that was meant by one that is not known.
package suggest

import (
	"fmt"
	"iter"
	"strings"
)

// Word returns `, did you mean "memory"?` for a word that is close to a
// known one, or "". Two mistakes are allowed, and one in a short word.
func Word(got string, known iter.Seq[string]) string {
	limit := 2
	if len(got) <= 4 {
		limit = 1
	}
	best, at := "", limit+1
	for k := range known {
		if d := distance(got, k, limit); d < at || d == at && at <= limit && k < best {
			best, at = k, d
		}
	}
	if at > limit || best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// distance counts the characters to insert, remove, replace or swap with their
// neighbour to turn a into b (the optimal string alignment distance), upper and
// lower case being the same. What is over the limit may be any number over it.
func distance(a, b string, limit int) int {
	const longest = 64
	if d := len(a) - len(b); d > limit || -d > limit {
		return limit + 1
	}
	a, b = strings.ToLower(a), strings.ToLower(b)
	if len(a) > longest || len(b) > longest { // some letters grow
		return limit + 1
	}
	var rows [3][longest + 1]int
	for j := range len(b) + 1 {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		row, above := &rows[i%3], &rows[(i+2)%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, above[j]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], rows[(i+1)%3][j-2]+1)
			}
		}
	}
	return rows[len(a)%3][len(b)]
}
