package store

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	gust "github.com/gust-dev/gust"
)

func putBlob(t testing.TB, s *Store, content string) gust.Digest {
	t.Helper()
	d, n, err := s.Blobs().Put(context.Background(), strings.NewReader(content), 1<<20)
	if err != nil || n != int64(len(content)) {
		t.Fatal(n, err)
	}
	return d
}

// checkNames runs Check and returns the files it found damaged.
func checkNames(t testing.TB, dir string) (bad []string, err error) {
	t.Helper()
	err = Check(context.Background(), dir, func(file string, err error) {
		if err != nil {
			if !errors.Is(err, gust.ErrCorrupt) {
				t.Errorf("%s: %v is not ErrCorrupt", file, err)
			}
			bad = append(bad, file)
		}
	})
	return bad, err
}

func TestBackupIsOneCutWhileTheStoreRuns(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, tune: busy})
	named := putBlob(t, s, "named")
	set(t, s, "blobs", "one", string(named))
	ctx := context.Background()

	stop := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	acked := map[string]int{}
	for c := range 4 {
		wg.Go(func() {
			p := Partition(fmt.Sprint("p", c))
			for i := 1; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				// a, b and the timer change together
				err := s.Update(ctx, p, func(tx *Tx) error {
					v := fmt.Appendf(nil, "%d", i)
					tx.Set([]byte("a"), v)
					tx.Set([]byte("b"), append(v, bytes.Repeat([]byte("x"), 500)...))
					return tx.SetTimer(Timer{ID: "t", Kind: "k", At: tx.Now(), Payload: v})
				})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked[string(p)] = i
				mu.Unlock()
			}
		})
	}
	for round := range 5 {
		mu.Lock()
		before := map[string]int{}
		for p, i := range acked {
			before[p] = i
		}
		mu.Unlock()
		swept := putBlob(t, s, fmt.Sprint("swept while it runs ", round))
		set(t, s, "blobs", "two", string(swept))
		var out bytes.Buffer
		w := writerFunc(func(p []byte) (int, error) {
			// In the middle of the stream the blob is deleted.
			if swept != "" {
				if err := s.Blobs().Delete(swept); err != nil {
					t.Error(err)
				}
				if ok, err := s.Blobs().Has(swept); ok || err != nil {
					t.Error("a deleted blob is still seen", err)
				}
				swept = ""
			}
			return out.Write(p)
		})
		if err := Backup(ctx, s, w); err != nil {
			t.Fatal(err)
		}
		if left, _ := s.Blobs().List(); len(left) != 1 {
			t.Errorf("after the backup %d blobs are left, want 1", len(left))
		}
		to := filepath.Join(t.TempDir(), "deep", "new")
		if err := Restore(ctx, &out, to); err != nil {
			t.Fatal(err)
		}
		if bad, err := checkNames(t, to); err != nil {
			t.Error(bad, err)
		}
		r := open(t, Options{Dir: to})
		for p, i := range before {
			if err := r.View(Partition(p), func(v *Snapshot) error {
				a, _ := v.Get([]byte("a"))
				b, _ := v.Get([]byte("b"))
				tm, err := v.Timer("t")
				var n int
				fmt.Sscan(string(a), &n)
				if n < i || !strings.HasPrefix(string(b), string(a)+"x") || string(tm.Payload) != string(a) {
					t.Errorf("%s: acknowledged %d, restored a=%s b=%.9s t=%s", p, i, a, b, tm.Payload)
				}
				return err
			}); err != nil {
				t.Error(err)
			}
		}
		for _, k := range []string{"one", "two"} {
			d, err := get(r, "blobs", k)
			if err != nil {
				t.Fatal(err)
			}
			b, err := r.Blobs().Open(gust.Digest(d))
			if err != nil {
				t.Fatalf("the blob named by %q is not in the cut: %v", k, err)
			}
			b.Close()
		}
		r.Close()
	}
	close(stop)
	wg.Wait()
	if names, _ := os.ReadDir(filepath.Join(dir, checkpointDir)); len(names) > 0 {
		t.Errorf("backups left %v", names)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func backup(t testing.TB) []byte {
	t.Helper()
	s := open(t, Options{FS: vfs.NewMem()})
	set(t, s, "p", "k", "v")
	putBlob(t, s, "content")
	var out bytes.Buffer
	if err := Backup(context.Background(), s, &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestRestoreIsAllOrNothing(t *testing.T) {
	whole := backup(t)
	ctx := context.Background()
	try := func(stream []byte) (*vfs.MemFS, error) {
		mem := vfs.NewMem()
		return mem, restore(ctx, mem, bytes.NewReader(stream), "/new")
	}
	mem, err := try(whole)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, Options{FS: mem, Dir: "/new"})
	if v, err := get(s, "p", "k"); v != "v" {
		t.Error(v, err)
	}
	s.Close()
	if err := restore(ctx, mem, bytes.NewReader(whole), "/new"); !errors.Is(err, gust.ErrConflict) {
		t.Errorf("restoring over a data folder: %v", err)
	}
	for name, stream := range map[string][]byte{
		"empty":      nil,
		"cut":        whole[:len(whole)/2],
		"no sums":    whole[:len(whole)-3072],
		"foreign":    archiveOf(t, "etc/passwd", "x"),
		"upwards":    archiveOf(t, "store/../../x", "x"),
		"absolute":   archiveOf(t, "/store/x", "x"),
		"bad blob":   archiveOf(t, "blobs/aa/aa", "x"),
		"new format": archiveOf(t, "FORMAT", "gust 2\n"),
		"only sums":  archiveOf(t, "SUMS", ""),
	} {
		mem, err := try(stream)
		if err == nil {
			t.Errorf("%s: restored", name)
		}
		if _, serr := mem.Stat("/new"); serr == nil {
			t.Errorf("%s: something is left (%v)", name, err)
		}
	}
	for i := 0; i < len(whole); i += 97 {
		bad := bytes.Clone(whole)
		bad[i] ^= 4
		mem, err := try(bad)
		if err != nil {
			if _, serr := mem.Stat("/new"); serr == nil {
				t.Errorf("byte %d: something is left", i)
			}
			continue
		}
		s, err := tryOpen(t, Options{FS: mem, Dir: "/new"})
		if err != nil {
			t.Errorf("byte %d: restored, but %v", i, err)
			continue
		}
		if v, err := get(s, "p", "k"); v != "v" {
			t.Errorf("byte %d: restored %q, %v", i, v, err)
		}
		s.Close()
	}
}

func archiveOf(t testing.TB, name, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, content)
	w.Close()
	return b.Bytes()
}

func TestAnUnfinishedRestoreIsRefused(t *testing.T) {
	mem := vfs.NewMem()
	if err := makeDir(mem, "/data"); err != nil {
		t.Fatal(err)
	}
	if err := writeSmall(mem, "/data", restoringFile, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := tryOpen(t, Options{FS: mem}); !errors.Is(err, gust.ErrCorrupt) || !strings.Contains(err.Error(), "did not finish") {
		t.Error(err)
	}
}

func TestCheckpointHoldsWhatWasAcknowledged(t *testing.T) {
	s := open(t, Options{tune: busy, Durability: DurabilityInterval})
	for i := range 100 {
		set(t, s, "p", fmt.Sprint(i), strings.Repeat("x", 1000))
	}
	dir := filepath.Join(t.TempDir(), "cut")
	if err := s.Checkpoint(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Checkpoint(dir); err == nil {
		t.Error("a checkpoint over another one")
	}
	data := t.TempDir()
	if err := errors.Join(WriteFormat(data), os.Rename(dir, filepath.Join(data, "store"))); err != nil {
		t.Fatal(err)
	}
	if got := len(dump(t, open(t, Options{Dir: data}), "p")); got != 100 {
		t.Errorf("%d of 100 keys", got)
	}
}

func TestCheckNamesWhatIsDamaged(t *testing.T) {
	src := t.TempDir()
	s := open(t, Options{Dir: src, tune: busy})
	for i := range 200 {
		if err := step(s, i); err != nil {
			t.Fatal(err)
		}
	}
	blob := putBlob(t, s, "a blob")
	if _, err := checkNames(t, src); !errors.As(err, new(*InUseError)) {
		t.Errorf("checking a folder in use: %v", err)
	}
	s.Close()
	if bad, err := checkNames(t, src); err != nil {
		t.Fatal(bad, err)
	}
	blobFile := filepath.Join("blobs", string(blob[:2]), string(blob))
	for _, glob := range []string{"store/*.sst", "store/MANIFEST-*", "FORMAT", blobFile} {
		dir := filepath.Join(t.TempDir(), "data")
		if err := os.CopyFS(dir, os.DirFS(src)); err != nil {
			t.Fatal(err)
		}
		found, err := filepath.Glob(filepath.Join(dir, glob))
		if err != nil || len(found) == 0 {
			t.Fatal(glob, found, err)
		}
		file := found[0]
		if strings.Contains(glob, "MANIFEST") {
			file = found[len(found)-1]
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/3] ^= 0x10
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		bad, err := checkNames(t, dir)
		if !errors.Is(err, gust.ErrCorrupt) || len(bad) == 0 {
			t.Errorf("%s: %v, %v", file, bad, err)
		}
		var text string
		Check(context.Background(), dir, func(f string, err error) {
			if err != nil {
				text += f + err.Error()
			}
		})
		if !strings.Contains(text, filepath.Base(file)) {
			t.Errorf("%s: the check says %s", file, text)
		}
	}
	if _, err := checkNames(t, t.TempDir()); !errors.Is(err, gust.ErrNotFound) {
		t.Errorf("checking an empty folder: %v", err)
	}
}

func FuzzRestore(f *testing.F) {
	f.Add(backup(f))
	f.Add(archiveOf(f, "SUMS", ""))
	f.Add(archiveOf(f, "store/../x", "x"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		mem := vfs.NewMem()
		err := restore(context.Background(), mem, bytes.NewReader(stream), "/new")
		_, left := mem.Stat("/new")
		if err != nil && left == nil {
			t.Errorf("refused (%v), but something is left", err)
		}
		if names, _ := mem.List("/"); len(names) > 1 || len(names) == 1 && names[0] != "new" {
			t.Errorf("it wrote %q", names)
		}
	})
}

func FuzzSums(f *testing.F) {
	f.Add("")
	f.Add(strings.Repeat("0", 64) + " 7 FORMAT\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseSums(text)
		if err != nil {
			return
		}
		if lines := strings.Count(text, "\n"); lines != len(all) {
			t.Errorf("%d lines give %d sums", lines, len(all))
		}
	})
}
