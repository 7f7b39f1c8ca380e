package gust

// Place is the namespace of every ARN.
type Place struct {
	Account string // 12 digits
	Region  string
}

// DefaultPlace is where a node is unless it is told otherwise.
var DefaultPlace = Place{Account: "000000000000", Region: "us-east-1"}

// FunctionARN names a function in this place.
func (p Place) FunctionARN(name string) string {
	return "arn:aws:lambda:" + p.Region + ":" + p.Account + ":function:" + name
}
