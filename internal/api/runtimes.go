package api

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/runtimes"
)

// AddRuntime is the body of an addition.
type AddRuntime struct {
	// Name is node@MAJOR or python@3.MINOR.
	Name string `json:"name"`
	// From is a tarball, or a folder with an unpacked one or an image, as an
	// absolute path on the node's machine. Empty is what the system has.
	From string `json:"from,omitempty"`
}

// runtimes answers when the node has what its system has: soon after its start.
func (s *server) runtimes(q *request) (answer, error) {
	if _, err := parameters(q); err != nil {
		return answer{}, err
	}
	if err := q.allow(everything); err != nil {
		return answer{}, err
	}
	if err := s.Runtimes.Settle(q.Context()); err != nil {
		return answer{}, err
	}
	list := s.Runtimes.List()
	for i := range list {
		list[i].Functions = slices.DeleteFunc(slices.Clone(list[i].Functions), func(f string) bool {
			return !q.mayDo("gust:ListFunctions", s.Place.FunctionARN(f))
		})
	}
	return reply(http.StatusOK, struct {
		Runtimes []runtimes.Listed `json:"runtimes"`
	}{list})
}

func (s *server) addRuntime(q *request) (answer, error) {
	if _, err := parameters(q); err != nil {
		return answer{}, err
	}
	var req AddRuntime
	if err := decode(q, &req, maxUnasked); err != nil {
		return answer{}, err
	}
	if err := q.allow(s.Place.ARN("runtime", req.Name), named("from", req.From)...); err != nil {
		return answer{}, err
	}
	added, err := s.Runtimes.Add(q.Context(), req.Name, req.From)
	if err != nil {
		return answer{}, err
	}
	return reply(http.StatusOK, added)
}

func (s *server) removeRuntime(q *request) (answer, error) {
	if _, err := parameters(q); err != nil {
		return answer{}, err
	}
	if err := q.allow(s.Place.ARN("runtime", q.PathValue("name"))); err != nil {
		return answer{}, err
	}
	if err := s.Runtimes.Remove(q.PathValue("name")); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}

// pins finds the roots that functions are pinned to, and keeps them until release
// is called. What is still being made is waited for here, and not while others
// wait to deploy.
func (s *server) pins(ctx context.Context, app *gust.App) (root func(string) (gust.Digest, error), release func()) {
	var held []func()
	find := func(interpreter string) (gust.Digest, error) {
		r, release, err := s.Runtimes.Hold(ctx, interpreter)
		if err != nil {
			return "", err
		}
		held = append(held, release)
		return r.Digest, nil
	}
	asked := make(map[string]bool)
	for _, f := range app.Functions {
		if !asked[f.Interpreter] {
			asked[f.Interpreter] = true
			_, _ = find(f.Interpreter) // of functions that do not change nobody wants to know
		}
	}
	return find, func() {
		for _, release := range held {
			release()
		}
	}
}

// Runtimes lists what the node has, when it has what its system has.
func (c *Client) Runtimes(ctx context.Context) ([]runtimes.Listed, error) {
	list, err := ask[struct{ Runtimes []runtimes.Listed }](ctx, c, "GET", "/v1/runtimes", nil)
	if err != nil {
		return nil, err
	}
	return list.Runtimes, nil
}

// AddRuntime adds one, from a path on the node's machine or from its system.
func (c *Client) AddRuntime(ctx context.Context, name, from string) (*runtimes.Runtime, error) {
	return ask[runtimes.Runtime](ctx, c, "POST", "/v1/runtimes", &AddRuntime{Name: name, From: from})
}

// RemoveRuntime removes one that no function is pinned to.
func (c *Client) RemoveRuntime(ctx context.Context, name string) error {
	resp, err := c.send(ctx, "DELETE", "/v1/runtimes/"+url.PathEscape(name), nil, nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
