package sandboxtest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestThreatModelNamesItsEvidence: each subtest that docs/THREAT-MODEL.md names
// is there, by its words in this package's source, and each attack of the suite
// is named there.
func TestThreatModelNamesItsEvidence(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/THREAT-MODEL.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(text)
		}
	}
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`((?:api|attack|exhaust|network|invoke|output|lifecycle|freeze|http|limits|pool)/([^`]+))`").FindAllStringSubmatch(string(doc), -1) {
		named[m[2]] = true
		// "what all share: inotify" is put together from two words; so are the
		// names that begin with "with ".
		for word := range strings.SplitSeq(strings.TrimPrefix(m[2], "with processes that "), ": ") {
			if !strings.Contains(source.String(), `"`+word+`"`) && !strings.Contains(source.String(), `"`+word+`: "`) {
				t.Errorf("docs/THREAT-MODEL.md names %q, and there is no such subtest", m[1])
			}
		}
	}
	if len(named) < 60 {
		t.Errorf("%d subtests are named; are they still found?", len(named))
	}
	for _, m := range regexp.MustCompile(`\{name: "([^"]+)", do: `).FindAllStringSubmatch(source.String(), -1) {
		if !named[m[1]] {
			t.Errorf("the attack %q shows nothing that docs/THREAT-MODEL.md claims", m[1])
		}
	}
}
