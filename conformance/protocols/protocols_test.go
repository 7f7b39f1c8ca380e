// Package protocols drives each protocol of the AWS APIs with AWS's SDK for Go,
// against small services whose types are made of AWS's published models: what is
// sent comes through, and what is answered is understood, errors included.
package protocols

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/gust-dev/gust/internal/aws/wire"
	"github.com/gust-dev/gust/internal/aws/wire/wiretest"
)

//go:generate go run github.com/gust-dev/gust/internal/aws/models/gen -models models -out .

// TestGeneratedFilesAreOfTheModels: the types are what the models here give.
func TestGeneratedFilesAreOfTheModels(t *testing.T) {
	out := t.TempDir()
	if text, err := exec.Command("go", "run", "github.com/gust-dev/gust/internal/aws/models/gen", "-models", "models", "-out", out).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	files, err := filepath.Glob("*/model_gen.go")
	if err != nil || len(files) != 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		want, err := os.ReadFile(filepath.Join(out, file))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what its model gives (%v): run go generate ./protocols", file, err)
		}
	}
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
	h, err := wire.New(wire.Options{Guard: wiretest.New(t).Guard, Logger: slog.New(slog.DiscardHandler), Services: []*wire.Service{{Model: m, Operations: operations}}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(h)
	if m.S3 { // over TLS the SDK sends bodies in chunks, and their checksums after them
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(server.URL), Credentials: credentials.NewStaticCredentialsProvider(wiretest.Key.ID, wiretest.Key.Secret, ""),
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
