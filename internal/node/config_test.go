package node

import (
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

func TestDefault(t *testing.T) {
	t.Setenv("HOME", "/home/ann")
	c := Default()
	if err := c.Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	want := Config{
		Data: "/home/ann/.local/share/gust", HTTP: "127.0.0.1:8080", API: "127.0.0.1:4566",
		TLS:    "auto",
		Region: gust.DefaultPlace.Region, Account: gust.DefaultPlace.Account,
		Durability: "always", Sandbox: "process",
		Concurrency: gust.DefaultNodeConcurrency, Drain: 30 * time.Second,
		LogAge: 7 * 24 * time.Hour, LogSize: gust.GB, AuditAge: 90 * 24 * time.Hour, AuditSize: gust.GB, LogLevel: "info",
	}
	if c != want {
		t.Errorf("Default() = %+v\nwant %+v", c, want)
	}
}

func TestEverySettingHasAllItsWords(t *testing.T) {
	var c Config
	for _, s := range c.Settings() {
		empty := s.Default == "" && !strings.HasPrefix(s.Flag, "tls-") // none is the default
		if s.Flag == "" || s.Arg == "" || empty || s.Help == "" {
			t.Errorf("incomplete: %+v", s)
		}
		if want := "GUST_" + strings.ToUpper(strings.ReplaceAll(s.Flag, "-", "_")); s.Env != want {
			t.Errorf("--%s is %s in the environment, want %s", s.Flag, s.Env, want)
		}
	}
}

func TestSettingSet(t *testing.T) {
	t.Setenv("HOME", "/home/ann")
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ flag, text, want string }{ // want: String() after, or "!" and part of the error
		{"http", ":80", ":80"},
		{"data", "/srv/../gust", "/gust"},
		{"data", "~/gust", "/home/ann/gust"},
		{"data", "gust", filepath.Join(wd, "gust")},
		{"concurrency", "5", "5"},
		{"concurrency", "many", "!whole number"},
		{"drain", "90s", "1m30s"},
		{"drain", "90", "!30s or 5m"},
		{"memory", "4GB", "4GB"},
		{"memory", "1024MB", "1GB"},
		{"memory", "1000", "1000B"},
		{"memory", "-1", "!512MB"},
		{"memory", "4 potatoes", "!512MB"},
		{"memory", "9223372036854775807GB", "!512MB"},
		{"sandbox", "none", "none"},
		{"sandbox", "docker", "!process or none"},
		{"durability", "", "!always or interval"},
	}
	for _, tt := range tests {
		c := Default()
		for _, s := range c.Settings() {
			if s.Flag != tt.flag {
				continue
			}
			err := s.Set(tt.text)
			if part, wrong := strings.CutPrefix(tt.want, "!"); wrong {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("--%s %q: error %v, want one with %q", tt.flag, tt.text, err, part)
				}
			} else if err != nil || s.String() != tt.want {
				t.Errorf("--%s %q = %q, %v; want %q", tt.flag, tt.text, s, err, tt.want)
			}
		}
	}
}

func TestValidateReportsEverythingAtOnce(t *testing.T) {
	c := Default()
	c.Data, c.HTTP, c.API, c.Region, c.Account = "", "8080", "localhost:99999", "mars", "12"
	c.Sandbox, c.Concurrency, c.Memory, c.Drain = "docker", 0, 1, -1
	err := c.Validate()
	if err == nil {
		t.Fatal("Validate() accepts it all")
	}
	for _, flag := range []string{"data", "http", "api", "region", "account", "sandbox", "concurrency", "memory", "drain"} {
		if !strings.Contains(err.Error(), "--"+flag+": ") {
			t.Errorf("nothing said about --%s in:\n%v", flag, err)
		}
	}
}

// A service is started without HOME; it does not get a folder named ~.
func TestDefaultWithoutHome(t *testing.T) {
	u, err := user.Current()
	if err != nil || u.HomeDir == "" {
		t.Skip("the system has no home for the user of this test")
	}
	t.Setenv("HOME", "")
	if got, want := Default().Data, filepath.Join(u.HomeDir, ".local/share/gust"); got != want {
		t.Errorf("without HOME the data folder is %s, want %s", got, want)
	}
}
