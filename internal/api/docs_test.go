package api

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/invoke"
	"github.com/gust-dev/gust/internal/observe"
	"github.com/gust-dev/gust/internal/runtimes"
)

// documents are the types of the JSON examples under each route's heading in
// docs/API.md, in their order.
var documents = map[string][]func() any{
	"GET /v1/version": {doc[Build]},
	"GET /v1/status":  {doc[Status]},
	"GET /v1/whoami":  {doc[Identity]},
	"GET /v1/apps": {doc[struct {
		Revision uint64 `json:"revision"`
		Apps     []App  `json:"apps"`
	}]},
	"POST /v1/apps/{app}/plan": {doc[ApplyRequest], doc[catalog.Plan]},
	"PUT /v1/apps/{app}":       {doc[ApplyRequest], doc[catalog.Plan]},
	"DELETE /v1/apps/{app}":    {doc[catalog.Plan]},
	"GET /v1/functions": {doc[struct {
		Functions []gust.Function `json:"functions"`
	}]},
	"GET /v1/environments": {doc[struct {
		Environments []invoke.Environment `json:"environments"`
	}]},
	"POST /v1/functions/{name}/warm": {doc[WarmUp], doc[WarmUp]},
	"GET /v1/runtimes": {doc[struct {
		Runtimes []runtimes.Listed `json:"runtimes"`
	}]},
	"POST /v1/runtimes":            {doc[AddRuntime], doc[runtimes.Runtime]},
	"DELETE /v1/runtimes/{name}":   nil,
	"HEAD /v1/artifacts/{sha256}":  nil,
	"PUT /v1/artifacts/{sha256}":   {doc[Artifact]},
	"GET /v1/logs":                 {doc[observe.Record]},
	"POST /v1/explain":             {doc[Question], doc[Explanation]},
	"POST /v1/roles/{name}/revoke": nil,
	"POST /v1/users/{name}/revoke": nil,
	"GET /v1/audit":                {doc[AuditPage]},
	"GET /v1/audit/verify":         {doc[audit.Summary]},
	"POST /v1/backup":              nil,
}

func doc[T any]() any { return new(T) }

// TestDocument keeps docs/API.md as the API is: every route in order, examples
// that fit, and every error with its status.
func TestDocument(t *testing.T) {
	data, err := os.ReadFile("../../docs/API.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	general, _, _ := strings.Cut(text, "\n## The node")

	var headings []string
	for _, section := range strings.Split(text, "\n### `")[1:] {
		route, rest, _ := strings.Cut(section, "`")
		headings = append(headings, route)
		var examples []string
		for _, m := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(rest, -1) {
			examples = append(examples, m[1])
		}
		want, ok := documents[route]
		if !ok || len(examples) != len(want) {
			t.Errorf("%s: %d JSON examples, want %d", route, len(examples), len(want))
			continue
		}
		for i, example := range examples {
			d := json.NewDecoder(strings.NewReader(example))
			d.DisallowUnknownFields()
			if err := d.Decode(want[i]()); err != nil {
				t.Errorf("%s: example %d does not fit: %v", route, i+1, err)
			}
		}
	}
	var all []string
	for _, r := range routes {
		all = append(all, r.method+" "+r.path)
	}
	if !slices.Equal(headings, all) {
		t.Errorf("docs/API.md describes\n%s\nthe API has\n%s", strings.Join(headings, "\n"), strings.Join(all, "\n"))
	}

	documented := make(map[string]int)
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\d+) \\|").FindAllStringSubmatch(general, -1) {
		documented[m[1]], _ = strconv.Atoi(m[2]) // \d+ is a number
	}
	errors := map[string]int{"bad_request": 400, "no_route": 404, "method_not_allowed": 405, CodeDenied: 403, CodeArtifactMissing: 422, codeThrottled: 429, codeUnauthorized: 401, "internal": 500}
	for _, k := range kinds {
		errors[k.code] = k.status
	}
	if got, want := fmt.Sprint(documented), fmt.Sprint(errors); got != want {
		t.Errorf("docs/API.md says of errors\n%s\nthe API has\n%s", got, want)
	}
}
