package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Params are the members of a request to an AWS API.
type Params map[string]any

// AWS calls an operation of an AWS API on the node, in AWS JSON 1.1, which those
// of the query protocol speak there too. out gets the answer; nil is for what has
// none.
func (c *Client) AWS(ctx context.Context, service, operation string, in Params, out any) error {
	if in == nil {
		in = Params{}
	}
	data, err := json.Marshal(in)
	if err != nil {
		return err
	}
	resp, err := c.send(ctx, "POST", "/", bytes.NewReader(data), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", service+"."+operation)
	})
	if err != nil {
		return plainly(err)
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("reading what %s answered to %s:%s: %w", c.Endpoint, service, operation, err)
	}
	return nil
}

// plainly writes AWS's texts as Gust's own are written. That of a denial is the
// same in both.
func plainly(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Message != "" && !strings.HasPrefix(e.Message, "User: ") {
		e.Message = strings.ToLower(e.Message[:1]) + strings.TrimSuffix(e.Message[1:], ".")
	}
	return err
}

// List reads a list of IAM's to its end, page by page: member is where the
// answer has it.
func List[T any](ctx context.Context, c *Client, operation, member string, in Params) ([]T, error) {
	all := []T{}
	asked := Params{}
	for k, v := range in {
		asked[k] = v
	}
	for {
		var page map[string]json.RawMessage
		if err := c.AWS(ctx, "iam", operation, asked, &page); err != nil {
			return nil, err
		}
		var list []T
		var more bool
		var marker string
		for name, to := range map[string]any{member: &list, "IsTruncated": &more, "Marker": &marker} {
			if raw, ok := page[name]; ok {
				if err := json.Unmarshal(raw, to); err != nil {
					return nil, fmt.Errorf("reading what %s answered to iam:%s: %w", c.Endpoint, operation, err)
				}
			}
		}
		if all = append(all, list...); !more || marker == "" {
			return all, nil
		}
		asked["Marker"] = marker
	}
}

// Epoch is a time as AWS JSON has it: seconds since 1970.
type Epoch struct{ time.Time }

// UnmarshalJSON reads it.
func (e *Epoch) UnmarshalJSON(data []byte) error {
	var seconds float64
	if err := json.Unmarshal(data, &seconds); err != nil {
		return err
	}
	e.Time = time.Unix(int64(seconds), 0).UTC()
	return nil
}
