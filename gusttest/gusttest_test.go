package gusttest_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gust-dev/gust/gusttest"
)

func TestAnAppAnswersInATest(t *testing.T) {
	app := gusttest.Start(t, gusttest.Options{Dir: "testdata/app"})
	resp, err := http.Get(app.URL + "/greet/Ada")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || string(body) != `"Hello, Ada!"` {
		t.Errorf("GET /greet/Ada: %v, %s, %q", err, resp.Status, body)
	}

	answer, err := app.Invoke("greet", map[string]string{"name": "Grace"})
	if err != nil || string(answer) != `"Hello, Grace!"` {
		t.Errorf("greet of Grace: %s, %v", answer, err)
	}
	var failed *gusttest.FunctionError
	if _, err = app.Invoke("greet", []byte(`{"name": "nobody"}`)); !errors.As(err, &failed) || failed.Message != "nobody is there" {
		t.Errorf("greet of nobody: %v", err)
	}
	if _, err = app.Invoke("nothing", nil); err == nil || errors.As(err, &failed) {
		t.Errorf("a function that is not there: %v", err)
	}
	if got, want := app.Logs("greet"), []string{"greeting Ada", "greeting Grace", "greeting nobody"}; !slices.Equal(got[:min(3, len(got))], want) {
		t.Errorf("it printed %q, want %q", got, want)
	}
}

func TestAppsOfOneTestKnowNothingOfEachOther(t *testing.T) {
	a := gusttest.Start(t, gusttest.Options{Dir: "testdata/app", Env: map[string]string{"GREETING": "Hi"}, Sandbox: "none"})
	b := gusttest.Start(t, gusttest.Options{Dir: "testdata/app", Sandbox: "none"})
	for app, want := range map[*gusttest.App]string{a: `"Hi, Ada!"`, b: `"Hello, Ada!"`} {
		if got, err := app.Invoke("greet", map[string]string{"name": "Ada"}); err != nil || string(got) != want {
			t.Errorf("it answered %s (%v), want %s", got, err, want)
		}
	}
	if a.URL == b.URL || a.Endpoint == b.Endpoint || a.SecretAccessKey == b.SecretAccessKey {
		t.Error("two apps share an address or a key")
	}
}

func TestNothingIsLeft(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	t.Run("app", func(t *testing.T) {
		app := gusttest.Start(t, gusttest.Options{Dir: "testdata/app", Sandbox: "none"})
		if _, err := app.Invoke("greet", nil); err != nil {
			t.Error(err)
		}
	})
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
