package node_test

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/api"
)

// iam calls IAM's query API as root; params are names and values in turn.
func (p *process) iam(operation string, params ...string) reply {
	p.h.t.Helper()
	form := url.Values{"Action": {operation}, "Version": {"2010-05-08"}}
	for i := 0; i+1 < len(params); i += 2 {
		form.Set(params[i], params[i+1])
	}
	req, err := http.NewRequest("POST", "http://"+p.api+"/", strings.NewReader(form.Encode()))
	if err == nil {
		req.Host = "iam.localhost"
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Authorization", "Bearer "+p.key.Token())
	}
	r := p.do(req, err)
	if r.status != http.StatusOK {
		p.h.t.Fatalf("%s: %d %s %v", operation, r.status, r.body, r.err)
	}
	return r
}

// user makes a user with a policy and a key, and gives the key's token.
func (p *process) user(name, policy string) (token, keyID string) {
	p.h.t.Helper()
	p.iam("CreateUser", "UserName", name)
	p.iam("PutUserPolicy", "UserName", name, "PolicyName", "own", "PolicyDocument", policy)
	var made struct {
		ID     string `xml:"CreateAccessKeyResult>AccessKey>AccessKeyId"`
		Secret string `xml:"CreateAccessKeyResult>AccessKey>SecretAccessKey"`
	}
	if err := xml.Unmarshal([]byte(p.iam("CreateAccessKey", "UserName", name).body), &made); err != nil {
		p.h.t.Fatal(err)
	}
	return made.ID + "." + made.Secret, made.ID
}

// A deployer with the policy that docs/ACCESS.md shows does by the command what
// it says, and nothing more; the audit log tells all of it.
func TestADeployerOfOneApp(t *testing.T) {
	page, err := os.ReadFile("../../docs/ACCESS.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)deployer\\s+of\\s+a\\s+team.*?```json\n(.*?)```").FindSubmatch(page)
	if block == nil {
		t.Fatal("docs/ACCESS.md shows no policy of a deployer")
	}
	h := newHouse(t)
	n := h.start()
	h.deploy("app: other\nfunctions:\n  theirs: {runtime: provided, source: ./f}\nroutes:\n  GET /theirs: theirs\n")
	token, keyID := n.user("dora", string(block[1]))
	t.Setenv("GUST_KEY", token)

	const shop = "app: shop\nfunctions:\n  shop-f: {runtime: provided, source: ./f%s}\n  plain: {runtime: provided, source: ./f%s}\nroutes:\n  GET /shop: shop-f\n"
	const may = ", policy: [{allow: 'lambda:InvokeFunction', on: 'function:plain'}]"
	h.deploy(fmt.Sprintf(shop, "", ""))
	h.deploy(fmt.Sprintf(shop, may, ""))
	if r := n.get("/shop"); r.status != http.StatusOK {
		t.Errorf("the function answers %d %s", r.status, r.body)
	}
	if out, status := h.gust("logs", "shop-f"); status != 0 || !strings.Contains(out, "REPORT") && out == "" {
		t.Errorf("gust logs ends with %d: %s", status, out)
	}
	denied := func(action, resource string, args ...string) {
		t.Helper()
		out, status := h.gust(args...)
		if want := "user/dora is not authorized to perform: " + action + " on resource: " + resource; status != 1 || !strings.Contains(out, want) {
			t.Errorf("gust %s ends with %d, without %q:\n%s", strings.Join(args, " "), status, want, out)
		}
	}
	h.manifest(fmt.Sprintf(shop, may, may))
	denied("iam:PutRolePolicy", "arn:aws:iam::000000000000:role/gust/fn.plain", "deploy", h.app)
	h.manifest("app: mine\nfunctions:\n  mine: {runtime: provided, source: ./f}\n")
	denied("gust:DeployApp", "arn:aws:gust:us-east-1:000000000000:app/mine", "deploy", h.app)
	h.manifest("app: shop\nfunctions:\n  theirs: {runtime: provided, source: ./f}\n")
	if out, status := h.gust("deploy", h.app, "--take", "function:theirs", "--take", "route:GET /theirs"); status != 1 || !strings.Contains(out, "another app") || strings.Contains(out, "app other") {
		t.Errorf("taking from another app ends with %d: %s", status, out)
	}
	denied("gust:RemoveApp", "arn:aws:gust:us-east-1:000000000000:app/shop", "rm", "shop")
	denied("gust:ReadLogs", "arn:aws:lambda:us-east-1:000000000000:function:theirs", "logs", "theirs")
	denied("gust:Backup", "*", "backup", h.app+"/backup.tar")
	denied("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:000000000000:function:shop-f", "invoke", "shop-f")
	if out, status := h.gust("env"); status != 0 || !strings.Contains(out, keyID) {
		t.Errorf("gust env ends with %d: %s", status, out)
	}

	// A key that is turned off is none from then on.
	n.iam("UpdateAccessKey", "UserName", "dora", "AccessKeyId", keyID, "Status", "Inactive")
	if out, status := h.gust("logs", "shop-f"); status != 1 || !strings.Contains(out, "does not accept the key") {
		t.Errorf("with an inactive key gust logs ends with %d: %s", status, out)
	}

	audited := func(q api.AuditQuery) []*audit.Record {
		t.Helper()
		page, err := n.client.Audit(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		return page.Records
	}
	count := map[string]int{}
	for _, r := range audited(api.AuditQuery{Principal: "arn:aws:iam::000000000000:user/dora"}) {
		count[r.Action+" "+string(r.Result)]++
		if r.KeyID != keyID || r.Source != "127.0.0.1" || len(r.RequestID) != 36 {
			t.Errorf("%+v", r)
		}
	}
	for what, want := range map[string]int{
		"gust:DeployApp ok": 2, "gust:DeployApp denied": 2, "iam:PutRolePolicy denied": 1, "gust:DeployApp error": 1, "gust:RemoveApp denied": 1,
		"gust:ReadLogs ok": 1, "gust:ReadLogs denied": 1, "gust:Backup denied": 1, "lambda:InvokeFunction denied": 1,
	} {
		if count[what] != want {
			t.Errorf("the audit log has %d times %s, want %d: %v", count[what], what, want, count)
		}
	}
	made := audited(api.AuditQuery{Action: "iam:CreateAccessKey"})
	if len(made) != 1 || made[0].Result != audit.OK || made[0].Parameters["UserName"] != "dora" {
		t.Errorf("%+v", made)
	}
	_, secret, _ := strings.Cut(token, ".")
	for _, r := range audited(api.AuditQuery{Limit: api.MaxAuditRecords}) {
		if text := fmt.Sprintf("%+v", r); strings.Contains(text, secret) || strings.Contains(text, "2012-10-17") {
			t.Errorf("the audit log tells a secret, or a policy: %s", text)
		}
	}
	n.stop()
}

// What a function is denied is recorded with the environment that asked, and
// figures count it.
func TestAFunctionIsDenied(t *testing.T) {
	h := newHouse(t)
	n := h.start()
	h.deploy(insideManifest)
	c := n.credentials("f")
	status, body := n.asks("f", "/v1/apps", "Bearer "+c.AccessKeyID+"."+c.SecretAccessKey+"."+c.Token)
	if status != http.StatusForbidden || !strings.Contains(body, "gust:ListApps") || strings.Contains(body, "inside\"") {
		t.Errorf("%d %s", status, body)
	}
	page, err := n.client.Audit(context.Background(), api.AuditQuery{Result: audit.Denied})
	if err != nil || len(page.Records) != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
	environments := n.environments("f")
	if r := page.Records[0]; len(environments) != 1 || r.Environment != environments[0].ID || r.Session != r.Environment ||
		r.Principal != "arn:aws:sts::000000000000:assumed-role/fn.f/"+r.Environment {
		t.Errorf("%+v, and the environments are %+v", r, environments)
	}
	figures := n.metrics()
	for _, want := range []string{`gust_denials_total{explicit="false",policy="identity"} 1`} {
		if !strings.Contains(figures, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	n.stop()
}

// A backup holds no keys: a node of a restored folder starts with new ones, refuses
// the old access keys by name, lets root in, and takes the old ones again when the
// seal key is brought back.
func TestARestoredFolderWithoutItsSealKey(t *testing.T) {
	h := newHouse(t)
	n := h.start()
	token, keyID := n.user("dora", `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "gust:*", "Resource": "*"}}`)
	backup := filepath.Join(t.TempDir(), "backup.tar")
	if out, status := h.gust("backup", backup); status != 0 {
		t.Fatal(out)
	}
	n.stop()
	old := h.data
	h.data = filepath.Join(t.TempDir(), "restored")
	if out, status := h.gust("restore", backup); status != 0 || !strings.Contains(out, "seal.key") || !strings.Contains(out, "root.key") {
		t.Fatalf("gust restore ends with %d: %s", status, out)
	}
	as := func(token string) int {
		req, err := http.NewRequest("GET", "http://"+n.api+"/v1/apps", nil)
		if err == nil {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		return n.do(req, err).status
	}
	n = h.start()
	if root, user := as(n.key.Token()), as(token); root != http.StatusOK || user != http.StatusUnauthorized {
		t.Errorf("root gets %d, the user %d", root, user)
	}
	if log := n.log.String(); !strings.Contains(log, "sealed under another seal key") || !strings.Contains(log, "key="+keyID) {
		t.Errorf("the log does not name the key that is refused:\n%s", log)
	}
	n.iam("CreateAccessKey", "UserName", "dora")
	n.stop()
	seal, err := os.ReadFile(filepath.Join(old, "seal.key"))
	if err == nil {
		err = os.WriteFile(filepath.Join(h.data, "seal.key"), seal, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	n = h.start()
	if root, user := as(n.key.Token()), as(token); root != http.StatusOK || user != http.StatusOK {
		t.Errorf("with the old seal key root gets %d, the user %d", root, user)
	}
	n.stop()
}
