package api

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
)

// Artifact is the answer to an upload.
type Artifact struct {
	SHA256 gust.Digest `json:"sha256"`
	Size   int64       `json:"size"`
}

func (s *server) hasArtifact(q *request) (answer, error) {
	digest, err := s.digestIn(q)
	if err != nil {
		return answer{}, err
	}
	has, err := s.Store.Blobs().Has(digest)
	if err != nil {
		return answer{}, err
	}
	if !has {
		return answer{}, fmt.Errorf("artifact %s: %w", digest, gust.ErrNotFound)
	}
	return answer{status: http.StatusOK}, nil
}

// putArtifact keeps the body if it is what its name says. The answer comes when
// it is synced.
func (s *server) putArtifact(q *request) (answer, error) {
	digest, err := s.digestIn(q)
	if err != nil {
		return answer{}, err
	}
	if q.ContentLength > gust.MaxArtifact {
		return answer{}, artifactTooLarge()
	}
	body := &verifiedReader{r: http.MaxBytesReader(q.w, q.Body, gust.MaxArtifact), hash: sha256.New(), want: digest, still: q.still}
	_, size, err := s.Store.Blobs().Put(q.Context(), body, gust.MaxArtifact)
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over) || errors.Is(err, gust.ErrTooLarge):
		return answer{}, artifactTooLarge()
	case body.failed != nil && err != nil: // the client's fault or its end, not the disk's
		return answer{}, body.failed
	case err != nil:
		return answer{}, fmt.Errorf("keeping artifact %s: %w", digest, err)
	}
	return reply(http.StatusCreated, Artifact{digest, size})
}

// digestIn is the artifact that the path names, if the caller may put it there.
func (s *server) digestIn(q *request) (gust.Digest, error) {
	if err := q.allow(s.Place.ARN("artifact", q.PathValue("sha256"))); err != nil {
		return "", err
	}
	if _, err := parameters(q); err != nil {
		return "", err
	}
	digest, err := gust.ParseDigest(q.PathValue("sha256"))
	if err != nil {
		return "", badRequest("%v", err)
	}
	return digest, nil
}

func artifactTooLarge() error {
	return fmt.Errorf("the artifact is over %d MB, the limit of one zip: %w", gust.MaxArtifact/gust.MB, gust.ErrTooLarge)
}

// verifiedReader ends with an error where the bytes are not those of the
// digest, or where who sends them may do so no longer, so that nothing wrong is
// ever kept.
type verifiedReader struct {
	r      io.Reader
	hash   hash.Hash
	want   gust.Digest
	still  func() error
	failed error
}

func (v *verifiedReader) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.hash.Write(p[:n])
	if err == nil {
		return n, nil
	}
	if errors.Is(err, access.ErrSlow) {
		v.failed = fmt.Errorf("the upload of artifact %s: %w", v.want.Short(), err)
		return n, err
	}
	if err != io.EOF {
		v.failed = badRequest("the upload of artifact %s broke off: %v", v.want.Short(), err)
		return n, err
	}
	if got := gust.Digest(hex.EncodeToString(v.hash.Sum(nil))); got != v.want {
		v.failed = fmt.Errorf("the artifact that was sent has the SHA-256 %s, not %s as its path says: %w", got, v.want, gust.ErrInvalid)
		return n, v.failed
	}
	if v.failed = v.still(); v.failed != nil {
		return n, v.failed
	}
	return n, io.EOF
}
