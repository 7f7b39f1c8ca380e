// Package ssm has types of Systems Manager, of AWS JSON 1.1, for tests.
package ssm

import "github.com/gust-dev/gust/internal/aws/wire"

// Model is what AWS publishes of the service.
func Model() *wire.Model { return &model }
