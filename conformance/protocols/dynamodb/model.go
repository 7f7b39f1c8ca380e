// Package dynamodb has types of DynamoDB, of AWS JSON 1.0, for tests.
package dynamodb

import "github.com/gust-dev/gust/internal/aws/wire"

// Model is what AWS publishes of the service.
func Model() *wire.Model { return &model }
