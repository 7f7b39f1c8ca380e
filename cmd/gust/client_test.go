package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/node"
	"github.com/gust-dev/gust/internal/store"
)

// The root key of a data folder is shown to the folder's own node, and to
// another by somebody's word alone: --data beside --api.
func TestTheRootKeyIsForItsOwnNode(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	for _, s := range (&node.Config{}).Settings() {
		t.Setenv(s.Env, "")
	}
	t.Setenv("GUST_FINGERPRINT", "")
	data := node.Default().Data
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	root, _, err := access.OpenRootKey(data)
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown = append(shown, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		fmt.Fprintln(w, `{"arn": "arn:aws:iam::000000000000:root", "region": "us-east-1"}`)
	}))
	defer server.Close()
	addr := server.Listener.Addr().String()

	const refused = "its own node alone: give the key to use there in GUST_KEY, or --data"
	own, other := &api.Address{API: addr}, &api.Address{API: "127.0.0.1:1"}
	for _, tt := range []struct {
		name    string
		address *api.Address // in the data folder
		killed  bool         // the node that wrote it
		env     []string
		args    []string
		shown   string // a token, or empty
		says    string
	}{
		{"another address", nil, false, nil, []string{"--api", addr}, "", refused},
		{"another address, in the environment", nil, false, []string{"GUST_API", addr}, nil, "", refused},
		{"another address beside a node of this machine", other, false, nil, []string{"--api", "http://" + addr}, "", refused},
		{"another address, and whose key", other, false, nil, []string{"--api", addr, "--data", data}, root.Token(), ""},
		{"another address, and whose key in the environment", nil, false, []string{"GUST_DATA", data}, []string{"--api", addr}, root.Token(), ""},
		{"another address, and a key", other, false, []string{"GUST_KEY", "AKIAANN.secret"}, []string{"--api", addr}, "AKIAANN.secret", ""},
		{"the folder's node", own, false, nil, nil, root.Token(), ""},
		{"the folder's node by its address", own, false, nil, []string{"--api", addr}, root.Token(), ""},
		{"the folder's node by its URL", own, false, nil, []string{"--api", "http://" + addr}, root.Token(), ""},
		{"the folder's node, by another protocol", own, false, nil, []string{"--api", "https://" + addr}, "", refused},
		{"where the folder's node listened that was killed", own, true, nil, nil, "", "no node runs on the data folder"},
		{"the same by its address", own, true, nil, []string{"--api", addr}, "", refused},
		{"a far address in clear text by nobody's word", nil, false, []string{"GUST_KEY", "AKIAANN.secret"}, []string{"--api", "gust.invalid:1"}, "", "https://gust.invalid:1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := api.RemoveAddress(data); err != nil {
				t.Fatal(err)
			}
			if tt.address != nil {
				if err := api.WriteAddress(data, *tt.address); err != nil {
					t.Fatal(err)
				}
			}
			if !tt.killed {
				lock, err := store.Lock(data)
				if err != nil {
					t.Fatal(err)
				}
				defer lock.Close()
			}
			if tt.env != nil {
				t.Setenv(tt.env[0], tt.env[1])
			}
			shown = nil
			var out strings.Builder
			status := run(append([]string{"whoami"}, tt.args...), nil, &out, &out)
			if got := strings.Join(shown, " "); got != tt.shown || (status == exitOK) != (tt.shown != "") || !strings.Contains(out.String(), tt.says) {
				t.Errorf("gust whoami %s ends with %d, has shown %q, want %q, and says:\n%swant %q", strings.Join(tt.args, " "), status, got, tt.shown, out.String(), tt.says)
			}
		})
	}
}
