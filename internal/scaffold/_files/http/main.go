// Program {{name}} is a web server.
package main

import (
	"encoding/json"
	"log"
	"log/slog"
	"net/http"
	"os"
)

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /{{name}}/{who}", func(w http.ResponseWriter, r *http.Request) {
		who := r.PathValue("who")
		slog.Info("greeting", "who", who)
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(map[string]string{"message": "Hello, " + who + "!"}); err != nil {
			slog.Warn("the answer was not taken", "error", err)
		}
	})
	return mux
}

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), routes()))
}
