// Package protocols drives each protocol of the AWS APIs with AWS's SDK for Go,
// against small services whose types are made of AWS's published models: what is
// sent comes through, and what is answered is understood, errors included.
package protocols

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/aws/wire"
)

//go:generate go run ../../internal/aws/models/gen -models models -out .

// open lets in all who have signed: signatures have tests of their own.
type open struct{}

func (open) Admit(*http.Request, string) (wire.Call, error) { return open{}, nil }

func (open) Anonymous(*http.Request, string) wire.Call { return open{} }

func (open) Context(ctx context.Context) context.Context { return ctx }

func (open) Allow(context.Context, ...access.Need) error { return nil }

func (open) Record(context.Context, wire.Level, string, string) (func(error) error, error) {
	return func(err error) error { return err }, nil
}

// serve makes a service of some of a model's operations, and returns what its
// client is configured with.
func serve(t *testing.T, m *wire.Model, operations ...wire.Operation) aws.Config {
	t.Helper()
	for _, b := range m.Bindings {
		if !slices.ContainsFunc(operations, func(o wire.Operation) bool { return o.Name == b.Name }) {
			operations = append(operations, wire.Refuse("the tests do without it", b.Name)...)
		}
	}
	h, err := wire.New(wire.Options{Guard: open{}, Logger: slog.New(slog.DiscardHandler), Services: []*wire.Service{{Model: m, Operations: operations}}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(server.URL), Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "secret", ""),
		HTTPClient: server.Client(), RetryMaxAttempts: 1, RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported}
}

// op is an operation that is carried out.
func op[In, Out any](name string, f func(context.Context, *In) (*Out, error)) wire.Operation {
	return wire.Operation{Name: name, Level: wire.Data, Note: "whole", Run: wire.Do(f, nil)}
}

// loopback takes each name for this machine's.
func loopback(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
}
