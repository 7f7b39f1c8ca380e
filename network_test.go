package gust

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestDestinationsAreReadAndWritten(t *testing.T) {
	for in, want := range map[string]string{
		"api.stripe.com:443":  "api.stripe.com:443",
		"API.Stripe.com.:443": "api.stripe.com:443",
		"10.0.0.5:5432":       "10.0.0.5:5432",
		"10.1.0.0/16:5432":    "10.1.0.0/16:5432",
		"localhost:6379":      "localhost:6379",
		"127.0.0.1:5432":      "127.0.0.1:5432",
		"0.0.0.0/0:443":       "0.0.0.0/0:443",
		"_dmarc.a-b.c1:1":     "_dmarc.a-b.c1:1",
	} {
		d, err := ParseDestination(in)
		if err != nil || d.String() != want {
			t.Errorf("ParseDestination(%q) = %v, %v; want %s", in, d, err, want)
		}
	}
	for in, want := range map[string]string{
		"":                             "has no port",
		"api.stripe.com":               "has no port",
		":443":                         "has no port",
		"a:0":                          "no number from 1 to 65535",
		"a:065":                        "no number from 1 to 65535",
		"a:65536":                      "no number from 1 to 65535",
		"a:":                           "no number from 1 to 65535",
		"[::1]:80":                     "have no IPv6",
		"::1:80":                       "have no IPv6",
		"10.1.2.3/16:80":               "host bits",
		"10.1.2.3/33:80":               "host bits",
		"127.1:80":                     "neither a host name nor an address",
		"2130706433:80":                "neither a host name nor an address",
		"-a.b:80":                      "neither a host name nor an address",
		"a..b:80":                      "neither a host name nor an address",
		"169.254.169.254:80":           "no environment reaches",
		"0.0.0.0:80":                   "no environment reaches",
		"127.0.0.0/8:80":               "no environment reaches",
		"255.255.255.255:80":           "no environment reaches",
		"*.b:80":                       "neither a host name nor an address",
		strings.Repeat("a", 64) + ":1": "neither a host name nor an address",
	} {
		if d, err := ParseDestination(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseDestination(%q) = %v, %v; want an error with %q", in, d, err, want)
		}
	}
}

func TestNetworksAreAWordOrAList(t *testing.T) {
	for text, n := range map[string]Network{
		`"internet"`: {Mode: NetworkInternet},
		`"none"`:     {Mode: NetworkNone},
		`[]`:         {Mode: NetworkList, Allow: []string{}},
		`["a.b:1"]`:  {Mode: NetworkList, Allow: []string{"a.b:1"}},
	} {
		got, err := json.Marshal(n)
		if err != nil || string(got) != text {
			t.Errorf("%+v is written as %s, %v; want %s", n, got, err, text)
		}
		var back Network
		if err := json.Unmarshal([]byte(text), &back); err != nil || !back.Equal(n) {
			t.Errorf("%s is read as %+v, %v", text, back, err)
		}
	}
	var n Network
	if err := json.Unmarshal([]byte(`{"mode":"none"}`), &n); err == nil {
		t.Error("a mapping is taken for a network")
	}
}

func FuzzParseDestination(f *testing.F) {
	f.Add("api.stripe.com:443")
	f.Add("10.1.0.0/16:5432")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDestination(s)
		if err != nil {
			return
		}
		if again, err := ParseDestination(d.String()); err != nil || again != d {
			t.Errorf("%q is read as %v, which is read as %v, %v", s, d, again, err)
		}
	})
}
