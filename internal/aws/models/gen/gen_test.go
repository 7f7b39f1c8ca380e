package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestGeneratedFilesAreOfTheModels: what is in the packages is what the models
// in this repository give.
func TestGeneratedFilesAreOfTheModels(t *testing.T) {
	files, err := generateAll("..")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("internal/aws/%s is not what its model gives: run go generate ./internal/aws/models/gen", name)
		}
	}
}
