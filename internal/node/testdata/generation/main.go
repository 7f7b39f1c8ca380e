// Command generation answers with the generation that it was deployed as.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	lambda.Start(func(context.Context) (string, error) { return os.Getenv("GENERATION"), nil })
}
