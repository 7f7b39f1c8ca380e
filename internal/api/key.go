package api

import (
	"errors"
	"fmt"
	"path/filepath"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
)

// FindKey is the key that a client uses which works for somebody at a shell. It
// is that of GUST_KEY, ID.SECRET or of a session ID.SECRET.TOKEN; where that is
// "aws", that of AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN;
// and where it is empty, the root key of the data folder data. Where data is
// empty no root key is meant: it is shown to its own node alone.
//
// AWS's variables are taken only by somebody's word: most of the time they hold
// keys of AWS, and a bearer token shows the node its secret.
func FindKey(getenv func(string) string, data string) (*access.Key, error) {
	switch token := getenv("GUST_KEY"); token {
	case "":
	case "aws":
		key := &access.Key{ID: getenv("AWS_ACCESS_KEY_ID"), Secret: getenv("AWS_SECRET_ACCESS_KEY"), Session: getenv("AWS_SESSION_TOKEN")}
		if key.ID == "" || key.Secret == "" {
			return nil, errors.New("GUST_KEY is aws, and AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not set")
		}
		return key, nil
	default:
		key, ok := access.ParseToken(token)
		if !ok {
			return nil, errors.New("GUST_KEY is not a key; want ID.SECRET, of a session ID.SECRET.TOKEN, or aws for the key in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
		}
		return key, nil
	}
	if data == "" {
		return nil, errors.New("GUST_KEY is empty, and the root key of this machine's data folder is shown to its own node alone: " +
			"give the key to use there in GUST_KEY, or --data with the folder whose root key it is")
	}
	key, err := access.ReadRootKey(data)
	if errors.Is(err, gust.ErrNotFound) {
		return nil, fmt.Errorf("no key: there is neither GUST_KEY nor %s", filepath.Join(data, access.RootKeyFile))
	}
	return key, err
}
