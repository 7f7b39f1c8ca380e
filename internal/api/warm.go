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

func (s *server) warm(q *request) (answer, error) {
	if _, err := parameters(q); err != nil {
		return answer{}, err
	}
	if err := q.allow(s.Place.FunctionARN(q.PathValue("name"))); err != nil {
		return answer{}, err
	}
	up, err := s.Warm(q.Context(), q.PathValue("name"))
	var fe *gust.FunctionError
	switch {
	case errors.As(err, &fe):
		return reply(http.StatusOK, WarmUp{Failed: &InitFailure{Outcome: fe.Outcome, Type: fe.Type, Message: fe.Message, Output: fe.Output}})
	case err != nil:
		return answer{}, err
	}
	return reply(http.StatusOK, WarmUp{WarmUp: up})
}
