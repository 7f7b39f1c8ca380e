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
