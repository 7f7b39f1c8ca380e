package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gust-dev/gust/internal/access/policy"

	gust "github.com/gust-dev/gust"
)

// grant are the flags that say what somebody may do.
type grant struct {
	policies, allow, on []string
	file, boundary      string
	document            []byte // what is in file
}

func (g *grant) flags(c *command, cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&g.policies, "policy", nil, "attach the managed `POLICY`, one of AWS's or one of your own, by name or ARN; can be repeated")
	f.StringSliceVar(&g.allow, "allow", nil, "allow this `ACTION`, with --on; can be repeated")
	f.StringSliceVar(&g.on, "on", nil, "what --allow is about, such as function:api, an ARN, or *; can be repeated")
	f.StringVar(&g.file, "policy-file", "", "give it the policy document in this `FILE`, of its own; - is standard input")
	_ = cmd.RegisterFlagCompletionFunc("policy", c.completeFlag(policyNames))
}

// The inline policies that --allow and standard input make.
const (
	inlineName = "allow"
	stdinName  = "policy"
)

// check checks what can be without a node, and reads the file.
func (g *grant) check(c *command, cmd *cobra.Command) (err error) {
	if len(g.allow) == 0 != (len(g.on) == 0) {
		return usageError{errors.New("--allow and --on belong together: what is allowed, and on what"), cmd.CommandPath()}
	}
	if g.file != "" {
		g.document, err = c.read(g.file)
	}
	return err
}

// steps are what has to be done for what the flags say.
func (g *grant) steps(cmd *cobra.Command, d *directory, h holder) (steps []func() error, err error) {
	for _, name := range g.policies {
		arn, err := d.policyARN(name)
		if err != nil {
			return nil, err
		}
		steps = append(steps, func() error { return d.iam("Attach"+h.kind+"Policy", h.with("PolicyArn", arn)) })
	}
	put := func(name, text string) {
		steps = append(steps, func() error {
			return d.iam("Put"+h.kind+"Policy", h.with("PolicyName", name, "PolicyDocument", text))
		})
	}
	if len(g.allow) > 0 {
		doc, err := g.rights(d.place)
		if err != nil {
			return nil, usageError{err, cmd.CommandPath()}
		}
		put(inlineName, doc)
	}
	switch g.file {
	case "":
	case "-":
		put(stdinName, string(g.document))
	default:
		put(strings.TrimSuffix(filepath.Base(g.file), filepath.Ext(g.file)), string(g.document))
	}
	return steps, nil
}

// rights is the policy of --allow and --on.
func (g *grant) rights(place gust.Place) (string, error) {
	one := gust.Grant{Effect: gust.Allow, Actions: g.allow}
	for _, r := range g.on {
		if _, ok := policy.Function(r); !ok { // which the policy knows itself, with versions
			arn, err := resourceARN(place, r)
			if err != nil {
				return "", fmt.Errorf("--on: %w", err)
			}
			r = arn
		}
		one.Resources = append(one.Resources, r)
	}
	doc, err := policy.FromGrants(place, []gust.Grant{one})
	var problems policy.Problems
	if errors.As(err, &problems) && len(problems) > 0 {
		p := problems[0]
		flag := "--allow"
		if strings.Contains(p.Path, ".on") {
			flag = "--on"
		}
		return "", fmt.Errorf("%s: %s", flag, p.Text)
	}
	if err != nil {
		return "", err
	}
	return string(doc.JSON()), nil
}

var shortForm = regexp.MustCompile(`^([a-z]+):([^:]+)$`)

// resourceARN is what a resource in short means in a place: function:NAME,
// app:NAME, user:NAME, group:NAME, role:NAME, policy:NAME. ARNs and * are what
// they are.
func resourceARN(place gust.Place, r string) (string, error) {
	if r == "*" || strings.HasPrefix(r, "arn:") {
		return r, nil
	}
	if m := shortForm.FindStringSubmatch(r); m != nil {
		switch kind, name := m[1], m[2]; kind {
		case "function":
			return place.FunctionARN(name), nil
		case "app", "runtime":
			return place.ARN(kind, name), nil
		case "user", "group", "role", "policy":
			return "arn:aws:iam::" + place.Account + ":" + kind + "/" + name, nil
		}
	}
	return "", fmt.Errorf(`%q is no resource; want function:NAME, app:NAME, user:NAME, group:NAME, role:NAME, policy:NAME, an ARN, or "*"`, r)
}

// tagList reads KEY=VALUE.
func tagList(list []string) ([]map[string]string, error) {
	tags := []map[string]string{}
	for _, t := range list {
		k, v, ok := strings.Cut(t, "=")
		if !ok || k == "" {
			return nil, fmt.Errorf("--tag %q is none; want KEY=VALUE", t)
		}
		tags = append(tags, map[string]string{"Key": k, "Value": v})
	}
	return tags, nil
}
