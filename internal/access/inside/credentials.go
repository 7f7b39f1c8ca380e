package inside

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gust-dev/gust/internal/sandbox"
)

// Credentials are of a function's role.
type Credentials struct {
	KeyID, Secret, Token, RoleARN string
	Expires                       time.Time
}

const (
	// sessionTime is how long credentials are good.
	sessionTime = time.Hour
	// renewAt is how much of it is left when they are made anew: SDKs ask again
	// when 5 to 15 minutes are.
	renewAt = 15 * time.Minute
)

// reserved begins the paths that are this package's to answer, among them
// sandbox.CredentialsPath.
const reserved = "/_gust/"

// serve answers a request through a door.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	d := r.Context().Value(doorKey{}).(*door)
	if d.crowded() { // or one that idles would keep others out
		w.Header().Set("Connection", "close")
	}
	switch {
	case r.URL.Path == sandbox.CredentialsPath:
		d.give(w, r)
	case strings.HasPrefix(r.URL.Path, reserved):
		w.WriteHeader(http.StatusNotFound)
	default:
		s.API.ServeHTTP(w, r)
	}
}

// give answers with credentials to who shows the token. It is asked by the
// address that the program was told, and by no other: a name that somebody makes
// lead to the loopback (DNS rebinding) asks for something else.
func (d *door) give(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	shown := r.Header["Authorization"]
	if len(shown) != 1 || !d.is(shown[0]) || !d.isAt(r.Host) {
		d.server.Refused(d.environment)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	c, err := d.current()
	if err != nil {
		answer(w, http.StatusInternalServerError, map[string]string{"code": "InternalFailure", "message": "the node could not make credentials; its log says why"})
		return
	}
	answer(w, http.StatusOK, map[string]string{ // as Amazon ECS answers ("Task IAM role")
		"AccessKeyId": c.KeyID, "SecretAccessKey": c.Secret, "Token": c.Token, "RoleArn": c.RoleARN,
		"Expiration": c.Expires.UTC().Format(time.RFC3339),
	})
}

func answer(w http.ResponseWriter, status int, doc map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(doc) // who has gone needs none
}

// is tells in constant time whether token is the environment's.
func (d *door) is(token string) bool {
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(sum[:], d.token[:]) == 1
}

// isAt tells whether host is where the door is.
func (d *door) isAt(host string) bool {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		return false
	}
	at, atPort, err := net.SplitHostPort(d.ln.Addr().String())
	return err == nil && port == atPort && (name == at || name == "localhost")
}

// current are credentials that are good for a while.
func (d *door) current() (Credentials, error) {
	d.minting.Lock()
	defer d.minting.Unlock()
	if d.credentials.Expires.Sub(d.server.Now()) > renewAt && d.server.Good(d.credentials) {
		return d.credentials, nil
	}
	c, err := d.server.Session(d.function, d.environment, sessionTime)
	if err == nil {
		d.credentials, d.failure = c, ""
	} else if text := err.Error(); text != d.failure { // said once: a program asks as often as it likes
		d.failure = text
		d.server.Logger.Error("a function gets no credentials", "function", d.function, "environment", d.environment, "error", err)
	}
	return c, err
}
