package aws

import (
	"bytes"
	_ "embed"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gust-dev/gust/internal/aws/wire"
)

var update = flag.Bool("update", false, "write docs/compatibility.md anew")

// TestCompatibilityPage: the page says what the tables say.
func TestCompatibilityPage(t *testing.T) {
	const file = "../../docs/compatibility.md"
	all := services(&Options{Now: time.Now})
	if _, err := wire.New(wire.Options{Services: all}); err != nil {
		t.Fatal(err) // a table does not have every operation of its model
	}
	var b bytes.Buffer
	b.WriteString(intro)
	for _, s := range all {
		section(&b, s)
	}
	b.WriteString(programs)
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b.Bytes()) {
		t.Errorf("docs/compatibility.md is not what the tables of operations say: run go test ./internal/aws -run TestCompatibilityPage -update")
	}
}

func section(b *bytes.Buffer, s *wire.Service) {
	protocols := make([]string, len(s.Protocols))
	for i, p := range s.Protocols {
		protocols[i] = p.String()
	}
	done, refused := 0, 0
	for _, op := range s.Operations {
		if op.CarriedOut() {
			done++
		} else {
			refused++
		}
	}
	fmt.Fprintf(b, "\n## %s (%s)\n\n%s, version %s. %d operations are carried out, %d are refused.\n", s.Title, s.Name, strings.Join(protocols, ", "), s.Version, done, refused)
	sorted := slices.SortedFunc(slices.Values(s.Operations), func(a, b wire.Operation) int { return strings.Compare(a.Name, b.Name) })
	b.WriteString("\n### Carried out\n\n| operation | how |\n|---|---|\n")
	for _, op := range sorted {
		if op.CarriedOut() {
			fmt.Fprintf(b, "| %s | %s |\n", op.Name, op.Note)
		}
	}
	b.WriteString("\n### Refused\n\n| operation | instead |\n|---|---|\n")
	for _, op := range sorted {
		if !op.CarriedOut() {
			fmt.Fprintf(b, "| %s | %s |\n", op.Name, op.Note)
		}
	}
	if s.Page != "" {
		b.WriteString("\n" + s.Page)
	}
}

//go:embed testdata/intro.md
var intro string

//go:embed testdata/programs.md
var programs string
