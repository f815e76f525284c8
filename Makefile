# Everything a developer or CI runs. CI calls these targets and nothing else, so a laptop and CI agree.

comma := ,
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
# What is built in that most do without: make build TAGS=waf adds the WAF, 5 MB and what its rules need.
TAGS    ?=
# Without no_fs_access the WAF would write to the system's temporary directory.
BUILD   := CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' $(if $(TAGS),-tags '$(TAGS)$(if $(findstring waf,$(TAGS)),$(comma)no_fs_access)')

# Seconds a fuzz target runs.
FUZZTIME ?= 10
# Further arguments: make test ARGS='-run Route ./internal/edge/...', make bench ARGS='-rounds 7'
ARGS ?=
# Packages that are tested at a time: one more than there are processors, since black-box tests mostly wait.
PACKAGES ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
# The race detector is on in CI, or by RACE=1. It needs cgo and a C compiler; what is shipped needs neither.
RACE ?= $(CI)
ifneq ($(filter-out 0 false,$(RACE)),)
# With the detector a process waits a second before it ends, by itself; there are hundreds of them.
TESTENV   := CGO_ENABLED=1 GORACE=atexit_sleep_ms=20
TESTFLAGS := -race
endif
# What the black-box tests run, built once: each package would link it for itself, which takes longer than most of them.
TESTED := $(CURDIR)/bin/tested$(TESTFLAGS)

# Debian puts servers where a plain user's PATH does not look.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

.DEFAULT_GOAL := help
.PHONY: help build package test lint fuzz bench map size cross clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  %-8s %s\n' "$$name" "$$text"; done

build: ## the static, stripped binary: bin/straum
	$(BUILD) -o bin/straum ./cmd/straum

package: ## dist/: .deb, .rpm, archive and bill of materials for amd64 and arm64; the same commit, the same bytes
	@scripts/package

# Nothing is taken from the test cache: it does not see that the black-box tests build and run the program. What go vet finds, lint shows.
test: ## all tests, after installing what they need (RACE=1: with the race detector)
	@scripts/need
	@go build -o bin/testsum ./scripts/testsum
	@if [ -z "$$STRAUM_PROGRAM" ] && $(or $(TESTENV),CGO_ENABLED=0) go build $(TESTFLAGS) -ldflags '-s -w' -o $(TESTED) ./cmd/straum; \
	then export STRAUM_PROGRAM=$(TESTED); fi; \
	$(TESTENV) bin/testsum -again -vet=off -count=1 -timeout 5m -p $(PACKAGES) $(TESTFLAGS) $(if $(ARGS),$(ARGS),./...)

lint: ## formatting, go vet, staticcheck, known vulnerabilities
	@scripts/lint

fuzz: ## every fuzz target for FUZZTIME seconds
	@scripts/fuzz $(FUZZTIME)

bench: ## side by side with nginx and HAProxy, about 8 minutes; writes bench/RESULTS.md
	go run ./bench $(ARGS)

map: ## docs/map.md: every package, its step, its purpose
	go run ./scripts/pkgmap -write docs/map.md

size: build ## the stripped binary is under 37 MB
	@scripts/size bin/straum

cross: ## builds for macOS and for Linux on arm64
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 go build -ldflags '-s -w' ./...
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go build -ldflags '-s -w' ./...

clean: ## remove what was built
	rm -rf bin dist
