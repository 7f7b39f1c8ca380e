package runtimes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/gust-dev/gust/internal/runtimes/client"
)

// addClients puts the files of package client into a folder of the root.
func addClients(r root, dir string) error {
	return fs.WalkDir(client.Files, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(client.Files, p)
		r.addText(path.Join(dir, p), string(text))
		return err
	})
}

// clientsPrefix begins the name of the folder that has the clients on a node
// without isolation; the rest is their digest.
const clientsPrefix = "clients-"

// openClients puts the clients where functions without isolation find them.
func (l *Roots) openClients() error {
	r := root{"/": folder()}
	if err := addClients(r, "/"); err != nil {
		return err
	}
	l.clients = filepath.Join(l.Dir, clientsPrefix+r.fingerprint()[:12])
	old, err := filepath.Glob(filepath.Join(l.Dir, clientsPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range old { // one of this release too: nobody answers for what is in it
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err == nil {
		err = r.write(l.ctx, l.clients)
	}
	if err != nil {
		return fmt.Errorf("write the runtime clients: %w", explain(err))
	}
	return nil
}
