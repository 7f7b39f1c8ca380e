package wire

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
)

// The shop is a service for tests: of things, in query and AWS JSON.
type (
	thing struct {
		Name    string     `aws:",required,shape=nameType"`
		Kind    *string    `aws:",shape=kindType"`
		Count   *int32     `aws:",shape=countType"`
		Price   *float64   //
		Big     *bool      //
		Made    *time.Time //
		Data    []byte     //
		Tags    []tag      `aws:",shape=tagList"`
		Parts   []thing    //
		Attrs   map[string]string
		Numbers []int64 `aws:"Numbers,shape=flatList"`
	}
	tag struct {
		Key   string `aws:",required,shape=nameType"`
		Value string `aws:",required"`
	}
	putRequest struct {
		Thing  *thing
		Secret *string `aws:",shape=secretType"`
		Name   string  `aws:",required,shape=nameType"`
	}
	putResponse struct {
		Thing *thing
	}
)

var shopModel = Model{
	Name: "shop", Title: "Gust Shop", Version: "2026-01-01", Namespace: "https://shop.example.com/doc/", Target: "Shop_2026",
	Protocols: []Protocol{Query, JSON10},
	Bindings:  []Binding{{Name: "Put"}, {Name: "Fail"}, {Name: "Login"}, {Name: "Never"}},
	Faults: map[string]Fault{
		"NoSuchThingException": {Code: "NoSuchThing", Status: 404, Detail: thing{}},
		"BrokenException":      {Status: 500, Receiver: true, Message: "Message"},
	},
	Shapes: map[string]Shape{
		"nameType":   {Length: "1:8", Pattern: `[\w+=,.@-]+`},
		"kindType":   {Enum: []string{"big", "small"}},
		"countType":  {Range: "1:10"},
		"tagList":    {Length: ":3"},
		"flatList":   {Flat: true},
		"secretType": {Length: "4:", Sensitive: true},
	},
}

// errShop are what the operation Fail returns, by name.
var errShop = map[string]error{
	"nothing": gust.ErrNotFound, "broken": errors.New("the disk is on fire"), "closing": gust.ErrClosing,
	"own": &Error{Name: "ConflictException", Status: 409, Message: "taken", RetryAfter: 1500 * time.Millisecond},
}

func shop() *Service {
	return &Service{Model: &shopModel, Operations: append([]Operation{
		{Name: "Put", Level: Write, Note: "whole", Run: Do(func(_ context.Context, in *putRequest) (*putResponse, error) {
			if in.Thing == nil {
				return &putResponse{}, nil
			}
			return &putResponse{in.Thing}, nil
		}, func(in *putRequest) []access.Need {
			return []access.Need{{Action: "shop:Put", Resource: "arn:aws:shop:::thing/" + in.Name}}
		})},
		{Name: "Fail", Note: "whole", Run: Do(func(_ context.Context, in *putRequest) (*struct{}, error) {
			return nil, errShop[in.Name]
		}, nil)},
		{Name: "Login", Open: true, Note: "whole", Run: Do(func(context.Context, *struct{}) (*struct{}, error) {
			return &struct{}{}, nil
		}, nil)},
	}, Refuse("use Put", "Never")...),
		Errors: func(err error) *Error {
			switch {
			case errors.Is(err, gust.ErrNotFound):
				count := int32(3)
				return &Error{Name: "NoSuchThingException", Message: "there is <nothing>", Detail: &thing{Name: "x", Count: &count}}
			case err.Error() == "the disk is on fire":
				return &Error{Name: "BrokenException", Message: "broken"}
			}
			return nil
		}}
}

// gate is a guard that lets in who says "Credential=.../aws4_request, good", and
// notes what it is asked.
type gate struct {
	deny error
	log  []string
}

func (g *gate) Admit(r *http.Request, _ string) (Call, error) {
	if !strings.HasSuffix(r.Header.Get("Authorization"), "good") {
		return nil, &access.Error{Code: access.Invalid, Detail: "the signature is not right"}
	}
	g.log = append(g.log, "admit")
	return g, nil
}

func (g *gate) Anonymous(*http.Request, string) Call {
	g.log = append(g.log, "anonymous")
	return g
}

func (g *gate) Context(ctx context.Context) context.Context { return ctx }

func (g *gate) Allow(_ context.Context, needs ...access.Need) error {
	for _, n := range needs {
		g.log = append(g.log, "allow "+n.Action+" "+n.Resource)
	}
	return g.deny
}

func (g *gate) Record(_ context.Context, level Level, action, resource string) (func(error) error, error) {
	g.log = append(g.log, "record "+action+" "+resource)
	return func(err error) error {
		g.log = append(g.log, "end")
		return err
	}, nil
}

func handler(t testing.TB, g Guard) *Handler {
	t.Helper()
	h, err := New(Options{Services: []*Service{shop()}, Guard: g, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

const signed = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/shop/aws4_request, good"

// ask sends a request; headers are names and values in turn.
func ask(h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func askJSON(h http.Handler, operation, body string) *httptest.ResponseRecorder {
	return ask(h, "POST", "/", body, "Authorization", signed, "X-Amz-Target", "Shop_2026."+operation, "Content-Type", "application/x-amz-json-1.0")
}

func askQuery(h http.Handler, body string) *httptest.ResponseRecorder {
	return ask(h, "POST", "/", body, "Authorization", signed, "Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
}

// TestOneThingInEachProtocol: what is sent comes back, whole.
func TestOneThingInEachProtocol(t *testing.T) {
	g := &gate{}
	h := handler(t, g)
	doc := `{"Thing":{"Name":"a","Kind":"big","Count":3,"Price":1.5,"Big":true,"Made":1767225600.250,"Data":"AAH/","Tags":[{"Key":"k","Value":"vä\n<"}],` +
		`"Parts":[{"Name":"b"},{"Name":"c"}],"Attrs":{"x":"1","y":"2"},"Numbers":[1,-2]}}`
	w := askJSON(h, "Put", strings.TrimSuffix(doc, "}")+`,"Name":"n","Secret":null}`)
	if w.Code != 200 || w.Body.String() != doc || w.Header().Get("Content-Type") != "application/x-amz-json-1.0" || len(w.Header().Get("X-Amzn-Requestid")) != 36 {
		t.Errorf("%d %s\n%v", w.Code, w.Body, w.Header())
	}
	if got := strings.Join(g.log, "; "); got != "admit; allow shop:Put arn:aws:shop:::thing/n; record shop:Put arn:aws:shop:::thing/n; end" {
		t.Error(got)
	}
	w = askQuery(h, "Action=Put&Version=2026-01-01&Name=n&Thing.Name=a&Thing.Kind=big&Thing.Count=3&Thing.Price=1.5&Thing.Big=true&Thing.Made=2026-01-01T00%3A00%3A00.25Z"+
		"&Thing.Data=AAH%2F&Thing.Tags.member.1.Key=k&Thing.Tags.member.1.Value=v%C3%A4%0A%3C&Thing.Parts.member.1.Name=b&Thing.Parts.member.2.Name=c"+
		"&Thing.Attrs.entry.1.key=x&Thing.Attrs.entry.1.value=1&Thing.Attrs.entry.2.key=y&Thing.Attrs.entry.2.value=2&Thing.Numbers.1=1&Thing.Numbers.2=-2")
	want := `<PutResponse xmlns="https://shop.example.com/doc/"><PutResult><Thing><Name>a</Name><Kind>big</Kind><Count>3</Count><Price>1.5</Price><Big>true</Big>` +
		`<Made>2026-01-01T00:00:00.250Z</Made><Data>AAH/</Data><Tags><member><Key>k</Key><Value>vä&#xA;&lt;</Value></member></Tags>` +
		`<Parts><member><Name>b</Name></member><member><Name>c</Name></member></Parts><Attrs><entry><key>x</key><value>1</value></entry><entry><key>y</key><value>2</value></entry></Attrs>` +
		`<Numbers>1</Numbers><Numbers>-2</Numbers></Thing></PutResult><ResponseMetadata><RequestId>` + w.Header().Get("X-Amzn-Requestid") + `</RequestId></ResponseMetadata></PutResponse>`
	if w.Code != 200 || w.Body.String() != want || w.Header().Get("Content-Type") != "text/xml" {
		t.Errorf("%d\n got %s\nwant %s", w.Code, w.Body, want)
	}
}
