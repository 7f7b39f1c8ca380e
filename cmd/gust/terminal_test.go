package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gust "github.com/gust-dev/gust"
)

func TestColoursAreForScreensAlone(t *testing.T) {
	var b bytes.Buffer
	if term := newTerminal(&b); term.colour || term.paint(red, "x") != "x" {
		t.Error("a buffer gets colours")
	}
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if newTerminal(f).colour {
		t.Error("a file gets colours")
	}
	if got := (&terminal{colour: true}).paint(red, "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("red on a screen is %q", got)
	}
}

func TestProgressIsForWhatTakesLongerThanASecond(t *testing.T) {
	for _, tt := range []struct {
		name   string
		screen bool
		want   string // after 1.5 s, 2.5 s of work and its end
	}{
		{"a pipe", false, "building a ...\n"},
		{"a screen", true, strings.Repeat("building a (1s)\r\x1b[K", 10) + strings.Repeat("building a (2s)\r\x1b[K", 5)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var b bytes.Buffer
				p := (&terminal{Writer: &b, screen: tt.screen, width: 80}).working()
				p.does("a", "building a")
				time.Sleep(950 * time.Millisecond)
				p.does("quick", "building quick")
				synctest.Wait()
				if b.Len() > 0 {
					t.Errorf("before a second: %q", &b)
				}
				p.does("quick", "")
				time.Sleep(1500 * time.Millisecond)
				synctest.Wait()
				p.does("a", "")
				p.stop()
				if b.String() != tt.want {
					t.Errorf("it says %q, want %q", &b, tt.want)
				}
			})
		})
	}
}

func TestProgressFitsTheScreen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		p := (&terminal{Writer: &b, screen: true, width: 20}).working()
		p.does("a", strings.Repeat("ä", 50))
		time.Sleep(1050 * time.Millisecond)
		synctest.Wait()
		if got := []rune(b.String()); len(got) >= 20 {
			t.Errorf("a line of %d characters on a screen of 20", len(got))
		}
		p.stop()
	})
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	if err := newTerminal(&b).table([][]string{{"NAME", "N"}, {"a", "1"}, {"longer", ""}}); err != nil {
		t.Fatal(err)
	}
	if want := "NAME    N\na       1\nlonger\n"; b.String() != want {
		t.Errorf("the table is\n%swant\n%s", &b, want)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0B", 1023: "1023B", 1024: "1KB", 1536: "1.5KB", 128 * gust.MB: "128MB", 10 * gust.GB: "10GB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestAgo(t *testing.T) {
	now := time.Now()
	for d, want := range map[time.Duration]string{
		-time.Second: "0s ago", 59 * time.Second: "59s ago", 61 * time.Second: "1m ago", 47 * time.Hour: "47h ago", 49 * time.Hour: "2d ago",
	} {
		if got := ago(now.Add(-d), now); got != want {
			t.Errorf("%v before now is %q, want %q", d, got, want)
		}
	}
}

func TestFailure(t *testing.T) {
	for doc, want := range map[string]string{
		`{"errorType":"ValueError","errorMessage":"no"}`: "ValueError: no",
		`{"errorMessage":"no"}`:                          "no",
		`{"other":1}`:                                    `{"other":1}`,
		"text\n":                                         "text",
	} {
		if got := failure([]byte(doc)); got != want {
			t.Errorf("failure(%s) = %q, want %q", doc, got, want)
		}
	}
}

func TestShells(t *testing.T) {
	const value = `it's \ "$HOME"`
	for shell, want := range map[string]string{
		"sh":   `export A='it'\''s \ "$HOME"'`,
		"fish": `set -gx A 'it\'s \\ "$HOME"'`,
	} {
		if got := shells[shell]("A", value); got != want {
			t.Errorf("%s: %s, want %s", shell, got, want)
		}
	}
}
