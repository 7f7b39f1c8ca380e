// Package scratch runs a node for a while: in this process, on a data folder
// that goes when the node does. `gust dev`, `gust test` and package gusttest
// work with one.
package scratch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"

	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/node"
)

// Free is the address of a door on a free port.
const Free = "127.0.0.1:0"

// Node is a node with a client of its own.
type Node struct {
	*node.Node
	Client *api.Client
	Dir    string // its data folder
	region string
}

// Start starts a node. The data folder is c.Data, or a new one where that is
// empty; Close removes it.
func Start(ctx context.Context, c node.Config, build api.Build, logger *slog.Logger, hooks node.Hooks) (_ *Node, err error) {
	if c.Data == "" {
		if c.Data, err = os.MkdirTemp("", "gust-"); err != nil {
			return nil, fmt.Errorf("making a data folder: %w", err)
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, os.RemoveAll(c.Data))
			}
		}()
	}
	n, err := node.OpenWith(ctx, c, build, logger, hooks)
	if err != nil {
		return nil, fmt.Errorf("the node did not start: %w", err)
	}
	client, err := n.Address().Client(n.Key())
	if err != nil {
		return nil, errors.Join(err, n.Close(ctx))
	}
	return &Node{Node: n, Client: client, Dir: c.Data, region: c.Region}, nil
}

// URL is where users' traffic goes, such as http://127.0.0.1:8080.
func (n *Node) URL() string { return "http://" + api.Reachable(n.HTTPAddr()) }

// Close stops the node, as [node.Node.Close] does, and removes its data folder.
// The folder gets another name first: the next node on it may start at once.
func (n *Node) Close(ctx context.Context) error {
	n.Client.Close()
	err := n.Node.Close(ctx)
	gone := fmt.Sprintf("%s.%d.gone", n.Dir, os.Getpid())
	if rerr := os.Rename(n.Dir, gone); rerr != nil {
		gone = n.Dir
	}
	return errors.Join(err, os.RemoveAll(gone))
}

// Environ are the variables that AWS clients need to work with the node.
func (n *Node) Environ() []string {
	variables := []string{
		"AWS_ENDPOINT_URL=" + n.Client.Endpoint,
		"AWS_ENDPOINT_URL_LAMBDA=" + n.Client.Endpoint,
		"AWS_ACCESS_KEY_ID=" + n.Key().ID,
		"AWS_SECRET_ACCESS_KEY=" + n.Key().Secret,
		"AWS_REGION=" + n.region,
		"AWS_DEFAULT_REGION=" + n.region,
	}
	if bundle := n.Address().Bundle; bundle != "" {
		variables = append(variables, "AWS_CA_BUNDLE="+bundle, "NODE_EXTRA_CA_CERTS="+bundle)
	}
	return variables
}

// Door is addr, or a free port's where somebody listens on addr.
func Door(addr string) string {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return Free
	}
	_ = ln.Close() // nobody has connected
	return addr
}
