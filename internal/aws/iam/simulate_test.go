package iam

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gust-dev/gust/internal/access"
)

// TestSimulationsEndWithTheirCaller: nobody waits for what is left.
func TestSimulationsEndWithTheirCaller(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	sim := simulation{s: &server{Options: Options{Now: time.Now}}, asks: &access.Principal{}, context: map[string][]string{}}
	decide := func() error {
		_, err := sim.run(ctx, []string{"s3:GetObject"}, nil, nil, nil)
		return err
	}
	if err := decide(); err != nil {
		t.Fatal(err)
	}
	cancel(gone)
	if err := decide(); !errors.Is(err, gone) {
		t.Errorf("it goes on: %v", err)
	}
}
