package artifact_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/artifact"
)

// amd64 makes the tests the same on every machine.
var amd64 = artifact.Inspector{GOARCH: "amd64", Loaders: []string{"/lib64/ld-linux-x86-64.so.2"}}

func inspect(zip []byte, f *gust.Function) error {
	return amd64.Inspect(bytes.NewReader(zip), int64(len(zip)), f)
}

func unpack(t *testing.T, zip []byte) (string, error) {
	dir := filepath.Join(tempDir(t), "code")
	return dir, artifact.Unpack(t.Context(), bytes.NewReader(zip), int64(len(zip)), dir)
}

// tree makes a folder: names ending in a slash are folders, "-> " contents
// links, "#!" contents executable.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, ok := strings.CutPrefix(body, "-> "); ok {
			err = os.Symlink(to, path)
		} else if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o755)
		} else if strings.HasPrefix(body, "#!") {
			err = os.WriteFile(path, []byte(body), 0o711)
		} else {
			err = os.WriteFile(path, []byte(body), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func pack(t *testing.T, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := artifact.Pack(t.Context(), &b, dir, artifact.PackOptions{}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// contents reads a folder back, with what is not a plain readable file marked.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := make(map[string]string)
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if d.IsDir() {
			got[name] = info.Mode().String()
			return nil
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		got[name] = info.Mode().String() + " " + string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestPackThenUnpack(t *testing.T) {
	dir := tree(t, map[string]string{
		"bootstrap": "#!/bin/sh\n", "lib/a.txt": "a", "lib/deep/b": "b", "lib.txt": "", "é": "unicode",
		"link": "-> lib/a.txt", ".git/config": "x", "lib/.git": "gitdir: x", ".env": "hidden", "empty/": "",
	})
	zip := pack(t, dir)
	if err := inspect(zip, provided); err != nil {
		t.Error(err)
	}
	got, err := unpack(t, zip)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"bootstrap": "-r-xr-xr-x #!/bin/sh\n", "lib": "dr-xr-xr-x", "lib/a.txt": "-r--r--r-- a", "lib/deep": "dr-xr-xr-x",
		"lib/deep/b": "-r--r--r-- b", "lib.txt": "-r--r--r-- ", "é": "-r--r--r-- unicode", "link": "-r--r--r-- a", ".env": "-r--r--r-- hidden",
	}
	if c := contents(t, got); !reflect.DeepEqual(c, want) {
		t.Errorf("got %v\nwant %v", c, want)
	}
	if left, _ := os.ReadDir(filepath.Dir(got)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	// What was unpacked packs to the same bytes.
	if !bytes.Equal(pack(t, got), zip) {
		t.Error("packing what was unpacked makes another zip")
	}
}

func TestPackIsDeterministic(t *testing.T) {
	files := map[string]string{"b/c": "1", "b.txt": "2", "a": "#!/bin/sh", "B2": "3"}
	one, two := tree(t, files), tree(t, files)
	if err := os.Chtimes(filepath.Join(two, "a"), fixedTime, fixedTime); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(two, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(pack(t, one), pack(t, two)) {
		t.Error("the same files make different zips")
	}
	// The bytes themselves are a promise: a new version of Gust must not make
	// every app look changed.
	d, _, err := gust.DigestOf(bytes.NewReader(pack(t, one)))
	if err != nil {
		t.Fatal(err)
	}
	if want := gust.Digest("e862d44fa666c0c467bdcc76d50677515e7399cd406a3edc2b0370b2c79f6427"); d != want {
		t.Errorf("the digest is %s, it was %s", d, want)
	}
}

func TestPackRefuses(t *testing.T) {
	fifo := tree(t, nil)
	if err := syscall.Mkfifo(filepath.Join(fifo, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	outside := tree(t, map[string]string{"secret": "x"})
	tests := []struct{ dir, want string }{
		{filepath.Join(outside, "nowhere"), "no such file or directory"},
		{tree(t, map[string]string{"l": "-> " + filepath.Join(outside, "secret")}), `"l" is a symbolic link that leads nowhere, or out of the folder`},
		{tree(t, map[string]string{"l": "-> ../../../../../etc/passwd"}), `"l" is a symbolic link that leads nowhere, or out of the folder`},
		{tree(t, map[string]string{"l": "-> l"}), `"l" is a symbolic link that leads nowhere`},
		{tree(t, map[string]string{"l": "-> d", "d/x": ""}), `"l" is a symbolic link to a folder`},
		{fifo, `"pipe" is neither a file nor a folder`},
		{tree(t, map[string]string{"Readme": "", "README": ""}), `"README" and "Readme" differ in case alone`},
		{tree(t, map[string]string{`a\b`: ""}), `"a\\b" holds a backslash`},
		{tree(t, map[string]string{"a\nb": ""}), `"a\nb" holds the control character U+000A`},
		{tree(t, map[string]string{"\xff": ""}), `"\xff": the name is not UTF-8`},
	}
	for _, test := range tests {
		err := artifact.Pack(t.Context(), io.Discard, test.dir, artifact.PackOptions{})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}

	large := tree(t, map[string]string{"large": ""})
	if err := os.Truncate(filepath.Join(large, "large"), gust.MaxArtifact+1); err != nil {
		t.Fatal(err)
	}
	if err := artifact.Pack(t.Context(), io.Discard, large, artifact.PackOptions{}); !errors.Is(err, gust.ErrTooLarge) {
		t.Errorf("a folder that is too large: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if err := artifact.Pack(ctx, io.Discard, large, artifact.PackOptions{}); err == nil || err.Error() != "enough" {
		t.Errorf("a cancelled context: %v", err)
	}
}

func TestPackSkips(t *testing.T) {
	dir := tree(t, map[string]string{"bootstrap": "#!/bin/sh\n", "out/x": "x", "gust.yaml": "app: a"})
	var b bytes.Buffer
	skip := func(name string) bool { return name == "out" || name == "gust.yaml" }
	if err := artifact.Pack(t.Context(), &b, dir, artifact.PackOptions{Skip: skip}); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil || len(z.File) != 1 {
		t.Errorf("%v, %d files", err, len(z.File))
	}
}

// What neither Inspect nor Unpack takes.
func TestArchivesThatAreRefused(t *testing.T) {
	plain := forge(t, bootstrap, file{name: "a", body: "hello"})
	deflated := forge(t, bootstrap, file{name: "a", body: strings.Repeat("hello", 100), method: zip.Deflate})
	mode := func(m uint32) func(*zip.FileHeader) {
		return func(h *zip.FileHeader) { h.ExternalAttrs = m << 16 }
	}
	var many []file
	for i := range 70_000 { // enough for the 64-bit records
		many = append(many, file{name: fmt.Sprint(i)})
	}
	many[0] = bootstrap
	over := forge(t, append(many, many[1:40_000]...)...)
	tests := []struct {
		name string
		zip  []byte
		want string
	}{
		{"nothing", nil, "the artifact is no valid zip: it does not end like one; it may be cut off, or another kind of file"},
		{"not a zip", []byte(strings.Repeat("x", 100)), "the artifact is no valid zip: it does not end like one"},
		{"cut off", plain[:len(plain)-10], "the artifact is no valid zip: it does not end like one"},
		{"something before it", append([]byte("#!/bin/sh\n"), plain...), "the artifact is no valid zip: its directory is out of place"},
		{"something after it", append(bytes.Clone(plain), 0), "the artifact is no valid zip: it does not end like one"},
		{"one of several parts", patch(t, plain, end, 0, 4, 1), "the artifact is no valid zip: it is one part of several"},
		{"fewer entries than there are", patch(t, plain, end, 0, 8, 1, 0, 1, 0), "the artifact is no valid zip: its directory holds more entries than it says"},
		{"more entries than there are", patch(t, plain, end, 0, 8, 3, 0, 3, 0), "the artifact is no valid zip"},
		{"a damaged directory", patch(t, plain, central, 1, 0, 'X'), "the artifact is no valid zip: its directory is damaged"},

		{"a path upwards", forge(t, bootstrap, file{name: "../evil"}), `"../evil" leads out of the artifact: .. is not allowed`},
		{"a path upwards inside", forge(t, bootstrap, file{name: "a/../../evil"}), `"a/../../evil" leads out of the artifact`},
		{"an absolute path", forge(t, bootstrap, file{name: "/etc/passwd"}), `"/etc/passwd" is absolute`},
		{"backslashes", forge(t, bootstrap, file{name: `..\evil`}), `"..\\evil" holds a backslash`},
		{"a zero byte", forge(t, bootstrap, file{name: "a\x00b"}), `"a\x00b" holds the control character U+0000`},
		{"a dot", forge(t, bootstrap, file{name: "./a"}), `"./a" has an empty or a . segment`},
		{"an empty segment", forge(t, bootstrap, file{name: "a//b"}), `"a//b" has an empty or a . segment`},
		{"no name", forge(t, bootstrap, file{name: ""}), "an entry of the artifact has no name"},
		{"only a slash", forge(t, bootstrap, file{name: "/", mode: fs.ModeDir | 0o755}), "an entry of the artifact has no name"},
		{"not UTF-8", forge(t, bootstrap, file{name: "a\xff"}), `"a\xff": the name is not UTF-8`},
		{"a long name", forge(t, bootstrap, file{name: strings.Repeat("a/", 600) + "a"}), "the name has 1201 bytes, above the maximum of 1024"},
		{"a long segment", forge(t, bootstrap, file{name: strings.Repeat("a", 256)}), "has a segment of 256 bytes, above the maximum of 255"},

		{"twice", forge(t, bootstrap, file{name: "a"}, file{name: "a"}), `"a" stands in the artifact twice`},
		{"a folder twice", forge(t, bootstrap, file{name: "a/"}, file{name: "a/"}), `"a" stands in the artifact twice`},
		{"case", forge(t, bootstrap, file{name: "BOOTSTRAP"}), `"bootstrap" and "BOOTSTRAP" differ in case alone`},
		{"case in a folder", forge(t, bootstrap, file{name: "Lib/a"}, file{name: "lib/b"}), `"Lib" and "lib" differ in case alone`},
		{"a file that is a folder", forge(t, bootstrap, file{name: "a"}, file{name: "a/b"}), `"a" is a file and a folder at once`},
		{"a folder that is a file", forge(t, bootstrap, file{name: "a/b"}, file{name: "a"}), `"a" is a file and a folder at once`},

		{"a link upwards", forge(t, bootstrap, file{name: "l", body: "../../etc/passwd", mode: fs.ModeSymlink | 0o777}), `"l" is a symbolic link: an artifact holds only files and folders; zip what it points to`},
		{"a link inside", forge(t, bootstrap, file{name: "l", body: "bootstrap", mode: fs.ModeSymlink | 0o777}), `"l" is a symbolic link`},
		{"a device", forge(t, bootstrap, file{name: "sda", mode: fs.ModeDevice | 0o666}), `"sda" is a device`},
		{"a terminal", forge(t, bootstrap, file{name: "tty", mode: fs.ModeDevice | fs.ModeCharDevice | 0o666}), `"tty" is a device`},
		{"a pipe", forge(t, bootstrap, file{name: "p", mode: fs.ModeNamedPipe | 0o666}), `"p" is a named pipe`},
		{"a socket", forge(t, bootstrap, file{name: "s", mode: fs.ModeSocket | 0o666}), `"s" is a socket`},
		{"an unknown mode", forge(t, bootstrap, file{name: "x", change: mode(0x7000)}), `"x" has the unknown mode 70000`},
		{"a folder by its mode alone", forge(t, bootstrap, file{name: "d", change: mode(0x41ed)}), `"d" is a folder by its name or by its mode, but not by both`},
		{"a folder with contents", patch(t, patch(t, forge(t, bootstrap, file{name: "dx", body: "x", change: mode(0)}), central, 1, 47, '/'), local, 1, 31, '/'), `"d/" is a folder, but has contents`},

		{"encrypted", patch(t, plain, central, 1, 8, 9), `"a" is encrypted or patched`},
		{"encrypted in its own header", patch(t, plain, local, 1, 6, 9), `"a": its own header does not say what the directory says`},
		{"strongly encrypted", patch(t, plain, central, 1, 8, 0x48), `"a" is encrypted or patched`},
		{"compressed otherwise", patch(t, plain, central, 1, 10, 12), `"a" is compressed by method 12: gust reads what is stored (0) or deflated (8)`},
		{"another name in its own header", patch(t, plain, local, 1, 30, 'b'), `"a": its own header does not say what the directory says`},
		{"overlapping", patch(t, plain, central, 1, 42, u32(0)...), `overlaps with`},
		{"overlapping the directory", patch(t, patch(t, plain, central, 1, 20, u32(5000)...), central, 1, 24, u32(5000)...), `"a" overlaps with the directory`},
		{"a header beyond the end", patch(t, plain, central, 1, 42, u32(1<<30)...), `"a" overlaps with the directory`},
		{"64-bit sizes", patch(t, plain, central, 1, 24, u32(1<<32-1)...), `"a" is stored in 5 bytes but declares 4294967295`},

		{"more than stored", patch(t, plain, central, 1, 24, u32(6)...), `"a" is stored in 5 bytes but declares 6`},
		{"more than deflating can", patch(t, deflated, central, 1, 24, u32(1<<20)...), `"a" declares 1048576 bytes, more than its`},
		{"less than there is", patch(t, deflated, central, 1, 24, u32(499)...), `"a" unpacks to more than the 499 bytes it declares`},
		{"more than there is", patch(t, deflated, central, 1, 24, u32(501)...), `"a" unpacks to 500 bytes but declares 501`},
		{"another checksum", patch(t, plain, central, 1, 16, 0), `"a" is damaged: two checksums are given for it`},
		{"other contents", patch(t, plain, local, 1, 31, 'H'), `"a" is damaged: its contents do not match their checksum`},
		{"damaged contents", patch(t, deflated, local, 1, 31, 0xff, 0xff), `"a" is damaged: its contents cannot be unpacked`},
		{"a bomb", bomb(t, 100*gust.MB, 1), "above the maximum of 100 for what is larger than"},
		{"a bomb of many", bomb(t, 300*gust.MB, 4), "the artifact unpacks to more than the maximum of 1073741824 bytes"},
		{"too many entries", over, "the artifact has 109999 entries, above the maximum of 100000"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := inspect(test.zip, provided)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Inspect says %v, want %s", err, test.want)
			}
			if !errors.Is(err, gust.ErrInvalid) && !errors.Is(err, gust.ErrTooLarge) {
				t.Errorf("%v is neither gust.ErrInvalid nor gust.ErrTooLarge", err)
			}
			dir, err := unpack(t, test.zip)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Unpack says %v, want %s", err, test.want)
			}
			if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// bomb is a zip of n entries of so many zero bytes each.
func bomb(t *testing.T, size int64, n int) []byte {
	t.Helper()
	if testing.Short() {
		t.Skip("making a bomb takes a second")
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := range n {
		// The contents are never read, so they need not be there.
		h := &zip.FileHeader{Name: fmt.Sprint(i), Method: zip.Deflate, UncompressedSize64: uint64(size), CompressedSize64: uint64(size/1000) + 1}
		out, err := w.CreateRaw(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write(make([]byte, h.CompressedSize64)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestArchivesThatAreTaken(t *testing.T) {
	var many []file
	for i := range 70_000 {
		many = append(many, file{name: fmt.Sprintf("d%d/%d", i%100, i)})
	}
	for name, zip := range map[string][]byte{
		"a folder's entry":          forge(t, file{name: "lib/", mode: fs.ModeDir | 0o755}, bootstrap, file{name: "lib/a"}),
		"a folder after its files":  forge(t, file{name: "lib/a"}, bootstrap, file{name: "lib/", mode: fs.ModeDir | 0o755}),
		"deflated":                  forge(t, file{name: "bootstrap", body: static.bytes(), mode: 0o755, method: zip.Deflate}),
		"more than 65,535 entries":  forge(t, append(many, bootstrap)...),
		"enough files for one sync": forge(t, append(many[:100:100], bootstrap)...),
		"a set-uid program":         forge(t, file{name: "bootstrap", body: static.bytes(), mode: fs.ModeSetuid | 0o755}),
	} {
		t.Run(name, func(t *testing.T) {
			if err := inspect(zip, provided); err != nil {
				t.Error(err)
			}
			if len(zip) > gust.MB { // unpacking so many takes seconds
				return
			}
			dir, err := unpack(t, zip)
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(filepath.Join(dir, "bootstrap"))
			if err != nil || info.Mode() != 0o555 {
				t.Errorf("bootstrap is %v, %v", info.Mode(), err)
			}
		})
	}
}

func TestUnpackTakesNothingThatIsThere(t *testing.T) {
	dir := t.TempDir()
	zip := forge(t, bootstrap)
	err := artifact.Unpack(t.Context(), bytes.NewReader(zip), int64(len(zip)), dir)
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	err = artifact.Unpack(ctx, bytes.NewReader(zip), int64(len(zip)), filepath.Join(dir, "new"))
	if err == nil || err.Error() != "enough" {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestPrograms(t *testing.T) {
	with := func(change func(*elf)) string {
		e := static
		change(&e)
		return e.bytes()
	}
	http := func(command ...string) *gust.Function {
		return &gust.Function{Name: "f", Runtime: gust.RuntimeHTTP, Command: command}
	}
	exec := func(body string) []file { return []file{{name: "bootstrap", body: body, mode: 0o755}} }
	tests := []struct {
		name  string
		f     *gust.Function
		files []file
		want  string // empty means that it runs
	}{
		{"static", provided, exec(static.bytes()), ""},
		{"Linux ABI", provided, exec(with(func(e *elf) { e.abi = 3 })), ""},
		{"dynamic with the sandbox's loader", provided, exec(with(func(e *elf) { e.kind, e.loader = 3, "/lib64/ld-linux-x86-64.so.2" })), ""},
		{"dynamic with its own loader", provided, append(exec(with(func(e *elf) { e.loader = "/var/task/ld.so" })), file{name: "ld.so", mode: 0o755}), ""},
		{"script", provided, exec("#!/bin/sh\nexec x"), ""},
		{"command", http("./server", "-v"), []file{{name: "server", body: static.bytes(), mode: 0o755}}, ""},
		{"command in a folder", http("bin/../bin/server"), []file{{name: "bin/server", body: static.bytes(), mode: 0o755}}, ""},
		{"command of the sandbox", http("/bin/sh", "-c", "x"), []file{{name: "x"}}, ""},
		{"http with bootstrap", http(), exec(static.bytes()), ""},

		{"missing", provided, []file{{name: "a"}}, `the artifact has no file "bootstrap" at its root`},
		{"in a folder", provided, []file{{name: "app/bootstrap", mode: 0o755}}, `the artifact has no file "bootstrap" at its root, but "app/bootstrap": zip the folder's contents, not the folder`},
		{"a folder", provided, []file{{name: "bootstrap/"}}, `"bootstrap" is a folder: it has to be the program that is started`},
		{"not executable", provided, []file{{name: "bootstrap", body: static.bytes()}}, `"bootstrap" is not executable: run chmod +x bootstrap before it is zipped`},
		{"not executable from Windows", provided, []file{{name: "bootstrap", body: static.bytes(), change: func(h *zip.FileHeader) { h.CreatorVersion, h.ExternalAttrs = 0, 0 }}}, `"bootstrap" is not executable`},
		{"empty", provided, exec(""), `"bootstrap" is empty: it has to be a program for Linux or a script`},
		{"text", provided, exec("echo hello"), `"bootstrap" is no program for Linux (ELF), and no script that begins with #!`},
		{"arm64", provided, exec(with(func(e *elf) { e.machine = 183 })), `"bootstrap" is built for arm64, but this node runs amd64: build it with GOARCH=amd64, or for the target x86_64-unknown-linux-gnu`},
		{"386", provided, exec(with(func(e *elf) { e.class, e.machine = 1, 3 })), `"bootstrap" is built for 32-bit 386, but this node runs amd64`},
		{"x32", provided, exec(with(func(e *elf) { e.class = 1 })), `"bootstrap" is built for 32-bit amd64, but`},
		{"big-endian", provided, exec(with(func(e *elf) { e.data, e.machine = 2, 22 })), `"bootstrap" is built for s390x, but this node runs amd64`},
		{"unknown processor", provided, exec(with(func(e *elf) { e.machine = 9999 })), `"bootstrap" is built for processor 9999, but`},
		{"FreeBSD", provided, exec(with(func(e *elf) { e.abi = 9 })), `"bootstrap" is built for another system than Linux (ELF OS/ABI 9)`},
		{"object file", provided, exec(with(func(e *elf) { e.kind = 1 })), `"bootstrap" is an ELF file of type 1 and no program: link it`},
		{"cut off", provided, exec(static.bytes()[:40]), `"bootstrap" is cut off: its ELF header is not whole`},
		{"cut off in its table", provided, exec(static.bytes()[:100]), `"bootstrap" is cut off: its ELF header names more than there is`},
		{"musl", provided, exec(with(func(e *elf) { e.loader = "/lib/ld-musl-x86_64.so.1" })), `"bootstrap" is linked to the loader "/lib/ld-musl-x86_64.so.1", which a sandbox does not have: link it statically (Go: CGO_ENABLED=0), or for /lib64/ld-linux-x86-64.so.2`},
		{"own loader missing", provided, exec(with(func(e *elf) { e.loader = "/var/task/ld.so" })), `"bootstrap" needs the loader "/var/task/ld.so", but the artifact has no executable "ld.so"`},
		{"Mach-O", provided, exec("\xcf\xfa\xed\xfe\x07\x00\x00\x01"), `"bootstrap" is a macOS program (Mach-O): build it with GOOS=linux`},
		{"universal Mach-O", provided, exec("\xca\xfe\xba\xbe\x00\x00\x00\x02"), `"bootstrap" is a macOS program (Mach-O)`},
		{"PE", provided, exec("MZ\x90\x00"), `"bootstrap" is a Windows program (PE): build it with GOOS=linux`},
		{"archive", provided, exec("!<arch>\n"), `"bootstrap" is a library and no program: build package main`},
		{"script from Windows", provided, exec("#!/bin/sh\r\nx"), `"bootstrap" is a script with Windows line ends`},
		{"script without interpreter", provided, exec("#!\nx"), `"bootstrap" is a script whose first line does not name its interpreter`},
		{"command missing", http("./server"), exec(static.bytes()), `the artifact has no file "server", which the function's command starts`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, method := range []uint16{zip.Store, zip.Deflate} {
				files := append([]file(nil), test.files...)
				for i := range files {
					files[i].method = method
				}
				err := inspect(forge(t, files...), test.f)
				if test.want == "" {
					if err != nil {
						t.Error(err)
					}
					continue
				}
				if !errors.Is(err, gust.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v\nwant %s", err, test.want)
				}
			}
		})
	}
}

// Nodes on systems that have no sandbox run those systems' programs.
func TestProgramsOfSystemsWithoutASandbox(t *testing.T) {
	for _, test := range []struct {
		goos, name, body string
		mode             fs.FileMode
		want             string
	}{
		{"darwin", "bootstrap", "\xcf\xfa\xed\xfe\x07\x00\x00\x01", 0o755, ""},
		{"darwin", "bootstrap", "#!/bin/sh\nexec x", 0o755, ""},
		{"darwin", "bootstrap", "\xcf\xfa\xed\xfe\x07\x00\x00\x01", 0o644, `"bootstrap" is not executable`},
		{"darwin", "bootstrap", static.bytes(), 0o755, `"bootstrap" is no program for darwin, which this node runs on: build it with GOOS=darwin`},
		{"windows", "bootstrap.exe", "MZ\x90\x00", 0o644, ""},
		{"windows", "bootstrap.exe", static.bytes(), 0o755, `"bootstrap.exe" is no program for windows`},
		{"windows", "bootstrap", "MZ\x90\x00", 0o755, `the artifact has no file "bootstrap.exe" at its root`},
	} {
		in := artifact.DefaultInspector("amd64")
		in.GOOS = test.goos
		z := forge(t, file{name: test.name, body: test.body, mode: test.mode})
		err := in.Inspect(bytes.NewReader(z), int64(len(z)), provided)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s, %.10q: %v, want %q", test.goos, test.body, err, test.want)
		}
	}
}

// This machine's own shell runs in its sandboxes, and so does this test.
func TestInspectTakesThisMachinesPrograms(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has sandboxes")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{self, "/bin/sh"} {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		z := forge(t, file{name: "bootstrap", body: string(body), mode: 0o755})
		if err := artifact.Inspect(bytes.NewReader(z), int64(len(z)), provided); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := artifact.DefaultInspector(runtime.GOARCH).Inspect(bytes.NewReader(z), int64(len(z)), provided); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	musl := map[string]string{"amd64": "/lib/ld-musl-x86_64.so.1"}[runtime.GOARCH]
	if slices.Contains(artifact.HostInspector().Loaders, musl) || musl == "" {
		t.Skip("this machine has the loader that it should not have")
	}
	e := static
	e.loader = musl
	z := forge(t, file{name: "bootstrap", body: e.bytes(), mode: 0o755})
	if err := artifact.Inspect(bytes.NewReader(z), int64(len(z)), provided); !errors.Is(err, gust.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

func TestInspectRefusesWhatIsTooLargeUnread(t *testing.T) {
	err := artifact.Inspect(nil, gust.MaxArtifact+1, provided)
	if !errors.Is(err, gust.ErrTooLarge) || !strings.Contains(err.Error(), "262144001 bytes, above the maximum of 262144000") {
		t.Errorf("got %v", err)
	}
}

func FuzzArchive(f *testing.F) {
	f.Add(forge(f, bootstrap, file{name: "a/b", body: "hello", method: zip.Deflate}, file{name: "c/", mode: fs.ModeDir | 0o755}))
	f.Add(forge(f, file{name: "bootstrap", body: elf{class: 2, data: 1, kind: 3, machine: 62, loader: "/var/task/x"}.bytes(), mode: 0o755}))
	f.Add(forge(f, file{name: "../x"}, file{name: "l", body: "/", mode: fs.ModeSymlink | 0o777}))
	f.Fuzz(func(t *testing.T, data []byte) {
		// None of these must panic.
		_ = inspect(data, provided)
		_ = inspect(data, &gust.Function{Runtime: gust.RuntimePython, Interpreter: "python@3.11", Handler: "a.b"})
		_ = amd64.InspectLayer(bytes.NewReader(data), int64(len(data)))
		_, _ = artifact.Contents(bytes.NewReader(data), int64(len(data)))
		parent := tempDir(t)
		dir := filepath.Join(parent, "code")
		err := artifact.Unpack(context.Background(), bytes.NewReader(data), int64(len(data)), dir)
		left, rerr := os.ReadDir(parent)
		if rerr != nil {
			t.Fatal(rerr)
		}
		if err != nil {
			if len(left) != 0 {
				t.Fatalf("%v left %v behind", err, left)
			}
			return
		}
		if len(left) != 1 {
			t.Fatalf("beside the folder there are %v", left)
		}
		// Whatever is taken, the standard library reads in the same way.
		z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatalf("archive/zip refuses it: %v", err)
		}
		want := map[string]string{}
		for _, e := range z.File {
			if strings.HasSuffix(e.Name, "/") {
				continue
			}
			r, err := e.Open()
			if err != nil {
				t.Fatalf("archive/zip refuses %q: %v", e.Name, err)
			}
			body, err := io.ReadAll(r)
			if err != nil {
				t.Fatalf("archive/zip refuses %q: %v", e.Name, err)
			}
			want[e.Name] = string(body)
		}
		got := map[string]string{}
		for name, c := range contents(t, dir) {
			if mode, body, ok := strings.Cut(c, " "); ok {
				if mode != "-r--r--r--" && mode != "-r-xr-xr-x" {
					t.Errorf("%q is %s", name, mode)
				}
				got[name] = body
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, archive/zip reads %q", got, want)
		}
	})
}

func FuzzProgram(f *testing.F) {
	f.Add([]byte(static.bytes()))
	f.Add([]byte(elf{class: 2, data: 1, kind: 3, machine: 62, loader: "/var/task/x"}.bytes()))
	f.Add([]byte(elf{class: 1, data: 2, kind: 2, machine: 8}.bytes()))
	f.Add([]byte("#!/bin/sh\r\n"))
	f.Add([]byte("\xcf\xfa\xed\xfe"))
	f.Fuzz(func(t *testing.T, body []byte) {
		err := inspect(forge(t, file{name: "bootstrap", body: string(body), mode: 0o755}), provided)
		if err != nil && (!errors.Is(err, gust.ErrInvalid) || !strings.Contains(err.Error(), "bootstrap")) {
			t.Error(err)
		}
	})
}
