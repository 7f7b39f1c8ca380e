// Package node turns a Config into a running node: it opens the parts in order
// and closes them in reverse. Several nodes fit in one process.
package node

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	gust "github.com/gust-dev/gust"
)

// Config is everything that can be told to a node. It is the only list: the
// flags of `gust up`, their GUST_* variables, their defaults and their help
// come from the tags here, by Config.Settings.
type Config struct {
	Data string `flag:"data" arg:"DIR" default:"~/.local/share/gust" help:"folder that holds everything the node keeps"`
	HTTP string `flag:"http" arg:"ADDR" default:"127.0.0.1:8080" help:"address for users' traffic; port 0 takes a free one"`
	API  string `flag:"api" arg:"ADDR" default:"127.0.0.1:4566" help:"address for the AWS APIs and Gust's own; port 0 takes a free one"`

	TLS     string `flag:"tls" arg:"MODE" default:"auto" choices:"auto|off|self" help:"TLS of the API's address: self (with a certificate that gust makes), off, or auto (off where it is reached from this machine alone, else self)"`
	TLSCert string `flag:"tls-cert" arg:"FILE" default:"" help:"certificate for the API's address (PEM, with its chain) in the place of one that gust makes; taken up anew when the file changes"`
	TLSKey  string `flag:"tls-key" arg:"FILE" default:"" help:"key of --tls-cert (PEM)"`
	TLSName string `flag:"tls-name" arg:"NAMES" default:"" help:"names and IP addresses that the certificate which gust makes is for, with commas between, beside this machine's own"`

	Region  string `flag:"region" arg:"REGION" default:"us-east-1" help:"region in every ARN"`
	Account string `flag:"account" arg:"ID" default:"000000000000" help:"account in every ARN, 12 digits"`

	Durability string `flag:"durability" arg:"MODE" default:"always" choices:"always|interval" help:"when a write counts as kept: always (synced before it is acknowledged) or interval (synced every 100 ms: a crash may lose what was acknowledged since)"`
	Sandbox    string `flag:"sandbox" arg:"KIND" default:"process" choices:"process|none" help:"what functions run in: process (isolated) or none (no isolation at all: only for code you would run yourself)"`

	Concurrency int           `flag:"concurrency" arg:"N" default:"1000" help:"invocations at once on this node, 1 to 100000; more are throttled"`
	Memory      Bytes         `flag:"memory" arg:"SIZE" default:"0" help:"memory that all environments together may use, such as 4GB; 0 means 80 % of the machine's"`
	Scratch     Bytes         `flag:"scratch" arg:"SIZE" default:"0" help:"disk that all functions' /tmp may take together, such as 20GB; 0 means half of what is free at the start"`
	Drain       time.Duration `flag:"drain" arg:"TIME" default:"30s" help:"how long a stopping node lets running invocations finish"`
	LogAge      time.Duration `flag:"log-age" arg:"TIME" default:"168h" help:"how long logs are kept"`
	LogSize     Bytes         `flag:"log-size" arg:"SIZE" default:"1GB" help:"how much disk logs may take; the oldest go first"`
	AuditAge    time.Duration `flag:"audit-age" arg:"TIME" default:"2160h" help:"how long the audit log is kept"`
	AuditSize   Bytes         `flag:"audit-size" arg:"SIZE" default:"1GB" help:"how much disk the audit log may take; the oldest records go first"`
	LogLevel    string        `flag:"log-level" arg:"LEVEL" default:"info" choices:"debug|info|warn|error" help:"least important of the node's own messages that is printed"`
}

// Default is the configuration of a node that was told nothing.
func Default() Config {
	var c Config
	for _, s := range c.Settings() {
		if err := s.Set(s.Default); err != nil {
			panic(fmt.Sprintf("node: default of %s: %v", s.Flag, err)) // a wrong tag above
		}
	}
	return c
}

// Validate checks every setting and reports all that is wrong at once, a line
// each.
func (c *Config) Validate() error {
	var errs []error
	wrong := func(flag, format string, args ...any) {
		errs = append(errs, fmt.Errorf("--%s: %s", flag, fmt.Sprintf(format, args...)))
	}
	for _, s := range c.Settings() {
		if len(s.Choices) > 0 {
			if err := s.Set(s.String()); err != nil {
				wrong(s.Flag, "%v", err)
			}
		}
	}
	if c.Data == "" {
		wrong("data", "is empty; give a folder")
	}
	for _, a := range []struct{ flag, addr string }{{"http", c.HTTP}, {"api", c.API}} {
		if err := checkAddress(a.addr); err != nil {
			wrong(a.flag, "%q is not an address: %v; want HOST:PORT, such as 127.0.0.1:8080", a.addr, err)
		}
	}
	if !regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d$`).MatchString(c.Region) {
		wrong("region", "%q is not a region; want the form of us-east-1", c.Region)
	}
	if !regexp.MustCompile(`^\d{12}$`).MatchString(c.Account) {
		wrong("account", "%q is not an account; want 12 digits", c.Account)
	}
	switch {
	case (c.TLSCert == "") != (c.TLSKey == ""):
		wrong("tls-cert", "it and --tls-key belong together: give both or neither")
	case c.TLSCert != "" && c.TLS != "auto":
		wrong("tls", "%s and --tls-cert exclude each other: leave --tls out", c.TLS)
	case c.TLSName != "" && (c.TLSCert != "" || c.TLS == "off"):
		wrong("tls-name", "names are for the certificate that gust makes, and none is made: leave it out")
	}
	for _, name := range listOf(c.TLSName) {
		if _, err := netip.ParseAddr(name); err != nil && !dnsName.MatchString(name) {
			wrong("tls-name", "%q is neither a host's name nor an IP address", name)
		}
	}
	if c.Concurrency < 1 || c.Concurrency > 100_000 {
		wrong("concurrency", "%d is outside 1 to 100000", c.Concurrency)
	}
	if c.Memory != 0 && c.Memory < gust.MinMemory {
		wrong("memory", "%s is below %s, the least that one environment may have", c.Memory, Bytes(gust.MinMemory))
	}
	if c.Scratch != 0 && c.Scratch < gust.MinEphemeral {
		wrong("scratch", "%s is below %s, the least that one /tmp may have", c.Scratch, Bytes(gust.MinEphemeral))
	}
	if c.Drain < 0 || c.Drain > time.Hour {
		wrong("drain", "%s is outside 0 to 1h", c.Drain)
	}
	if c.LogAge < time.Minute {
		wrong("log-age", "%s is below 1m", c.LogAge)
	}
	if c.LogSize < 16*gust.MB {
		wrong("log-size", "%s is below 16MB", c.LogSize)
	}
	if c.AuditAge < time.Hour {
		wrong("audit-age", "%s is below 1h", c.AuditAge)
	}
	if c.AuditSize < 16*gust.MB {
		wrong("audit-size", "%s is below 16MB", c.AuditSize)
	}
	return errors.Join(errs...)
}

// dnsName is a host's name, which may begin with a wildcard.
var dnsName = regexp.MustCompile(`^(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

// listOf splits a setting that has commas between its parts.
func listOf(text string) (parts []string) {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

func checkAddress(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("port %q is outside 0 to 65535", port)
	}
	return nil
}

// Setting is one field of a Config as a flag. It is a flag value: Set parses
// and stores, String gives what Set would take.
type Setting struct {
	Flag    string // "http"
	Env     string // "GUST_HTTP"
	Arg     string // "ADDR", for help
	Default string
	Help    string
	Choices []string
	field   reflect.Value
}

// Settings are c's fields in the order in which help shows them; setting one
// changes c.
func (c *Config) Settings() []Setting {
	v := reflect.ValueOf(c).Elem()
	settings := make([]Setting, v.NumField())
	for i := range settings {
		tag := v.Type().Field(i).Tag
		settings[i] = Setting{
			Flag:    tag.Get("flag"),
			Env:     Env(tag.Get("flag")),
			Arg:     tag.Get("arg"),
			Default: tag.Get("default"),
			Help:    tag.Get("help"),
			field:   v.Field(i),
		}
		if choices := tag.Get("choices"); choices != "" {
			settings[i].Choices = strings.Split(choices, "|")
		}
	}
	return settings
}

// Env is the environment variable that stands for a flag.
func Env(flag string) string {
	return "GUST_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Set parses text into the field.
func (s Setting) Set(text string) error {
	if len(s.Choices) > 0 {
		ok := false
		for _, c := range s.Choices {
			ok = ok || c == text
		}
		if !ok {
			return fmt.Errorf("%q is unknown; want %s", text, strings.Join(s.Choices, " or "))
		}
	}
	switch p := s.field.Addr().Interface().(type) {
	case *string:
		*p = text
		if s.Flag == "data" && text != "" { // what runs elsewhere has to find it too
			abs, err := filepath.Abs(expandHome(text))
			if err != nil {
				return err
			}
			*p = abs
		}
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		*p = n
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is not a time; want the form of 30s or 5m", text)
		}
		*p = d
	case *Bytes:
		return p.Set(text)
	default:
		panic("node: no flag form for " + s.field.Type().String())
	}
	return nil
}

func (s Setting) String() string {
	if !s.field.IsValid() {
		return ""
	}
	return fmt.Sprint(s.field.Interface())
}

// Type is what help shows in the place of a value.
func (s Setting) Type() string { return s.Arg }

// expandHome turns a leading ~ into the user's home, which a shell does not do
// in GUST_DATA=~/x with quotes, or in the default. A service may have no HOME;
// then it is the home that the system has for the user.
func expandHome(path string) string {
	rest, ok := strings.CutPrefix(path, "~")
	if !ok || rest != "" && !strings.HasPrefix(rest, "/") {
		return path
	}
	home := os.Getenv("HOME")
	if home == "" {
		u, err := user.Current()
		if err != nil {
			return path
		}
		home = u.HomeDir
	}
	return filepath.Join(home, rest)
}

// Bytes is a size that people write as 512MB; units are binary.
type Bytes int64

var byteUnits = []struct {
	name string
	size Bytes
}{{"GB", gust.GB}, {"MB", gust.MB}, {"KB", gust.KB}, {"B", 1}}

// Set parses a whole number with one of the units B, KB, MB and GB; without a
// unit it is bytes.
func (b *Bytes) Set(text string) error {
	number, unit := text, Bytes(1)
	for _, u := range byteUnits {
		if n, ok := strings.CutSuffix(text, u.name); ok {
			number, unit = n, u.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > int64(1<<62/unit) {
		return fmt.Errorf("%q is not a size; want a whole number and a unit, such as 512MB or 4GB", text)
	}
	*b = Bytes(n) * unit
	return nil
}

func (b Bytes) String() string {
	for _, u := range byteUnits {
		if b != 0 && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}
