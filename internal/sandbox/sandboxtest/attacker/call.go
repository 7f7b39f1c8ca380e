package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// call asks the node's API for a path, as its variables say, and answers what
// the node saw.
func call(inv *invocation) {
	d, err := callAPI(os.Getenv("AWS_ENDPOINT_URL")+inv.event.Text, ownToken())
	if err != nil {
		inv.fail("Attacker.Call", err.Error())
		return
	}
	inv.answer(d)
}

// callOnce is call for who has no event: it prints.
func callOnce(w io.Writer) {
	d, err := callAPI(os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"), ownToken())
	if err != nil {
		fatal(70, "call: %v", err)
	}
	json.NewEncoder(w).Encode(d)
}

// ownToken is the environment's.
func ownToken() string {
	token, err := os.ReadFile(os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"))
	if err != nil {
		fatal(70, "read the token: %v", err)
	}
	return string(token)
}

// callAPI asks whoever answers there, with a token.
func callAPI(url, token string) (d wire.Door, err error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return d, err
	}
	req.Header.Set("Authorization", token)
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return d, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return d, fmt.Errorf("it answered %s", res.Status)
	}
	return d, json.NewDecoder(res.Body).Decode(&d)
}
