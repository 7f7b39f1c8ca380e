package identity

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gust-dev/gust/internal/access"
)

// TestServicesAreKnown: each line of the list can be carried out, the list says
// each service once and in order, and docs/ACCESS.md has them all.
func TestServicesAreKnown(t *testing.T) {
	page, err := os.ReadFile("../../../docs/ACCESS.md")
	must(t, err)
	d, _ := open(t, options())
	form := regexp.MustCompile(`^([a-z0-9-]+\.)+amazonaws\.com AWSServiceRoleFor\w+( suffix)?( policy:\w+)?$`)
	last := ""
	for line := range strings.Lines(linkedRoles) {
		line = strings.TrimSuffix(line, "\n")
		service, _, _ := strings.Cut(line, " ")
		if !form.MatchString(line) || service <= last {
			t.Errorf("the line %q", line)
		}
		last = service
		e, err := d.CreateLinkedRole(t.Context(), service, "", "")
		if err != nil || e.Path != "/aws-service-role/"+service+"/" || e.Service != service {
			t.Errorf("%s: %v, %v", service, e, err)
		}
		for _, arn := range e.Attached {
			if p, err := d.Policy(arn); err != nil || p.Attachable() {
				t.Errorf("%s has the policy %s: %v", service, arn, err)
			}
		}
		if short := strings.TrimSuffix(service, ".amazonaws.com"); !regexp.MustCompile(`[ \n]` + regexp.QuoteMeta(short) + `[,.\n]`).Match(page) {
			t.Errorf("docs/ACCESS.md does not have %s", short)
		}
	}
}

func TestALinkedRoleIsItsServices(t *testing.T) {
	d, s := open(t, options())
	c, _ := user(t, d, "alice", allow("*", "*"))
	_, err := d.CreatePolicy(t.Context(), NewPolicy{Name: "shared", Document: allow("sqs:*", "*")})
	must(t, err)
	e, err := d.CreateLinkedRole(t.Context(), "elasticbeanstalk.amazonaws.com", "", "For the web.")
	must(t, err)
	if e.ARN != account+"role/aws-service-role/elasticbeanstalk.amazonaws.com/AWSServiceRoleForElasticBeanstalk" || e.Description != "For the web." || len(e.Attached) != 1 {
		t.Errorf("it is %+v", e)
	}
	if _, err := d.CreateLinkedRole(t.Context(), "elasticbeanstalk.amazonaws.com", "", ""); !errors.As(err, new(*ExistsError)) {
		t.Errorf("the same again: %v", err)
	}
	for _, suffix := range []string{"", "blue"} {
		e, err := d.CreateLinkedRole(t.Context(), "autoscaling.amazonaws.com", suffix, "")
		if want := strings.TrimSuffix("AWSServiceRoleForAutoScaling_"+suffix, "_"); err != nil || e.Name != want {
			t.Errorf("%q: %v, %v", suffix, e, err)
		}
	}
	for service, suffix := range map[string]string{"batch.amazonaws.com": "x", "nobody.amazonaws.com": "", "Batch.amazonaws.com": "", "": "", "batch.amazonaws.com ": "", "suffix": "",
		"autoscaling.amazonaws.com": strings.Repeat("x", 64), "connect.amazonaws.com": "a/b"} {
		if _, err := d.CreateLinkedRole(t.Context(), service, suffix, ""); !errors.As(err, new(*InvalidError)) {
			t.Errorf("%s %s: %v", service, suffix, err)
		}
	}
	if _, err := d.CreateRole(t.Context(), NewEntity{Name: "mine", Path: "/AWS-service-role/x/", Trust: trust(alice, "")}); !errors.As(err, new(*InvalidError)) {
		t.Errorf("a role of one's own at the path: %v", err)
	}

	must(t, d.Close())
	d = openOn(t, s, options())
	r, hour := Role("awsserviceroleforelasticbeanstalk"), time.Hour
	for what, err := range map[string]error{
		"an inline policy": d.PutInline(t.Context(), r, "own", allow("sqs:*", "*")), "a policy": d.Attach(t.Context(), r, account+"policy/shared"),
		"without its policy": d.Detach(t.Context(), r, e.Attached[0]), "a boundary": d.SetBoundary(t.Context(), r, account+"policy/shared"),
		"another trust policy": d.SetTrust(t.Context(), r.Name, trust(alice, "")), "removed": d.Delete(t.Context(), r),
		"revoked": d.Revoke(t.Context(), r), "longer sessions": d.UpdateRole(t.Context(), r.Name, nil, &hour),
	} {
		if !errors.As(err, new(*UnmodifiableError)) || !strings.Contains(err.Error(), "elasticbeanstalk.amazonaws.com") {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, d.Tag(t.Context(), r, map[string]string{"team": "web"}))
	text := "Another."
	must(t, d.UpdateRole(t.Context(), r.Name, &text, nil))
	if e, err := d.Entity(r); err != nil || e.Tags["team"] != "web" || e.Description != text {
		t.Errorf("it is %+v, %v", e, err)
	}
	for _, who := range []*access.Caller{c, {Credential: d.root, At: d.now()}} {
		_, err = d.AssumeRole(who, AssumeRole{RoleARN: e.ARN, SessionName: "run"})
		denied(t, "assumed", err)
	}
	if err := d.Attach(t.Context(), User("alice"), e.Attached[0]); !errors.As(err, new(*NotAttachableError)) {
		t.Errorf("its policy for somebody else: %v", err)
	}
	if err := d.SetBoundary(t.Context(), User("alice"), e.Attached[0]); !errors.As(err, new(*NotAttachableError)) {
		t.Errorf("its policy as a boundary: %v", err)
	}

	role(t, d, "mine", trust(alice, ""), "")
	for _, name := range []string{"mine", "none", "fn.none"} {
		if _, err := d.DeleteLinkedRole(t.Context(), name); !errors.As(err, new(*NotFoundError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	task, err := d.DeleteLinkedRole(t.Context(), r.Name)
	must(t, err)
	if !strings.HasPrefix(task, "task/aws-service-role/elasticbeanstalk.amazonaws.com/AWSServiceRoleForElasticBeanstalk/") {
		t.Errorf("the task is %s", task)
	}
	if _, err := d.Entity(r); !errors.As(err, new(*NotFoundError)) {
		t.Errorf("it is there: %v", err)
	}
	must(t, d.Close())
	d = openOn(t, s, options())
	if path, name, err := d.DeletionTask(task); err != nil || iamARN(place, KindRole, path, name) != e.ARN {
		t.Errorf("the task is of %s%s, %v", path, name, err)
	}
	again, err := d.CreateLinkedRole(t.Context(), "elasticbeanstalk.amazonaws.com", "", "")
	if err != nil || again.ID == e.ID {
		t.Errorf("made anew it is %v, %v", again, err)
	}
}

// FuzzDeletionTask: no name is a task's but those that the node has given.
func FuzzDeletionTask(f *testing.F) {
	d := &Directory{seal: newSeal([32]byte{1}, place.Account)}
	const good = "task/aws-service-role/batch.amazonaws.com/AWSServiceRoleForBatch/ec2fe1de-2d2a-8a12-8a72-c08b2f8a0d55"
	task := good[:strings.LastIndexByte(good, '/')+1] + d.seal.sign("batch.amazonaws.com", "AWSServiceRoleForBatch", [16]byte{1, 2, 3}).String()
	if _, _, err := d.DeletionTask(task); err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{task, good, "", "task/", "task/aws-service-role////", strings.ToUpper(task), task + "/", task[:len(task)-1], strings.Replace(task, "Batch", "Botch", 1),
		strings.Replace(task, "-", "", 4), strings.Replace(task, "AWSService", "{AWSService", 1)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if path, name, err := d.DeletionTask(s); (err == nil) != (s == task) {
			t.Errorf("%q is a task: %s%s, %v", s, path, name, err)
		}
	})
}
