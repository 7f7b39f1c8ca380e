package identity

import (
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/gust-dev/gust/internal/access/policy"
)

// awsPolicies begins the ARN of every policy of AWS's.
const awsPolicies = "arn:aws:iam::aws:policy/"

// awsJSON holds those of AWS's managed policies that templates commonly attach
// and that are about what Gust has or will have, as AWS publishes them; of
// ReadOnlyAccess and SecurityAudit, which list the actions of every service there
// is, the actions of those.
//
//go:embed aws.json
var awsJSON []byte

// readAWSPolicies makes AWS's managed policies, by ARN.
func readAWSPolicies() (map[string]*ManagedPolicy, error) {
	var records []struct {
		Name, Path       string
		Version          int
		Created, Updated time.Time
		Document         json.RawMessage
	}
	if err := json.Unmarshal(awsJSON, &records); err != nil {
		return nil, fmt.Errorf("read AWS's managed policies: %w", err)
	}
	all := make(map[string]*ManagedPolicy, len(records))
	for _, r := range records {
		arn := awsPolicies + strings.TrimPrefix(r.Path, "/") + r.Name
		sum := sha256.Sum256([]byte(arn))
		p := &ManagedPolicy{
			Name: r.Name, Path: r.Path, ARN: arn, ID: "ANPA" + idEncoding.EncodeToString(sum[:10]), AWS: true,
			Created: r.Created, Updated: r.Updated, Default: r.Version, Last: r.Version,
		}
		p.Versions = []Version{{r.Version, r.Updated, Document{&document{kind: policy.Identity, text: string(r.Document)}}}}
		all[arn] = p
	}
	return all, nil
}
