package protocols

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/gust-dev/gust/conformance/protocols/cloudwatch"
	"github.com/gust-dev/gust/internal/aws/wire/wiretest"
)

// TestBoto3 drives the same services with AWS's SDK for Python, which reads and
// writes most of it in its own way.
func TestBoto3(t *testing.T) {
	python, err := filepath.Abs("../../.cache/conformance/clients/bin/python")
	if err == nil {
		_, err = exec.LookPath(python)
	}
	if err != nil {
		t.Skipf("there is no %s; conformance/install.sh installs it", python)
	}
	var s shelf
	var told []cloudwatch.MetricDatum
	endpoints, err := json.Marshal(map[string]*string{"s3": s.service(t).BaseEndpoint, "cloudwatch": serve(t, cloudwatch.Model(), metrics(&told)...).BaseEndpoint,
		"dynamodb": table(t).BaseEndpoint, "kinesis": shards(t, nil).BaseEndpoint})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "testdata/boto.py", string(endpoints), wiretest.Key.ID, wiretest.Key.Secret)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PYTHONWARNINGS=ignore"}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
	}
	var got, want map[string]any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := json.Unmarshal([]byte(`{
		"get": ["the body", {"colour": "blue"}, "text/x-own", "2026-03-01T12:30:45+00:00", true],
		"head": 8,
		"list": ["a/b c+d/\u00fc&<>\"'=?#%41", "line\r\nbreak"],
		"missing": "404 NoSuchKey The specified key does not exist.",
		"headless": "404 404 Not Found",
		"same": "304 304 Not Modified",
		"removed": ["a/b c+d/\u00fc&<>\"'=?#%41"],
		"acl": [{"Grantee": {"ID": "me", "Type": "CanonicalUser"}, "Permission": "READ"}],
		"select": ["{\"a\":1}", "Cont", "Stats", "End"],
		"metrics": ["Infinity", -0.1, "2026-03-01T01:02:03+00:00"],
		"reserved": "400 InvalidParameterValue The value AWS/ is reserved",
		"refused": "400 UnknownOperationException the Amazon CloudWatch operation DeleteAlarms is not carried out by Gust: the tests do without it",
		"item": true,
		"condition": "400 ConditionalCheckFailedException The conditional request failed",
		"shard": ["00ff", "01ff", "02ff"],
		"busy": ["00ff", "01ff", "02ff", "ResourceInUseException"]
	}`), &want); err != nil {
		t.Fatal(err)
	}
	for name, w := range want {
		if !reflect.DeepEqual(got[name], w) {
			t.Errorf("%s is %v, want %v", name, got[name], w)
		}
	}
	if len(told) != 200 || told[0].Dimensions[0].Value != "\u00e4" {
		t.Errorf("%d data came", len(told))
	}
}
