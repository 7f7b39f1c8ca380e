// Package s3 has types of S3, of REST-XML, for tests.
package s3

import "github.com/gust-dev/gust/internal/aws/wire"

// Model is what AWS publishes of the service.
func Model() *wire.Model { return &model }
