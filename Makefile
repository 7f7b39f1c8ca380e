# Everything here runs on a machine that has Go and nothing else; what a target
# needs besides is installed by it (Debian and Ubuntu, as root) or named.

SHELL   := /bin/bash
VERSION ?= 0.1.0-dev
COMMIT  := $(shell git rev-parse --short HEAD 2>/dev/null)
SANDBOX ?= process
FUZZTIME ?= 10s
BENCHFLAGS ?= -out bench/RESULTS.md
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

.DEFAULT_GOAL := help
.PHONY: help build demo test conformance bench fuzz lint models clean tools disk

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

build: ## build bin/gust
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/gust ./cmd/gust

demo: build disk ## show it all, in under a minute
	go run ./demo -gust bin/gust -sandbox $(SANDBOX)

test: tools ## unit, integration and sandbox tests, with the race detector
	go test -race -timeout 10m ./...
	cd examples/hello && go vet ./...

conformance: ## real clients and runtime libraries against a node
	conformance/install.sh
	PUBLISHED_CASES=$(CURDIR)/.cache/conformance/protocols go test -run '^TestPublished' ./internal/aws/wire
	cd conformance && go test -timeout 20m ./...

bench: build disk ## the figures, beside their baselines; writes bench/RESULTS.md
	go run ./bench -gust bin/gust $(BENCHFLAGS)

# Go's fuzzer now and then takes the end of its time for a failure
# (golang/go#75804, mended in Go 1.27); a real one leaves a failing input.
fuzz: ## each fuzz target for FUZZTIME
	@set -eu -o pipefail; log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	for file in $$(grep -rl --include='*_test.go' --exclude-dir='.?*' --exclude-dir=conformance '^func Fuzz' . | sort); do \
	  for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
	    echo "== $$target $$(dirname $$file)"; \
	    go test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) ./$$(dirname $$file) 2>&1 | tee "$$log" || \
	      { grep -q '^ *context deadline exceeded$$' "$$log" && ! grep -q 'Failing input' "$$log"; } || exit 1; \
	  done; \
	done

lint: ## gofmt, vet, staticcheck, and builds for macOS and Windows
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	  if [ -n "$$unformatted" ]; then echo "not as gofmt has it:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go tool staticcheck ./...
	@set -e; for os in darwin windows; do echo "go build for $$os"; GOOS=$$os CGO_ENABLED=0 go build -o /dev/null ./cmd/gust; done

# The models are published with botocore, in the version that models.json names.
models: ## trim AWS's published service models anew, and generate the types
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	  version=$$(sed -n 's/.*"botocore": "\(.*\)".*/\1/p' internal/aws/models/models.json); \
	  python3 -m pip download -q --no-deps -d "$$folder" "botocore==$$version"; \
	  go run ./internal/aws/models/gen -models internal/aws/models -out internal/aws -trim "$$folder"/botocore-*.whl; \
	  go run ./internal/aws/models/gen -models conformance/protocols/models -out conformance/protocols -trim "$$folder"/botocore-*.whl

clean: ## remove what was built
	rm -rf bin

# The race detector needs a C compiler, and an environment's /tmp mkfs.ext4.
tools:
	@missing=""; \
	  command -v $${CC:-cc} >/dev/null || command -v gcc >/dev/null || missing="$$missing gcc libc6-dev"; \
	  $(HAS_MKFS) || missing="$$missing e2fsprogs"; \
	  $(INSTALL)

disk:
	@missing=""; [ $(SANDBOX) = none ] || $(HAS_MKFS) || missing=" e2fsprogs"; $(INSTALL)

HAS_MKFS = PATH="$$PATH:/usr/sbin:/sbin" command -v mkfs.ext4 >/dev/null
INSTALL = if [ -z "$$missing" ]; then exit 0; fi; \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing$$missing"; \
	    apt-get update -q </dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing </dev/null; \
	  else \
	    echo "this needs$$missing, which can be installed only by root with apt-get; install what is missing, and try again" >&2; exit 1; \
	  fi
