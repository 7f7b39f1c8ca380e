package protocols

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	of "github.com/gust-dev/gust/conformance/protocols/s3"
	"github.com/gust-dev/gust/internal/aws/wire"
)

// shelf is a bucket in memory.
type shelf struct {
	mu      sync.Mutex
	objects map[string]*of.GetObjectOutput
	bodies  map[string][]byte
	acl     *of.AccessControlPolicy
	buckets []string // that were named
}

var written = time.Date(2026, 3, 1, 12, 30, 45, 0, time.UTC)

func (s *shelf) put(_ context.Context, in *of.PutObjectRequest) (*of.PutObjectOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buckets = append(s.buckets, in.Bucket)
	if in.IfNoneMatch != nil && s.objects[in.Key] != nil {
		return nil, &wire.Error{Name: "PreconditionFailed", Status: 412, Message: "At least one of the pre-conditions you specified did not hold"}
	}
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	if in.ContentLength == nil || *in.ContentLength != int64(len(body)) {
		return nil, fmt.Errorf("the length is %v, and %d bytes came", in.ContentLength, len(body))
	}
	etag := fmt.Sprintf("%q", fmt.Sprintf("%x", md5.Sum(body)))
	size := int64(len(body))
	crc := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(body)))
	s.bodies[in.Key] = body
	s.objects[in.Key] = &of.GetObjectOutput{ETag: &etag, ContentLength: &size, ContentType: in.ContentType, Metadata: in.Metadata, LastModified: &written,
		CacheControl: in.CacheControl, ChecksumCRC32: &crc, ContentEncoding: in.ContentEncoding}
	return &of.PutObjectOutput{ETag: &etag, ChecksumCRC32: &crc}, nil
}

func (s *shelf) get(_ context.Context, in *of.GetObjectRequest) (*of.GetObjectOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	object := s.objects[in.Key]
	if object == nil {
		return nil, &wire.Error{Name: "NoSuchKey", Message: "The specified key does not exist."}
	}
	if in.IfNoneMatch != nil && *in.IfNoneMatch == *object.ETag {
		return nil, &wire.Error{Name: "NotModified", Status: http.StatusNotModified}
	}
	out := *object
	out.Body = io.NopCloser(bytes.NewReader(s.bodies[in.Key]))
	return &out, nil
}

func (s *shelf) head(_ context.Context, in *of.HeadObjectRequest) (*of.HeadObjectOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[in.Key]
	if o == nil {
		return nil, &wire.Error{Name: "NotFound", Status: 404, Message: "not there"}
	}
	return &of.HeadObjectOutput{ETag: o.ETag, ContentLength: o.ContentLength, ContentType: o.ContentType, LastModified: o.LastModified, Metadata: o.Metadata}, nil
}

func (s *shelf) list(_ context.Context, in *of.ListObjectsV2Request) (*of.ListObjectsV2Output, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &of.ListObjectsV2Output{Name: &in.Bucket, Prefix: in.Prefix, IsTruncated: aws.Bool(false), CommonPrefixes: []of.CommonPrefix{{Prefix: aws.String("d/")}}}
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		if strings.HasPrefix(key, aws.ToString(in.Prefix)) {
			out.Contents = append(out.Contents, of.Object{Key: &key, Size: s.objects[key].ContentLength, LastModified: &written, ETag: s.objects[key].ETag, ChecksumAlgorithm: []string{"CRC32", "SHA1"}})
		}
	}
	return out, nil
}

func (s *shelf) remove(_ context.Context, in *of.DeleteObjectsRequest) (*of.DeleteObjectsOutput, error) {
	out := &of.DeleteObjectsOutput{}
	for _, o := range in.Delete.Objects {
		if _, ok := s.objects[o.Key]; !ok {
			out.Errors = append(out.Errors, of.Error{Key: &o.Key, Code: aws.String("AccessDenied"), Message: aws.String("no")})
			continue
		}
		delete(s.objects, o.Key)
		out.Deleted = append(out.Deleted, of.DeletedObject{Key: &o.Key})
	}
	return out, nil
}

func (s *shelf) client(t *testing.T) *s3.Client {
	return s3.NewFromConfig(s.service(t), func(o *s3.Options) { o.UsePathStyle = true })
}

func (s *shelf) service(t *testing.T) aws.Config {
	s.objects, s.bodies = map[string]*of.GetObjectOutput{}, map[string][]byte{}
	return serve(t, of.Model(), op("PutObject", s.put), op("GetObject", s.get), op("HeadObject", s.head), op("ListObjectsV2", s.list), op("DeleteObjects", s.remove),
		op("PutBucketAcl", func(_ context.Context, in *of.PutBucketAclRequest) (*struct{}, error) {
			s.acl = in.AccessControlPolicy
			return &struct{}{}, nil
		}),
		op("GetBucketAcl", func(_ context.Context, _ *of.GetBucketAclRequest) (*of.GetBucketAclOutput, error) {
			return &of.GetBucketAclOutput{Owner: s.acl.Owner, Grants: s.acl.Grants}, nil
		}),
		op("SelectObjectContent", selectContent))
}

func selectContent(_ context.Context, in *of.SelectObjectContentRequest) (*of.SelectObjectContentOutput, error) {
	if in.InputSerialization.CSV == nil || aws.ToString(in.InputSerialization.CSV.FieldDelimiter) != ";" || aws.ToString(in.OutputSerialization.JSON.RecordDelimiter) != "\n" {
		return nil, fmt.Errorf("the request came as %+v", in)
	}
	return &of.SelectObjectContentOutput{Payload: func(yield func(*of.SelectObjectContentEventStream, error) bool) {
		scanned := int64(42)
		_ = yield(&of.SelectObjectContentEventStream{Records: &of.RecordsEvent{Payload: []byte(`{"a":1}`)}}, nil) &&
			yield(&of.SelectObjectContentEventStream{Cont: &of.ContinuationEvent{}}, nil) &&
			yield(&of.SelectObjectContentEventStream{Stats: &of.StatsEvent{Details: &of.Stats{BytesScanned: &scanned}}}, nil) &&
			yield(&of.SelectObjectContentEventStream{End: &of.EndEvent{}}, nil)
	}}, nil
}

func TestRESTXML(t *testing.T) {
	var s shelf
	client := s.client(t)
	keys := []string{"plain", "a/b c+d/\u00fc&<>\"'=?#%41", "d//double", "trailing/", "line\r\nbreak", "..", "%2e%2e/x"}
	for _, key := range keys {
		t.Run(key, func(t *testing.T) {
			body := "the body of " + key
			put, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("shelf"), Key: &key, Body: strings.NewReader(body), ContentType: aws.String("text/x-own"),
				Metadata: map[string]string{"colour": "blue", "shape": "round"}, CacheControl: aws.String("no-cache")})
			if err != nil {
				t.Fatal(err)
			}
			if put.ETag == nil || put.ChecksumCRC32 == nil {
				t.Errorf("the tag is %v, the checksum %v", put.ETag, put.ChecksumCRC32)
			}
			got, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("shelf"), Key: &key})
			if err != nil {
				t.Fatal(err)
			}
			defer got.Body.Close()
			b, err := io.ReadAll(got.Body)
			if err != nil || string(b) != body {
				t.Errorf("%q, %v", b, err)
			}
			if !maps.Equal(got.Metadata, map[string]string{"colour": "blue", "shape": "round"}) || aws.ToString(got.ContentType) != "text/x-own" ||
				aws.ToInt64(got.ContentLength) != int64(len(body)) || !got.LastModified.Equal(written) || aws.ToString(got.CacheControl) != "no-cache" || got.ContentEncoding != nil {
				t.Errorf("%v %v %v %v %v", got.Metadata, aws.ToString(got.ContentType), aws.ToInt64(got.ContentLength), got.LastModified, aws.ToString(got.CacheControl))
			}
			head, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("shelf"), Key: &key})
			if err != nil || aws.ToInt64(head.ContentLength) != int64(len(body)) || head.Metadata["shape"] != "round" {
				t.Errorf("%+v, %v", head, err)
			}
		})
	}
	t.Run("a list", func(t *testing.T) {
		out, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("shelf"), Prefix: aws.String("")})
		if err != nil || aws.ToString(out.Name) != "shelf" || len(out.CommonPrefixes) != 1 {
			t.Fatalf("%+v, %v", out, err)
		}
		var listed []string
		for _, o := range out.Contents {
			listed = append(listed, *o.Key)
			if !o.LastModified.Equal(written) || len(o.ChecksumAlgorithm) != 2 || aws.ToInt64(o.Size) == 0 {
				t.Errorf("%+v", o)
			}
		}
		want := slices.Sorted(slices.Values(keys))
		if !slices.Equal(listed, want) {
			t.Errorf("%q, want %q", listed, want)
		}
	})
	t.Run("removed", func(t *testing.T) {
		out, err := client.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String("shelf"), Delete: &types.Delete{Objects: []types.ObjectIdentifier{
			{Key: aws.String("plain")}, {Key: aws.String("line\r\nbreak")}, {Key: aws.String("nobody <&>")}}}})
		if err != nil || len(out.Deleted) != 2 || *out.Deleted[1].Key != "line\r\nbreak" || len(out.Errors) != 1 || *out.Errors[0].Key != "nobody <&>" || *out.Errors[0].Code != "AccessDenied" {
			t.Errorf("%+v, %v", out, err)
		}
	})
	t.Run("attributes", func(t *testing.T) {
		grants := []types.Grant{{Grantee: &types.Grantee{Type: types.TypeCanonicalUser, ID: aws.String("me")}, Permission: types.PermissionFullControl},
			{Grantee: &types.Grantee{Type: types.TypeGroup, URI: aws.String("http://acs.amazonaws.com/groups/global/AllUsers")}, Permission: types.PermissionRead}}
		if _, err := client.PutBucketAcl(t.Context(), &s3.PutBucketAclInput{Bucket: aws.String("shelf"), AccessControlPolicy: &types.AccessControlPolicy{Owner: &types.Owner{ID: aws.String("me")}, Grants: grants}}); err != nil {
			t.Fatal(err)
		}
		out, err := client.GetBucketAcl(t.Context(), &s3.GetBucketAclInput{Bucket: aws.String("shelf")})
		if err != nil || len(out.Grants) != 2 || out.Grants[1].Grantee.Type != types.TypeGroup || *out.Grants[0].Grantee.ID != "me" || *out.Owner.ID != "me" || out.Grants[1].Permission != types.PermissionRead {
			t.Errorf("%+v, %v", out, err)
		}
	})
	t.Run("events", func(t *testing.T) {
		out, err := client.SelectObjectContent(t.Context(), &s3.SelectObjectContentInput{Bucket: aws.String("shelf"), Key: aws.String("x.csv"), Expression: aws.String("SELECT 1 < 2"), ExpressionType: types.ExpressionTypeSql,
			InputSerialization: &types.InputSerialization{CSV: &types.CSVInput{FieldDelimiter: aws.String(";")}}, OutputSerialization: &types.OutputSerialization{JSON: &types.JSONOutput{RecordDelimiter: aws.String("\n")}}})
		if err != nil {
			t.Fatal(err)
		}
		stream := out.GetStream()
		defer stream.Close()
		got := ""
		for event := range stream.Events() {
			switch e := event.(type) {
			case *types.SelectObjectContentEventStreamMemberRecords:
				got += string(e.Value.Payload)
			case *types.SelectObjectContentEventStreamMemberStats:
				got += fmt.Sprint(" scanned ", *e.Value.Details.BytesScanned)
			case *types.SelectObjectContentEventStreamMemberEnd:
				got += " end"
			}
		}
		if err := stream.Err(); err != nil || got != `{"a":1} scanned 42 end` {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestRESTXMLErrors(t *testing.T) {
	var s shelf
	client := s.client(t)
	get := &s3.GetObjectInput{Bucket: aws.String("shelf"), Key: aws.String("nobody")}
	var missing *types.NoSuchKey
	var response *awshttp.ResponseError
	if _, err := client.GetObject(t.Context(), get); !errors.As(err, &missing) || missing.ErrorMessage() != "The specified key does not exist." || !errors.As(err, &response) || response.ServiceRequestID() == "" {
		t.Errorf("%v", err)
	}
	var notFound *types.NotFound
	if _, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: get.Bucket, Key: get.Key}); !errors.As(err, &notFound) {
		t.Errorf("%v", err)
	}
	put := func() error {
		_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: get.Bucket, Key: get.Key, Body: strings.NewReader("x"), IfNoneMatch: aws.String("*")})
		return err
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	var api smithy.APIError
	if err := put(); !errors.As(err, &api) || api.ErrorCode() != "PreconditionFailed" || !errors.As(err, &response) || response.HTTPStatusCode() != 412 {
		t.Errorf("%v", err)
	}
	got, err := client.GetObject(t.Context(), get)
	if err != nil {
		t.Fatal(err)
	}
	get.IfNoneMatch = got.ETag
	if _, err := client.GetObject(t.Context(), get); !errors.As(err, &response) || response.HTTPStatusCode() != 304 {
		t.Errorf("%v", err)
	}
	if _, err := client.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: get.Bucket, Key: get.Key, CopySource: aws.String("shelf/x")}); !errors.As(err, &api) ||
		api.ErrorCode() != "NotImplemented" || !strings.Contains(api.ErrorMessage(), "CopyObject") {
		t.Errorf("%v", err)
	}
	if _, err := client.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: get.Bucket, Key: get.Key, PartNumber: aws.Int32(1), UploadId: aws.String("1"), Body: strings.NewReader("x")}); !errors.As(err, &api) ||
		!strings.Contains(api.ErrorMessage(), "UploadPart ") {
		t.Errorf("%v", err)
	}
}

// TestBucketInHost: the SDK puts the bucket into the host where the endpoint has a
// name.
func TestBucketInHost(t *testing.T) {
	var s shelf
	client := s.client(t)
	to := strings.TrimPrefix(*client.Options().BaseEndpoint, "https://127.0.0.1")
	for _, endpoint := range []string{"https://localhost", "https://s3.localhost", "https://s3.eu-west-1.gust.example"} {
		client := s3.New(client.Options(), func(o *s3.Options) {
			o.UsePathStyle = false
			o.BaseEndpoint = aws.String(endpoint + to)
			o.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: loopback, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		})
		if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("my.shelf"), Key: aws.String("a/b"), Body: strings.NewReader("x")}); err != nil {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
	if !slices.Equal(s.buckets, []string{"my.shelf", "my.shelf", "my.shelf"}) {
		t.Errorf("%q", s.buckets)
	}
}
