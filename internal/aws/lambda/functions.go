package lambda

import (
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strconv"

	gust "github.com/gust-dev/gust"
)

// configuration is what of the API's FunctionConfiguration has an answer here.
type configuration struct {
	FunctionName     string
	FunctionArn      string
	Runtime          string
	Handler          string `json:",omitempty"`
	Description      string
	Timeout          int64 // seconds
	MemorySize       int64 // MB
	EphemeralStorage struct{ Size int64 }
	Environment      *environment `json:",omitempty"`
	CodeSha256       string
	Version          string
	LastModified     string
	State            string
	LastUpdateStatus string
	PackageType      string
	Architectures    []string
}

type environment struct{ Variables map[string]string }

// lastModified is how the API writes times.
const lastModified = "2006-01-02T15:04:05.000-0700"

func (s *server) configuration(f *gust.Function, arn string) configuration {
	version := strconv.FormatUint(f.Version, 10)
	c := configuration{
		FunctionName: f.Name, FunctionArn: arn, Runtime: string(f.Runtime), Description: f.Description,
		Timeout: int64(f.Timeout.Seconds()), MemorySize: f.Memory / gust.MB,
		CodeSha256: codeSHA256(f.Artifact), Version: version, LastModified: f.Modified.UTC().Format(lastModified),
		State: "Active", LastUpdateStatus: "Successful", PackageType: "Zip", Architectures: []string{architecture()},
	}
	c.EphemeralStorage.Size = f.Ephemeral / gust.MB
	if c.Handler = f.Handler; c.Handler == "" && f.Runtime != gust.RuntimeHTTP {
		c.Handler = "bootstrap"
	}
	if len(f.Env) > 0 {
		c.Environment = &environment{f.Env}
	}
	return c
}

// codeSHA256 is a digest as the API writes it, in base64.
func codeSHA256(d gust.Digest) string {
	sum, err := hex.DecodeString(string(d))
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(sum)
}

// architecture is this machine's, which artifacts are checked for, in the API's
// words.
func architecture() string {
	if runtime.GOARCH == "amd64" {
		return "x86_64"
	}
	return runtime.GOARCH
}

type concurrency struct {
	ReservedConcurrentExecutions *int `json:",omitempty"`
}

// getFunction is the operation GetFunction. Where the code could be fetched
// from is left out: there is no such address.
func (s *server) getFunction(c *call, labels []string) error {
	f, n, err := s.function(c, labels[0])
	if err != nil {
		return err
	}
	doc := struct {
		Configuration configuration
		Concurrency   *concurrency `json:",omitempty"`
	}{Configuration: s.configuration(f, n.arn(s.Place))}
	if f.Concurrency.Reserved != nil {
		doc.Concurrency = &concurrency{f.Concurrency.Reserved}
	}
	writeJSON(c.w, http.StatusOK, doc)
	return nil
}

// getFunctionConfiguration is the operation GetFunctionConfiguration.
func (s *server) getFunctionConfiguration(c *call, labels []string) error {
	f, n, err := s.function(c, labels[0])
	if err != nil {
		return err
	}
	writeJSON(c.w, http.StatusOK, s.configuration(f, n.arn(s.Place)))
	return nil
}

// getFunctionConcurrency is the operation GetFunctionConcurrency.
func (s *server) getFunctionConcurrency(c *call, labels []string) error {
	f, _, err := s.function(c, labels[0])
	if err != nil {
		return err
	}
	writeJSON(c.w, http.StatusOK, concurrency{f.Concurrency.Reserved})
	return nil
}

// maxPage is how many functions one answer lists at most.
const maxPage = 50

// listFunctions is the operation ListFunctions, by name. A marker is the last
// name of the page before.
func (s *server) listFunctions(c *call, _ []string) error {
	q, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return invalid("the query string is wrong: %v", err)
	}
	for name := range q {
		switch name {
		case "Marker", "MaxItems", "FunctionVersion":
		default:
			return invalid("%s is not carried out by Gust's ListFunctions: leave it out", quoted(name))
		}
	}
	all := false
	switch v := q.Get("FunctionVersion"); v {
	case "":
	case "ALL": // of which there is one each
		all = true
	default:
		return invalid("FunctionVersion is %s: it may be ALL", quoted(v))
	}
	page := maxPage
	if v := q.Get("MaxItems"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 10000 {
			return invalid("MaxItems is %s: it may be 1 to 10000", quoted(v))
		}
		page = min(n, maxPage)
	}
	functions := s.Catalog.Snapshot().Functions
	names := slices.Sorted(maps.Keys(functions))
	if marker := q.Get("Marker"); marker != "" {
		i, found := slices.BinarySearch(names, marker)
		if found {
			i++
		}
		names = names[i:]
	}
	doc := struct {
		Functions  []configuration
		NextMarker string `json:",omitempty"`
	}{Functions: make([]configuration, 0, min(page, len(names)))}
	for i, name := range names {
		if i == page {
			doc.NextMarker = names[i-1]
			break
		}
		f := functions[name]
		arn := s.Place.FunctionARN(name)
		if all {
			arn += ":" + strconv.FormatUint(f.Version, 10)
		}
		doc.Functions = append(doc.Functions, s.configuration(f, arn))
	}
	writeJSON(c.w, http.StatusOK, doc)
	return nil
}
