package conformance

import "testing"

// TestIdentityByBoto3 drives IAM and STS with AWS's SDK for Python, as the
// examples of AWS's documentation do.
func TestIdentityByBoto3(t *testing.T) {
	python := need(t, "../.cache/conformance/clients/bin/python")
	env := []string{"HOME=" + t.TempDir()}
	for k, v := range shared.env {
		env = append(env, k+"="+v)
	}
	if got := decode[struct{ Passed bool }](t, run(t, ".", env, python, "testdata/identity/iam.py")); !got.Passed {
		t.Error("the script ended early")
	}
}
