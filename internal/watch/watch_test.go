package watch

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// watchers are both ways to watch a folder.
var watchers = map[string]func(string) (*Watcher, error){
	"by the system": New,
	"by looking": func(root string) (*Watcher, error) {
		w := &Watcher{root: root, changes: make(chan []string), quit: make(chan struct{}), done: make(chan struct{})}
		return w, w.look(syscall.ENOSPC)
	},
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// await receives until what is wanted has been told of, and returns all that
// was.
func await(t *testing.T, w *Watcher, want string) (told []string) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		select {
		case batch := <-w.Changes():
			told = append(told, batch...)
			if slices.Contains(batch, want) {
				return told
			}
		case <-late:
			t.Fatalf("%s was not told of, but %q", want, told)
		}
	}
}

func TestChangesAreTold(t *testing.T) {
	for name, open := range watchers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			write(t, root, "a/main.js", "1")
			write(t, root, "b/old.js", "1")
			write(t, root, "node_modules/x/index.js", "1")
			w, err := open(root)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()

			write(t, root, "a/main.js", "22")
			await(t, w, "a/main.js")
			// As editors save: a new file in the place of the old one.
			write(t, root, "a/.main.js.swp", "x")
			write(t, root, "a/main.js.new", "333")
			if err := os.Rename(filepath.Join(root, "a/main.js.new"), filepath.Join(root, "a/main.js")); err != nil {
				t.Fatal(err)
			}
			told := await(t, w, "a/main.js")
			write(t, root, "c/deep/down/new.js", "1") // in folders that are new too
			told = append(told, await(t, w, "c/deep/down/new.js")...)
			write(t, root, "c/deep/down/new.js", "22")
			told = append(told, await(t, w, "c/deep/down/new.js")...)
			if err := os.Remove(filepath.Join(root, "b/old.js")); err != nil {
				t.Fatal(err)
			}
			write(t, root, "node_modules/x/index.js", "22")
			write(t, root, ".git/index", "1")
			told = append(told, await(t, w, "b/old.js")...)
			write(t, root, "last", "1")
			told = append(told, await(t, w, "last")...)
			for _, path := range told {
				if Ignored(path) {
					t.Errorf("%s was told of", path)
				}
			}
		})
	}
}

// What changes while nobody asks is told when somebody does.
func TestChangesAreKept(t *testing.T) {
	root := t.TempDir()
	w, err := New(root)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	want := []string{"a", "b", "c"}
	for _, name := range want {
		write(t, root, name, "1")
	}
	told := make(map[string]bool)
	for !slices.Equal(slices.Sorted(maps.Keys(told)), want) {
		for _, path := range <-w.Changes() {
			told[path] = true
		}
	}
}

func TestAFolderThatIsNotThere(t *testing.T) {
	if _, err := New(filepath.Join(t.TempDir(), "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the error is %v", err)
	}
}

func TestIgnored(t *testing.T) {
	for path, want := range map[string]bool{
		".":                     false,
		"gust.yaml":             false,
		"api/main.go":           false,
		"api/.env":              false,
		"api/node_modules":      true,
		"a/node_modules/b/c.js": true,
		".git/index":            true,
		"api/.cache/x":          true,
		"api/main.go~":          true,
		"api/.main.go.swp":      true,
		"api/.#main.go":         true,
		"api/#main.go#":         true,
		"api/4913":              true,
	} {
		if got := Ignored(path); got != want {
			t.Errorf("Ignored(%q) = %t", path, got)
		}
	}
}
