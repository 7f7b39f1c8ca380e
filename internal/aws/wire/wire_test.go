package wire

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/aws/wire/wiretest"
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
	"secret": errors.New("the password is hunter2"),
	"own":    &Error{Name: "ConflictException", Status: 409, Message: "taken", RetryAfter: 1500 * time.Millisecond},
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
		{Name: "Login", Level: Session, Open: true, Note: "whole", Run: Do(func(context.Context, *struct{}) (*struct{}, error) {
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

func handler(t testing.TB) (*Handler, *wiretest.Door) {
	t.Helper()
	door := wiretest.New(t)
	h, err := New(Options{Services: []*Service{shop(), depot()}, Guard: door.Guard, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return h, door
}

// request is one of who may do everything; headers are names and values in turn.
func request(method, target, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", wiretest.Bearer)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const form = "application/x-www-form-urlencoded; charset=utf-8"

func askJSON(h http.Handler, operation, body string) *httptest.ResponseRecorder {
	return serve(h, request("POST", "/", body, "X-Amz-Target", "Shop_2026."+operation, "Content-Type", "application/x-amz-json-1.0"))
}

func askQuery(h http.Handler, body string) *httptest.ResponseRecorder {
	return serve(h, request("POST", "/", body, "Content-Type", form))
}

// The depot is a service of REST-JSON.
type (
	fetchRequest struct {
		Box   string            `aws:",label,required,shape=nameType"`
		Path  string            `aws:",label,required"`
		Since *time.Time        `aws:"since,query"`
		Kinds []string          `aws:"kind,query"`
		Limit *int32            `aws:"limit,query"`
		Match *string           `aws:"If-Match,header"`
		Meta  map[string]string `aws:"x-meta-,headers"`
		Body  []byte            `aws:",payload"`
	}
	fetchResponse struct {
		Code  *int32            `aws:",status"`
		Match *string           `aws:"ETag,header"`
		Made  *time.Time        `aws:"Last-Modified,header"`
		Meta  map[string]string `aws:"x-meta-,headers"`
		Body  []byte            `aws:",payload"`
	}
	storeRequest struct {
		Box   string `aws:",label,required,shape=nameType"`
		Thing thing  `aws:",required"`
		Note  *string
	}
	watchResponse struct {
		Stream iter.Seq2[*watchEvent, error] `aws:",payload"`
	}
	watchEvent struct {
		Came *came
		Left *thing
	}
	came struct {
		Who  string `aws:",eventheader"`
		Data []byte `aws:",eventpayload"`
	}
)

var depotModel = Model{
	Name: "depot", Title: "Gust Depot", Version: "2026-01-01", Protocols: []Protocol{RESTJSON}, Shapes: shopModel.Shapes,
	Bindings: []Binding{
		{Name: "Fetch", Method: "PUT", Path: "/depot/{Box}/{Path+}"}, {Name: "Store", Method: "POST", Path: "/depot/{Box}", Status: 201},
		{Name: "List", Method: "POST", Path: "/depot/{Box}?list"}, {Name: "Watch", Method: "GET", Path: "/watch/{Box}"}, {Name: "Burn", Method: "DELETE", Path: "/depot/{Box}"},
	},
}

func depot() *Service {
	return &Service{Model: &depotModel, Operations: append([]Operation{
		{Name: "Fetch", Level: Data, Note: "whole", Run: Do(func(_ context.Context, in *fetchRequest) (*fetchResponse, error) {
			body := fmt.Sprintf("%s|%s|%v|%v|%s", in.Box, in.Path, in.Kinds, in.Since, in.Body)
			if in.Limit != nil && (*in.Limit < 200 || *in.Limit > 599) {
				in.Limit = nil
			}
			return &fetchResponse{Match: in.Match, Made: in.Since, Meta: in.Meta, Body: []byte(body), Code: in.Limit}, nil
		}, nil)},
		{Name: "Store", Level: Write, Note: "whole", Run: Do(func(_ context.Context, in *storeRequest) (*storeRequest, error) { return in, nil }, nil)},
		{Name: "Watch", Level: Read, Note: "whole", Run: Do(func(_ context.Context, in *struct {
			Box string `aws:",label,required"`
		}) (*watchResponse, error) {
			return &watchResponse{func(yield func(*watchEvent, error) bool) {
				if yield(&watchEvent{Came: &came{"bob", []byte("x")}}, nil) && yield(&watchEvent{Left: &thing{Name: "t"}}, nil) {
					yield(nil, errors.New("broken"))
				}
			}}, nil
		}, nil)},
	}, Refuse("nothing burns", "Burn", "List")...)}
}

// TestOneThingInEachProtocol: what is sent comes back, whole.
func TestOneThingInEachProtocol(t *testing.T) {
	h, door := handler(t)
	doc := `{"Thing":{"Name":"a","Kind":"big","Count":3,"Price":1.5,"Big":true,"Made":1767225600.250,"Data":"AAH/","Tags":[{"Key":"k","Value":"vä\n<"}],` +
		`"Parts":[{"Name":"b"},{"Name":"c"}],"Attrs":{"x":"1","y":"2"},"Numbers":[1,-2]}}`
	w := askJSON(h, "Put", strings.TrimSuffix(doc, "}")+`,"Name":"n","Secret":null}`)
	if w.Code != 200 || w.Body.String() != doc || w.Header().Get("Content-Type") != "application/x-amz-json-1.0" || len(w.Header().Get("X-Amzn-Requestid")) != 36 {
		t.Errorf("%d %s\n%v", w.Code, w.Body, w.Header())
	}
	if got := door.Needs(); len(got) != 1 || got[0] != "shop:Put arn:aws:shop:::thing/n" {
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
