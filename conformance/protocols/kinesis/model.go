// Package kinesis has types of Kinesis, of AWS JSON 1.1 with event streams, for tests.
package kinesis

import "github.com/gust-dev/gust/internal/aws/wire"

// Model is what AWS publishes of the service.
func Model() *wire.Model { return &model }
