package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gust-dev/gust/internal/access/audit"
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
