package lambda

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	gust "github.com/gust-dev/gust"
)

// page is what docs/compatibility.md says of the service besides its operations.
func page() string {
	var b strings.Builder
	b.WriteString(`### Names

A function is named by its name, by ` + "`ACCOUNT:function:NAME`" + ` or by its ARN, each with a qualifier at its end or in the parameter Qualifier. There
are two qualifiers: ` + "`$LATEST`" + ` and the number of the newest version, which are the same. Any other is a ResourceNotFoundException, as is an
account or region that is not the node's.

### Errors

| what happened | error | status |
|---|---|---|
`)
	for _, d := range domain {
		if d.status != 499 {
			fmt.Fprintf(&b, "| %s | %s | %d |\n", d.err, d.code, d.status)
		}
	}
	for _, r := range slices.Sorted(maps.Keys(throttled)) {
		fmt.Fprintf(&b, "| throttled by the %s limit | TooManyRequestsException, Reason %s | 429 |\n", r, throttled[gust.ThrottleReason(r)])
	}
	b.WriteString(`| a function's policy would have more than 20,480 characters, or a node more than 20,000 such policies | PolicyLengthExceededException | 400 |
| the event is not JSON, or the client context is not a JSON object in base64 | InvalidRequestContentException | 400 |
| the body brought nothing for 20 seconds, or less than 16 KB a second after that | RequestTimeoutException | 408 |
| the node is busy: it holds as many bodies of requests as it may | TooManyRequestsException | 429, with Retry-After |
| anything else that is the node's fault | ServiceException | 500 |

A function that fails is no error of the API: status 200, X-Amz-Function-Error ` + "`Unhandled`" + `, and the error's document as the payload.

### Differences

- X-Amz-Executed-Version and Version are the number of the version that ran, also where ` + "`$LATEST`" + ` was asked for.
- Runtime is Gust's own word: go, node, python, provided or http. Handler is what the manifest says, and bootstrap where it says none.
- X-Amz-Function-Error is always ` + "`Unhandled`" + `, as it is in Lambda for all runtimes of today.
- Members that have no answer here (CodeSize, RevisionId, Code.Location, and what belongs to features that Gust does not have) are left out.
- A function of the runtime http has no events: Invoke refuses it and names its routes.
`)
	return b.String()
}
