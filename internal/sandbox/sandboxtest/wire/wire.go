// Package wire is what the suite and the attacking program say to each other:
// an event goes in, what came of it comes out. It is a package so that both
// sides compile against the same words.
package wire

// Mark is the name of an environment variable that every program of the suite
// carries, with the run's own name as its value: whatever is left of a program,
// however it detached itself, is recognised by it.
const Mark = "GUST_SANDBOXTEST"

// ID is the name of the variable by which an environment's processes are told
// from those of others.
const ID = "GUST_SANDBOXTEST_ID"

// Event asks the attacking program for one thing.
type Event struct {
	// Do names a behaviour or an attack; the program knows them all by name.
	Do string `json:"do"`
	// N, Size (bytes), Millis and Text are the arguments of behaviours.
	N      int    `json:"n,omitempty"`
	Size   int64  `json:"size,omitempty"`
	Millis int    `json:"millis,omitempty"`
	Text   string `json:"text,omitempty"`
	// Targets tells an attack what there is to be had on the host.
	Targets Targets `json:"targets,omitzero"`
}

// Targets is what the suite has put on the host for an attack to find. An
// attacker who knows where everything is has the better chances, so it is told.
type Targets struct {
	// Secret is the path of a world-readable file whose content is Token.
	Secret string `json:"secret,omitempty"`
	Token  string `json:"token,omitempty"`
	// Canary is a world-writable folder on the host.
	Canary string `json:"canary,omitempty"`
	// OtherCode is the code folder of a neighbour.
	OtherCode string `json:"other_code,omitempty"`
	// Data stands for the node's data folder.
	Data string `json:"data,omitempty"`
	// Binary is the file that the node itself runs from.
	Binary string `json:"binary,omitempty"`
	// PID is the node's process id on the host, Neighbour a process that runs
	// beside.
	PID       int `json:"pid,omitempty"`
	Neighbour int `json:"neighbour,omitempty"`
	// TCP are addresses the host listens on; UDP likewise; Abstract is the
	// name of an abstract socket, Unix the path of another.
	TCP []string `json:"tcp,omitempty"`
	UDP []string `json:"udp,omitempty"`
	// Names are to be resolved; with Resolvers, there and for records of all
	// kinds too.
	Names     []string `json:"names,omitempty"`
	Resolvers []string `json:"resolvers,omitempty"`
	Abstract  string   `json:"abstract,omitempty"`
	Unix      string   `json:"unix,omitempty"`
	// Doors are where neighbours reach the node's API, as they and the host see
	// it, and Tokens the files with what they show there.
	Doors  []string `json:"doors,omitempty"`
	Tokens []string `json:"tokens,omitempty"`
	// Handle is the host's file handle of Secret, for open_by_handle_at.
	Handle     []byte `json:"handle,omitempty"`
	HandleType int32  `json:"handle_type,omitempty"`
	// Mark is the run's name, which the neighbours' environments carry too.
	Mark string `json:"mark,omitempty"`
}

// Door is what the node's API saw of a call: through which environment's
// listener it came, and whether that one's token was shown.
type Door struct {
	Environment string `json:"environment"`
	Known       bool   `json:"known"`
	Path        string `json:"path"`
}

// Findings is what came of an attack.
type Findings struct {
	// Gained is each thing that should not have been possible and was.
	Gained []string `json:"gained,omitempty"`
	// Refused is each thing that was tried and failed, and how.
	Refused []string `json:"refused,omitempty"`
	// Facts are observations that the suite judges.
	Facts map[string]int64 `json:"facts,omitempty"`
}
