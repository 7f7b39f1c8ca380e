package api

import (
	"errors"
	"net/http"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/invoke"
)

// WarmUp is the answer to a warm-up: one of both is set.
type WarmUp struct {
	*invoke.WarmUp
	// Failed says why the function does not come up.
	Failed *InitFailure `json:"failed,omitempty"`
}

// InitFailure is a *gust.FunctionError on the wire.
type InitFailure struct {
	Outcome gust.Outcome `json:"outcome"`
	Type    string       `json:"type"`
	Message string       `json:"message"`
	// Output is the end of what the program printed.
	Output string `json:"output,omitempty"`
}

func (s *server) warm(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	up, err := s.Warm(r.Context(), r.PathValue("name"))
	var fe *gust.FunctionError
	switch {
	case errors.As(err, &fe):
		return reply(w, http.StatusOK, WarmUp{Failed: &InitFailure{Outcome: fe.Outcome, Type: fe.Type, Message: fe.Message, Output: fe.Output}})
	case err != nil:
		return err
	}
	return reply(w, http.StatusOK, WarmUp{WarmUp: up})
}
