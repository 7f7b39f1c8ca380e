package iam_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gust-dev/gust/internal/aws/awstest"
)

// TestLettersThatOnlyUnicodeTakesForOthers: the long s and the Kelvin sign are
// not s and k. A tag whose key has them stands for no other tag, in no rule.
func TestLettersThatOnlyUnicodeTakesForOthers(t *testing.T) {
	const long, kelvin = "cla\u017fs", "\u212aind"
	d := awstest.Open(t)
	tagger := d.User("tagger", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["iam:TagUser","iam:UntagUser"],"Resource":"*"},
		{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"ForAnyValue:StringEqualsIgnoreCase":{"aws:TagKeys":["class","kind"]}}},
		{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/class":"secret"}}},
		{"Effect":"Allow","Action":"iam:ListRoles","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/kind":"secret"}}},
		{"Effect":"Allow","Action":"iam:CreateUser","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/kind":"secret"}}},
		{"Effect":"Allow","Action":"iam:DeleteUser","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/kind":"secret"}}}]}`)
	d.User("other", "")
	tag := func(key, value string) string { return " Tags.member.1.Key=" + key + " Tags.member.1.Value=" + value }
	run(t, d, d.Root, []step{
		{"TagUser UserName=tagger" + tag("class", "low"), "", ""},
		{"TagUser UserName=tagger" + tag("Kind", "low"), "", ""},
	})
	run(t, d, tagger, []step{
		{"TagUser UserName=tagger" + tag("CLASS", "secret"), "AccessDenied", ""},
		{"TagUser UserName=tagger" + tag(long, "secret"), "", ""},
		{"TagUser UserName=tagger" + tag(kelvin, "secret"), "", ""},
		{"ListUsers", "AccessDenied", ""},
		{"ListRoles", "AccessDenied", ""},
		{"TagUser UserName=other" + tag(kelvin, "secret"), "", ""},
		{"CreateUser UserName=another" + tag(kelvin, "secret"), "AccessDenied", ""},
		{"DeleteUser UserName=other", "AccessDenied", ""},
		{"UntagUser UserName=tagger TagKeys.member.1=" + long + " TagKeys.member.2=" + kelvin, "", ""},
	})
	run(t, d, d.Root, []step{
		{"ListUserTags UserName=tagger", "", "<member><Key>Kind</Key><Value>low</Value></member><member><Key>class</Key><Value>low</Value></member>"},
		// Two tags, since they are two keys.
		{"CreateUser UserName=both" + tag("kind", "1") + " Tags.member.2.Key=" + kelvin + " Tags.member.2.Value=2", "", ""},
		{"SimulatePrincipalPolicy PolicySourceArn=" + arn + "user/both ActionNames.member.1=iam:Get PolicyInputList.member.1=" +
			`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/KIND":"1"}}}}`, "", "<EvalDecision>allowed<"},
		{"SimulatePrincipalPolicy PolicySourceArn=" + arn + "user/tagger ActionNames.member.1=iam:Get ContextEntries.member.1.ContextKeyName=aws:RequestTag/" + kelvin +
			` ContextEntries.member.1.ContextKeyValues.member.1=1 PolicyInputList.member.1={"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/kind":"1"}}}}`, "", "<EvalDecision>implicitDeny<"},
	})
}

// TestProvidersDoNotTellWhatListens: whoever may make providers learns of a port
// that is open, closed, or speaks another protocol or with another certificate,
// nothing that would tell which it is.
func TestProvidersDoNotTellWhatListens(t *testing.T) {
	d := awstest.Open(t)
	listener := func(serve func(net.Conn)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				serve(conn)
				conn.Close() //nolint:errcheck // the test is over
			}
		})
		t.Cleanup(func() { l.Close(); wg.Wait() }) //nolint:errcheck // the test is over
		return l.Addr().String()
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close() //nolint:errcheck // that is the point
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	answers := map[string]string{}
	for what, address := range map[string]string{
		"closed": closed.Addr().String(), "hangs up": listener(func(net.Conn) {}),
		"speaks SSH": listener(func(c net.Conn) { fmt.Fprint(c, "SSH-2.0-OpenSSH_9.2\r\n") }),
		"untrusted":  untrusted.Listener.Addr().String(),
	} {
		a := d.Call(d.Root, "iam", "CreateOpenIDConnectProvider", "Url", "https://"+address)
		answers[strings.ReplaceAll(a.Message, address, "ADDRESS")] = what
		if !a.Is("OpenIdIdpCommunicationError") {
			t.Errorf("%s: %s", what, a.Body)
		}
	}
	if len(answers) != 1 {
		t.Errorf("the answers tell apart what is there: %q", answers)
	}
}
