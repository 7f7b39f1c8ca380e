//go:build linux && (amd64 || arm64)

package process

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

// TestStarterIsMadeFromItsSource: starter.txt names the source and both images
// by digest; where the same compilers are installed, they are made again.
func TestStarterIsMadeFromItsSource(t *testing.T) {
	note, err := os.ReadFile("starter/starter.txt")
	if err != nil {
		t.Fatal(err)
	}
	sum := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s := sha256.Sum256(b)
		return hex.EncodeToString(s[:])
	}
	for _, line := range []string{
		"source " + sum("starter/start.c"),
		"amd64 image " + sum("starter/starter_amd64.bin"),
		"arm64 image " + sum("starter/starter_arm64.bin"),
	} {
		if !strings.Contains(string(note), line+"\n") {
			t.Errorf("starter.txt does not say %q: run go generate in this folder", line)
		}
	}
	for _, cc := range []string{"x86_64-linux-gnu-gcc", "aarch64-linux-gnu-gcc"} {
		if _, err := exec.LookPath(cc); err != nil {
			t.Skipf("the images are not made again: %v", err)
		}
	}
	out := t.TempDir()
	if text, err := exec.Command("sh", "starter/build.sh", out).CombinedOutput(); err != nil {
		t.Fatalf("starter/build.sh: %v\n%s", err, text)
	}
	again, err := os.ReadFile(filepath.Join(out, "starter.txt"))
	if err != nil {
		t.Fatal(err)
	}
	tools := func(b []byte) string {
		var lines []string
		for line := range strings.Lines(string(b)) {
			if strings.Contains(line, " compiler ") || strings.Contains(line, " linker ") {
				lines = append(lines, line)
			}
		}
		return strings.Join(lines, "")
	}
	if tools(note) != tools(again) {
		t.Skipf("the images were made with other compilers, here are:\n%s", tools(again))
	}
	if !bytes.Equal(note, again) {
		t.Errorf("made again it is another:\n%s\ninstead of\n%s", again, note)
	}
}
