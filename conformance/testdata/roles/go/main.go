// Command go is a handler that calls AWS with the SDK for Go, and knows of no
// endpoint, region, key or role: as on Lambda, the environment does.
package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	api "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

type event struct{ Do, Function string }

type answer struct {
	Answer  string `json:"answer,omitempty"`
	Error   string `json:"error,omitempty"`
	Message string `json:"message,omitempty"`
}

func main() {
	cfg, err := config.LoadDefaultConfig(context.Background(), config.WithRetryMaxAttempts(1))
	if err != nil {
		panic(err)
	}
	lambda.Start(func(ctx context.Context, e event) (answer, error) {
		said, err := do(ctx, cfg, e)
		var refused smithy.APIError
		if errors.As(err, &refused) {
			return answer{Error: refused.ErrorCode(), Message: refused.ErrorMessage()}, nil
		}
		return answer{Answer: said}, err
	})
}

func do(ctx context.Context, cfg aws.Config, e event) (string, error) {
	switch e.Do {
	case "who":
		out, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
		if err != nil {
			return "", err
		}
		return aws.ToString(out.Arn), nil
	case "invoke":
		out, err := api.NewFromConfig(cfg).Invoke(ctx, &api.InvokeInput{FunctionName: &e.Function, Payload: []byte(`{"from": "a function"}`)})
		if err != nil {
			return "", err
		}
		return string(out.Payload), nil
	}
	return "", fmt.Errorf("do not know how to %q", e.Do)
}
