// Program {{name}} greets.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

type answer struct {
	Message string `json:"message"`
}

func handler(_ context.Context, request events.APIGatewayV2HTTPRequest) (answer, error) {
	who := request.PathParameters["who"]
	slog.Info("greeting", "who", who)
	return answer{os.Getenv("GREETING") + ", " + who + "!"}, nil
}

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	lambda.Start(handler)
}
