package gateway

import (
	"time"

	gust "github.com/gust-dev/gust"
)

var (
	gustPlace = gust.Place{Account: "123456789012", Region: "eu-central-1"}
	someTime  = time.Date(2026, 11, 21, 9, 8, 7, 654_321_000, time.FixedZone("", 3600))
)
