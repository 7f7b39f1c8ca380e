package artifact_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
)

// file is an entry of a forged zip.
type file struct {
	name   string
	body   string
	mode   fs.FileMode // 0 is 0644
	method uint16
	// change edits the header last.
	change func(*zip.FileHeader)
}

// forge makes a zip of exactly these entries, whatever they are.
func forge(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: f.method}
		if f.mode == 0 {
			f.mode = 0o644
			if strings.HasSuffix(f.name, "/") {
				f.mode = fs.ModeDir | 0o755
			}
		}
		h.SetMode(f.mode)
		if f.change != nil {
			f.change(h)
		}
		out, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(out, f.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// patch replaces the bytes at an offset into the n-th structure with a
// signature, counted from 0.
func patch(t testing.TB, zip []byte, signature string, n, offset int, with ...byte) []byte {
	t.Helper()
	zip = bytes.Clone(zip)
	at := 0
	for ; n >= 0; n-- {
		i := bytes.Index(zip[at:], []byte(signature))
		if i < 0 {
			t.Fatalf("no structure %q", signature)
		}
		at += i + 1
	}
	copy(zip[at-1+offset:], with)
	return zip
}

const (
	local   = "PK\x03\x04"
	central = "PK\x01\x02"
	end     = "PK\x05\x06"
)

func u32(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }

// elf is a program's header with these properties.
type elf struct {
	class, data, abi byte
	kind, machine    uint16
	loader           string
}

var static = elf{class: 2, data: 1, kind: 2, machine: 62}

func (e elf) bytes() string {
	h := make([]byte, 64)
	copy(h, "\x7fELF")
	h[4], h[5], h[6], h[7] = e.class, e.data, 1, e.abi
	order := binary.ByteOrder(binary.LittleEndian)
	if e.data == 2 {
		order = binary.BigEndian
	}
	order.PutUint16(h[16:], e.kind)
	order.PutUint16(h[18:], e.machine)
	order.PutUint64(h[32:], 64)
	order.PutUint16(h[54:], 56)
	order.PutUint16(h[56:], 2)
	load := make([]byte, 56)
	order.PutUint32(load, 1)
	second := make([]byte, 56)
	order.PutUint32(second, 1)
	if e.loader != "" {
		order.PutUint32(second, 3)
		order.PutUint64(second[8:], 64+2*56)
		order.PutUint64(second[32:], uint64(len(e.loader)+1))
	}
	return string(h) + string(load) + string(second) + e.loader + "\x00"
}

// bootstrap is a program that every function can start with.
var bootstrap = file{name: "bootstrap", body: static.bytes(), mode: 0o755}

var provided = &gust.Function{Name: "f", Runtime: gust.RuntimeProvided}

// tempDir is like t.TempDir, for what is unpacked: folders without a write bit
// would keep anybody but root from removing it.
func tempDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				err = os.Chmod(name, 0o700)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	return dir
}
