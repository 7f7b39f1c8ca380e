package conformance

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestTerraform has Terraform itself make, read, change, import and destroy all
// that its provider for AWS has of IAM and that Gust carries out: after each
// apply there is nothing left to do. It is run where Terraform or OpenTofu is
// installed and the provider can be had; elsewhere TestTerraformsCalls stands in.
func TestTerraform(t *testing.T) {
	program := ""
	for _, name := range []string{"terraform", "tofu"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Skip("neither terraform nor tofu is installed")
	}
	app := t.TempDir()
	write(t, filepath.Join(app, "tf", "bootstrap"), shellRuntime(t), 0o755)
	manifest(t, app, "app: tf\nfunctions:\n  tf-called: {runtime: provided, source: ./tf}\n")
	deploy(t, app, "tf")

	dir, home := t.TempDir(), t.TempDir()
	copyFile(t, "testdata/terraform/main.tf", filepath.Join(dir, "main.tf"))
	env := append(clientEnv(t), "HOME="+home, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_INPUT=0", "TF_CLI_CONFIG_FILE="+providers(t, home),
		"TF_VAR_function=tf-called", "TF_VAR_changed=false")
	terraform := func(args ...string) []byte {
		t.Helper()
		return run(t, dir, env, program, append(args, "-no-color")...)
	}
	initialize := exec.CommandContext(t.Context(), program, "init", "-no-color")
	initialize.Dir, initialize.Env = dir, append(shared.environ(), env...)
	if out, err := initialize.CombinedOutput(); err != nil {
		t.Skipf("the provider for AWS cannot be had (unpack it below a folder that TERRAFORM_PLUGINS names): %v\n%s", err, out)
	}

	apply := func() map[string]any {
		t.Helper()
		terraform("apply", "-auto-approve")
		terraform("plan", "-detailed-exitcode") // fails when something is left to do
		return decode[map[string]any](t, terraform("output", "-json", "seen"))
	}
	destroyed := false
	defer func() {
		if !destroyed && t.Failed() { // what it made must not be in the way of other tests
			destroy := exec.Command(program, "destroy", "-auto-approve", "-no-color")
			destroy.Dir, destroy.Env = dir, append(shared.environ(), env...)
			if out, err := destroy.CombinedOutput(); err != nil {
				t.Logf("%v\n%s", err, out)
			}
		}
	}()
	want := map[string]any{
		"me": account + "root", "issuer": account + "root", "managed": "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole", "alias": "gust-first",
		"user": account + "user/one/tf-one", "bound": "", "members": []any{"tf-one"}, "keys": []any{"Active"}, "longest": 3600., "clients": []any{"app"}, "allowed": true,
	}
	if got := apply(); !reflect.DeepEqual(got, want) {
		t.Errorf("made: %v\nwant %v", got, want)
	}

	env = append(env, "TF_VAR_changed=true")
	want["alias"], want["user"], want["bound"] = "gust-second", account+"user/two/tf-one", account+"policy/bounds/tf-bound"
	want["keys"], want["longest"], want["clients"] = []any{"Inactive"}, 7200., []any{"app", "other"}
	if got := apply(); !reflect.DeepEqual(got, want) {
		t.Errorf("changed: %v\nwant %v", got, want)
	}

	for address, id := range map[string]string{
		"aws_iam_user.one": "tf-one", "aws_iam_group.first": "tf-first", "aws_iam_role.worker": "tf-worker", "aws_iam_policy.bound": account + "policy/bounds/tf-bound",
		"aws_iam_role_policy_attachment.worker":  "tf-worker/arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole",
		"aws_iam_service_linked_role.scaling":    account + "role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling_tf",
		"aws_iam_openid_connect_provider.issuer": account + "oidc-provider/issuer.example.com",
	} {
		run(t, dir, env, program, "state", "rm", address)
		terraform("import", address, id)
	}
	// What cannot be read back, such as force_destroy, is all that differs.
	terraform("apply", "-auto-approve")
	terraform("plan", "-detailed-exitcode")

	terraform("destroy", "-auto-approve")
	destroyed = true
	if left := strings.TrimSpace(string(run(t, dir, env, program, "state", "list"))); left != "" {
		t.Errorf("after destroy there is still %s", left)
	}
}

// providers writes a configuration of Terraform's that takes providers from where
// they are on this machine, and else from their registry.
func providers(t *testing.T, home string) string {
	t.Helper()
	text := ""
	places, _ := filepath.Glob("/opt/*/registry.terraform.io")
	if dir := os.Getenv("TERRAFORM_PLUGINS"); dir != "" {
		places = append(places, filepath.Join(dir, "registry.terraform.io"))
	}
	if len(places) > 0 {
		path, err := json.Marshal(filepath.Dir(places[len(places)-1]))
		if err != nil {
			t.Fatal(err)
		}
		text = "provider_installation {\n  filesystem_mirror { path = " + string(path) + " }\n}\n"
	}
	config := filepath.Join(home, "terraform.rc")
	write(t, config, []byte(text), 0o644)
	return config
}
