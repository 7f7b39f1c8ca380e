// Program greet is what gusttest's own tests deploy.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
)

type event struct {
	Name           string            `json:"name"`
	PathParameters map[string]string `json:"pathParameters"`
}

func greet(_ context.Context, e event) (string, error) {
	name := e.Name + e.PathParameters["name"]
	fmt.Println("greeting", name)
	if name == "nobody" {
		return "", errors.New("nobody is there")
	}
	return os.Getenv("GREETING") + ", " + name + "!", nil
}

func main() { lambda.Start(greet) }
