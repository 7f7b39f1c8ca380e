// Command api greets whoever asks, as an unchanged AWS Lambda function. It can
// be told to misbehave, to show what then happens:
//
//	do=sleep&for=10s   takes its time
//	do=spin            uses all the processor time it gets, for ever
//	do=error           answers with an error
//	do=exit            ends its own process
//	do=crash           dies of a signal
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// event is an HTTP request, or what `gust invoke hello -d '{"name": "Ada"}'`
// sends.
type event struct {
	events.APIGatewayV2HTTPRequest
	Name string `json:"name"`
	Do   string `json:"do"`
	For  string `json:"for"`
}

type answer struct {
	Message string `json:"message"`
}

func greet(ctx context.Context, e event) (*answer, error) {
	query := e.QueryStringParameters
	name := cmp.Or(e.Name, e.PathParameters["name"], "world")
	what := cmp.Or(e.Do, query["do"])

	request := ""
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		request = lc.AwsRequestID
	}
	slog.Info("greeting", "name", name, "do", what, "requestId", request)

	switch what {
	case "":
	case "sleep":
		d, err := time.ParseDuration(cmp.Or(e.For, query["for"], "1s"))
		if err != nil {
			return nil, err
		}
		time.Sleep(d)
	case "spin":
		for {
		}
	case "error":
		return nil, errors.New("told to answer with an error")
	case "exit":
		os.Exit(3)
	case "crash":
		debug.SetTraceback("crash") // a panic ends in SIGABRT
		go panic("told to crash")
		select {}
	default:
		return nil, fmt.Errorf("do not know how to %q", what)
	}
	return &answer{fmt.Sprintf("%s, %s!", cmp.Or(os.Getenv("GREETING"), "Hello"), name)}, nil
}

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	lambda.Start(greet)
}
