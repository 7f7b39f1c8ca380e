package lambda

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"runtime"
	"slices"
	"strconv"

	gust "github.com/gust-dev/gust"
)

// lastModified is how the API writes times.
const lastModified = "2006-01-02T15:04:05.000-0700"

// configuration is what of the API's FunctionConfiguration has an answer here.
func (s *server) configuration(f *gust.Function, arn string) *FunctionConfiguration {
	c := &FunctionConfiguration{
		FunctionName: &f.Name, FunctionArn: &arn, Runtime: new(string(f.Runtime)),
		Role: new(s.Place.FunctionRoleARN(f.Name)), Description: &f.Description,
		Timeout: new(int32(f.Timeout.Seconds())), MemorySize: new(int32(f.Memory / gust.MB)), CodeSha256: new(codeSHA256(f.Artifact)),
		Version: new(strconv.FormatUint(f.Version, 10)), LastModified: new(f.Modified.UTC().Format(lastModified)),
		State: new("Active"), LastUpdateStatus: new("Successful"), PackageType: new("Zip"), Architectures: []string{architecture()},
		EphemeralStorage: &EphemeralStorage{Size: int32(f.Ephemeral / gust.MB)},
	}
	switch {
	case f.Handler != "":
		c.Handler = &f.Handler
	case f.Runtime != gust.RuntimeHTTP:
		c.Handler = new("bootstrap")
	}
	if len(f.Env) > 0 {
		c.Environment = &EnvironmentResponse{Variables: f.Env}
	}
	return c
}

// codeSHA256 is a digest as the API writes it, in base64.
func codeSHA256(d gust.Digest) string {
	sum, err := hex.DecodeString(string(d))
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(sum)
}

// architecture is this machine's, which artifacts are checked for, in the API's
// words.
func architecture() string {
	if runtime.GOARCH == "amd64" {
		return "x86_64"
	}
	return runtime.GOARCH
}

// reserved is the concurrency that a function has for itself.
func reserved(f *gust.Function) *int32 {
	if f.Concurrency.Reserved == nil {
		return nil
	}
	return new(int32(*f.Concurrency.Reserved))
}

// getFunction is the operation GetFunction. Where the code could be fetched
// from is left out: there is no such address.
func (s *server) getFunction(_ context.Context, in *GetFunctionRequest) (*GetFunctionResponse, error) {
	f, n, err := s.function(in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	out := &GetFunctionResponse{Configuration: s.configuration(f, n.arn(s.Place))}
	if r := reserved(f); r != nil {
		out.Concurrency = &Concurrency{ReservedConcurrentExecutions: r}
	}
	return out, nil
}

// getFunctionConfiguration is the operation GetFunctionConfiguration.
func (s *server) getFunctionConfiguration(_ context.Context, in *GetFunctionConfigurationRequest) (*FunctionConfiguration, error) {
	f, n, err := s.function(in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	return s.configuration(f, n.arn(s.Place)), nil
}

// getFunctionConcurrency is the operation GetFunctionConcurrency.
func (s *server) getFunctionConcurrency(_ context.Context, in *GetFunctionConcurrencyRequest) (*GetFunctionConcurrencyResponse, error) {
	f, _, err := s.function(in.FunctionName, nil)
	if err != nil {
		return nil, err
	}
	return &GetFunctionConcurrencyResponse{ReservedConcurrentExecutions: reserved(f)}, nil
}

// maxPage is how many functions one answer lists at most.
const maxPage = 50

// listFunctions is the operation ListFunctions, by name. A marker is the last
// name of the page before.
func (s *server) listFunctions(_ context.Context, in *ListFunctionsRequest) (*ListFunctionsResponse, error) {
	if in.MasterRegion != nil {
		return nil, invalid("MasterRegion is not carried out by Gust's ListFunctions: leave it out")
	}
	page := maxPage
	if in.MaxItems != nil {
		page = min(int(*in.MaxItems), maxPage)
	}
	functions := s.Catalog.Snapshot().Functions
	names := slices.Sorted(maps.Keys(functions))
	if in.Marker != nil {
		i, found := slices.BinarySearch(names, *in.Marker)
		if found {
			i++
		}
		names = names[i:]
	}
	out := &ListFunctionsResponse{Functions: make([]FunctionConfiguration, 0, min(page, len(names)))}
	for i, name := range names {
		if i == page {
			out.NextMarker = &names[i-1]
			break
		}
		f := functions[name]
		arn := s.Place.FunctionARN(name)
		if in.FunctionVersion != nil { // ALL, of which there is one each
			arn += ":" + strconv.FormatUint(f.Version, 10)
		}
		out.Functions = append(out.Functions, *s.configuration(f, arn))
	}
	return out, nil
}
