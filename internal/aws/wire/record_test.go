package wire

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/aws/wire/wiretest"
)

// What a call names is in the audit log, and what it carries is not.
func TestCallsAreRecordedWithWhatTheyName(t *testing.T) {
	h, door := handler(t)
	if w := askJSON(h, "Put", `{"Name":"chair","Secret":"hunter2","Thing":{"Name":"leg"}}`); w.Code != 200 {
		t.Fatal(w.Code, w.Body)
	}
	if w := askJSON(h, "Fail", `{"Name":"nothing"}`); w.Code != 404 {
		t.Fatal(w.Code, w.Body)
	}
	var got []string
	for r, err := range door.Log.Read(t.Context(), audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(r.Action, r.Resources, r.Parameters, " ", r.Result, " ", r.Code))
	}
	want := "shop:Put[arn:aws:shop:::thing/chair] map[Name:chair] ok \nshop:Fail[] map[Name:nothing] error NoSuchThing"
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("the audit log says\n%s\nwant\n%s", text, want)
	}
}

func TestACallThatPanicsIsRecordedAsFailed(t *testing.T) {
	door := wiretest.New(t)
	s := shop()
	s.Operations[1].Level = Write
	s.Operations[1].Run = Do(func(context.Context, *putRequest) (*struct{}, error) { panic("a defect") }, nil)
	h, err := New(Options{Services: []*Service{s}, Guard: door.Guard, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() { _ = recover() }()
		askJSON(h, "Fail", `{"Name":"x"}`)
	}()
	n := 0
	for r, err := range door.Log.Read(t.Context(), audit.Filter{}) {
		if n++; err != nil || r.Result != audit.Failed || r.Code != "internal" {
			t.Errorf("%+v, %v", r, err)
		}
	}
	if n != 1 {
		t.Errorf("there are %d records", n)
	}
}
