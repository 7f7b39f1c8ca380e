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
)

// Artifact is the answer to an upload.
type Artifact struct {
	SHA256 gust.Digest `json:"sha256"`
	Size   int64       `json:"size"`
}

func (s *server) hasArtifact(w http.ResponseWriter, r *http.Request) error {
	digest, err := digestIn(r)
	if err != nil {
		return err
	}
	has, err := s.Store.Blobs().Has(digest)
	if err != nil {
		return err
	}
	if !has {
		return fmt.Errorf("artifact %s: %w", digest, gust.ErrNotFound)
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// putArtifact keeps the body if it is what its name says. The answer comes when
// it is synced.
func (s *server) putArtifact(w http.ResponseWriter, r *http.Request) error {
	digest, err := digestIn(r)
	if err != nil {
		return err
	}
	if r.ContentLength > gust.MaxArtifact {
		return artifactTooLarge()
	}
	body := &verifiedReader{r: http.MaxBytesReader(w, r.Body, gust.MaxArtifact), hash: sha256.New(), want: digest}
	_, size, err := s.Store.Blobs().Put(r.Context(), body, gust.MaxArtifact)
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over) || errors.Is(err, gust.ErrTooLarge):
		return artifactTooLarge()
	case body.failed != nil && err != nil: // the client's fault or its end, not the disk's
		return body.failed
	case err != nil:
		return fmt.Errorf("keeping artifact %s: %w", digest, err)
	}
	return reply(w, http.StatusCreated, Artifact{digest, size})
}

func digestIn(r *http.Request) (gust.Digest, error) {
	if _, err := parameters(r); err != nil {
		return "", err
	}
	digest, err := gust.ParseDigest(r.PathValue("sha256"))
	if err != nil {
		return "", badRequest("%v", err)
	}
	return digest, nil
}

func artifactTooLarge() error {
	return fmt.Errorf("the artifact is over %d MB, the limit of one zip: %w", gust.MaxArtifact/gust.MB, gust.ErrTooLarge)
}

// verifiedReader ends with an error where the bytes are not those of the
// digest, so that nothing wrong is ever kept.
type verifiedReader struct {
	r      io.Reader
	hash   hash.Hash
	want   gust.Digest
	failed error
}

func (v *verifiedReader) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.hash.Write(p[:n])
	if err == nil {
		return n, nil
	}
	if err != io.EOF {
		v.failed = badRequest("the upload of artifact %s broke off: %v", v.want.Short(), err)
		return n, err
	}
	if got := gust.Digest(hex.EncodeToString(v.hash.Sum(nil))); got != v.want {
		v.failed = fmt.Errorf("the artifact that was sent has the SHA-256 %s, not %s as its path says: %w", got, v.want, gust.ErrInvalid)
		return n, v.failed
	}
	return n, io.EOF
}
