package gust

// Place is the namespace of every ARN.
type Place struct {
	Account string // 12 digits
	Region  string
}

// DefaultPlace is where a node is unless it is told otherwise.
var DefaultPlace = Place{Account: "000000000000", Region: "us-east-1"}

// ARN names a thing of Gust's own in this place: an app, a runtime, an artifact.
func (p Place) ARN(kind, name string) string {
	return "arn:aws:gust:" + p.Region + ":" + p.Account + ":" + kind + "/" + name
}

// IAM names a thing of the account's identities: "root", "user/NAME",
// "role/PATH/NAME".
func (p Place) IAM(name string) string { return "arn:aws:iam::" + p.Account + ":" + name }

// FunctionRoleARN names a function's own role.
func (p Place) FunctionRoleARN(name string) string {
	return p.IAM("role/gust/fn." + name)
}

// FunctionARN names a function in this place.
func (p Place) FunctionARN(name string) string {
	return "arn:aws:lambda:" + p.Region + ":" + p.Account + ":function:" + name
}
