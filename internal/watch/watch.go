// Package watch tells which files below a folder change. It asks the system
// (inotify, kqueue, ReadDirectoryChangesW), and looks by itself where the system
// has no watches left.
//
// What nobody edits is left out: folders whose name begins with a point, those
// that tools fill (node_modules, __pycache__), and the files that editors write
// beside the one that they save.
package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long nothing may change until what did is told: tools
	// write several files, and editors a file in several steps.
	settle = 20 * time.Millisecond
	// longest is for how long what changes without end is waited for.
	longest = 200 * time.Millisecond
	// pollEvery is how often a Watcher without watches looks.
	pollEvery = 300 * time.Millisecond
)

// Watcher watches a folder until it is closed.
type Watcher struct {
	root    string
	changes chan []string
	quit    chan struct{}
	done    chan struct{} // run has ended
	polled  sync.WaitGroup
	system  *fsnotify.Watcher // nil where it looks by itself
	why     error             // then
}

// New starts to watch the folder root: all that changes from now on is told.
func New(root string) (*Watcher, error) {
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	w := &Watcher{root: root, changes: make(chan []string), quit: make(chan struct{}), done: make(chan struct{})}
	if w.system, err = fsnotify.NewWatcher(); err == nil {
		if _, err = w.add(root); err == nil {
			go w.run(w.system.Events, w.system.Errors)
			return w, nil
		}
		err = errors.Join(err, w.system.Close())
	}
	if !exhausted(err) {
		return nil, fmt.Errorf("watching %s: %w", root, err)
	}
	return w, w.look(err)
}

// look lets w look by itself, because of why.
func (w *Watcher) look(why error) error {
	w.system, w.why = nil, why
	state, err := files(w.root)
	if err != nil {
		return fmt.Errorf("watching %s: %w", w.root, err)
	}
	events := make(chan fsnotify.Event)
	go w.run(events, nil)
	w.polled.Go(func() { w.poll(state, events) })
	return nil
}

// Changes gives the paths that have changed, relative to the folder and with
// forward slashes, in order; "." when it is not known what has. What changes
// while nobody receives is kept for the next time.
func (w *Watcher) Changes() <-chan []string { return w.changes }

// Polling says why the Watcher looks by itself, or nil.
func (w *Watcher) Polling() error { return w.why }

// Close ends watching.
func (w *Watcher) Close() error {
	close(w.quit)
	<-w.done
	w.polled.Wait()
	if w.system != nil {
		return w.system.Close()
	}
	return nil
}

// exhausted reports whether the system has no watches left (inotify(7): a limit
// on watches is ENOSPC, one on instances EMFILE).
func exhausted(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// add watches a folder and those below, and returns what is there.
func (w *Watcher) add(dir string) (files []string, err error) {
	err = walk(dir, func(path string, d fs.DirEntry) error {
		if !d.IsDir() {
			files = append(files, path)
			return nil
		}
		err := w.system.Add(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has gone again
		}
		return err
	})
	return files, err
}

func (w *Watcher) run(events <-chan fsnotify.Event, errs <-chan error) {
	defer close(w.done)
	pending := make(map[string]bool) // has changed and is not told yet
	var first time.Time              // when the oldest of it changed
	var batch []string               // pending, once it has settled
	var tell chan<- []string         // then
	quiet := time.NewTimer(0)
	<-quiet.C
	changed := func(path string) {
		rel, err := filepath.Rel(w.root, path)
		if err != nil || Ignored(rel) {
			return
		}
		now := time.Now()
		if len(pending) == 0 {
			first = now
		}
		pending[filepath.ToSlash(rel)] = true
		tell = nil
		quiet.Reset(min(settle, first.Add(longest).Sub(now)))
	}
	for {
		select {
		case e := <-events:
			changed(e.Name)
			if e.Has(fsnotify.Create) && !ignoredName(filepath.Base(e.Name), true) {
				// What was made in a new folder before it was watched is new too.
				files, err := w.add(e.Name)
				if err != nil {
					changed(w.root)
				}
				for _, file := range files {
					changed(file)
				}
			}
		case <-errs: // events are lost
			changed(w.root)
		case <-quiet.C:
			batch, tell = slices.Sorted(maps.Keys(pending)), w.changes
		case tell <- batch:
			clear(pending)
			tell = nil
		case <-w.quit:
			return
		}
	}
}

// file is what tells a file from what it was.
type file struct {
	size     int64
	modified time.Time
	mode     fs.FileMode
}

// files are all files below a folder.
func files(root string) (map[string]file, error) {
	state := make(map[string]file)
	err := walk(root, func(path string, d fs.DirEntry) error {
		if d.IsDir() {
			return nil
		}
		if info, err := os.Stat(path); err == nil { // else it has gone again
			state[path] = file{info.Size(), info.ModTime(), info.Mode()}
		}
		return nil
	})
	return state, err
}

// poll looks again and again, and tells run what it sees.
func (w *Watcher) poll(before map[string]file, events chan<- fsnotify.Event) {
	timer := time.NewTimer(pollEvery)
	defer timer.Stop()
	tell := func(path string) bool {
		select {
		case events <- fsnotify.Event{Name: path, Op: fsnotify.Write}:
			return true
		case <-w.done:
			return false
		}
	}
	for {
		select {
		case <-timer.C:
		case <-w.done:
			return
		}
		start := time.Now()
		now, err := files(w.root)
		if err != nil && !tell(w.root) {
			return
		}
		for path, f := range now {
			if before[path] != f && !tell(path) {
				return
			}
		}
		for path := range before {
			if _, ok := now[path]; !ok && !tell(path) {
				return
			}
		}
		before = now
		timer.Reset(max(pollEvery, 4*time.Since(start))) // a fifth of a core at most
	}
}

// walk visits a folder and what is below it, but for what is ignored.
func walk(root string, visit func(path string, d fs.DirEntry) error) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if path == root && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil // it has gone again, or is nobody's to read
		}
		if path != root && ignoredName(d.Name(), d.IsDir()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		return visit(path, d)
	})
}

// Ignored reports whether a path, relative to what is watched, is of what
// nobody edits.
func Ignored(path string) bool {
	names := strings.Split(filepath.ToSlash(path), "/")
	for i, name := range names {
		if name != "." && ignoredName(name, i < len(names)-1) {
			return true
		}
	}
	return false
}

func ignoredName(name string, folder bool) bool {
	switch {
	case slices.Contains([]string{"node_modules", "__pycache__", ".git", ".hg", ".svn", ".venv", ".gust", ".idea", ".vscode", ".DS_Store"}, name):
		return true
	case folder:
		return strings.HasPrefix(name, ".")
	}
	return strings.HasSuffix(name, "~") || // Emacs, Vim, gedit
		strings.HasPrefix(name, ".#") || strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#") || // Emacs
		strings.HasPrefix(name, ".") && (strings.HasSuffix(name, ".swp") || strings.HasSuffix(name, ".swx") || strings.HasSuffix(name, ".swo")) || // Vim
		name == "4913" || // Vim, which tries whether it can write
		strings.HasSuffix(name, "___jb_tmp___") || strings.HasSuffix(name, "___jb_old___") || // JetBrains
		strings.HasPrefix(name, ".goutputstream-") // GLib
}
