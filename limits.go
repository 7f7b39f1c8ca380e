package gust

import "time"

// Sizes are binary, as Lambda's are: 1 MB is 1,048,576 bytes.
const (
	KB = 1 << 10
	MB = 1 << 20
	GB = 1 << 30
)

// Limits on what is declared and what is passed. Where AWS has one it is the
// same ("Lambda quotas" in the AWS Lambda Developer Guide).
const (
	MinMemory     = 128 * MB
	MaxMemory     = 10240 * MB
	DefaultMemory = 128 * MB

	MinTimeout     = time.Second
	MaxTimeout     = 15 * time.Minute
	DefaultTimeout = 3 * time.Second

	MinEphemeral     = 512 * MB
	MaxEphemeral     = 10240 * MB
	DefaultEphemeral = 512 * MB

	// MaxSyncPayload bounds a synchronous event and a buffered response.
	MaxSyncPayload = 6 * MB
	// MaxAsyncPayload bounds an asynchronous event.
	MaxAsyncPayload = 1 * MB
	// MaxStreamPayload bounds a streamed response.
	MaxStreamPayload = 200 * MB
	// MaxClientContext bounds the client context header, in bytes of base64.
	MaxClientContext = 3583

	// InitTimeout bounds an on-demand environment's first init; when it is
	// over, init is tried again within the first invocation and its timeout.
	InitTimeout = 10 * time.Second
	// MaxProvisionedInit bounds a provisioned environment's init.
	MaxProvisionedInit = MaxTimeout

	DefaultIdle = 10 * time.Minute
	MaxIdle     = 24 * time.Hour

	DefaultHTTPPerEnvironment = 80
	MaxPerEnvironment         = 1000
	DefaultNodeConcurrency    = 1000

	// MaxSchedule bounds the entries of a function's schedule of provisioned
	// concurrency.
	MaxSchedule = 100
	// MaxGrants bounds the entries of a function's policy.
	MaxGrants = 100

	MaxQueueSize = 10000
	MaxQueueWait = time.Minute

	// MaxEnvBytes bounds a function's declared environment, names and values.
	MaxEnvBytes = 4 * KB
	// MaxArtifact and MaxUnpacked bound an artifact's zip and its contents.
	MaxArtifact      = 250 * MB
	MaxUnpacked      = 1 * GB
	MaxArtifactFiles = 100_000
	// MaxLayers bounds the layers of one function; with them it unpacks to no
	// more than MaxUnpacked.
	MaxLayers = 5

	MaxManifest    = 1 * MB
	MaxFunctions   = 20_000 // in one app
	MaxRoutes      = 20_000 // in one app
	MaxNameLength  = 64
	MaxDescription = 256
	MaxLogLine     = 256 * KB
	MaxProcesses   = 1024      // processes and threads in an environment
	MaxOpenFiles   = 1024      // descriptors of one process in an environment
	CoreMemory     = 1769 * MB // memory that is worth one core, in strict quotas and as shares
)
