// Command gen makes the types of the AWS services from their published models.
//
//	gen -models .. -out ../..          writes <service>/model_gen.go
//	gen -models .. -trim WHEEL         writes <service>.json, out of botocore
//
// models.json says which models are used, of which version, and which
// operations of them. What is generated depends on the files in the models
// folder alone.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

//go:generate go run . -models .. -out ../..

func main() {
	models := flag.String("models", ".", "the folder of models.json and the trimmed models")
	out := flag.String("out", "", "write <service>/model_gen.go into this folder")
	wheel := flag.String("trim", "", "write the trimmed models out of this wheel of botocore")
	flag.Parse()
	if err := run(*models, *out, *wheel); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(models, out, wheel string) error {
	if wheel != "" {
		if err := trim(wheel, models); err != nil {
			return err
		}
	}
	if out == "" {
		return nil
	}
	files, err := generateAll(models)
	if err != nil {
		return err
	}
	for name, src := range files {
		file := filepath.Join(out, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, src, 0o644); err != nil {
			return err
		}
	}
	return nil
}
