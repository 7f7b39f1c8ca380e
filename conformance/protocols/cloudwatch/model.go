// Package cloudwatch has types of CloudWatch, of RPC v2 CBOR, AWS JSON and query, for tests.
package cloudwatch

import "github.com/gust-dev/gust/internal/aws/wire"

// Model is what AWS publishes of the service.
func Model() *wire.Model { return &model }
