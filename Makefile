# SPDX-License-Identifier: Apache-2.0

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PREFIX  ?= /usr/local
DESTDIR ?=
RUNTIME ?= io.containerd.mini.v2
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

SHIM     := containerd-shim-mini-v2
GO_BUILD := CGO_ENABLED=0 go build -trimpath -tags no_grpc -ldflags '-s -w -X main.version=$(VERSION)'
# Everything but the tests that need a containerd, and the tools.
PACKAGES  = $$(go list ./... | grep -v '/integration$$' | grep -v '/integration/bench')

.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install Debian packages, build containerd, ctr, runc and the test image into bin/tools
	@scripts/setup

build: ## the shim, static and stripped: bin/containerd-shim-mini-v2
	@mkdir -p bin
	$(GO_BUILD) -o bin/$(SHIM) ./cmd/$(SHIM)

cross: ## the shim for arm64: bin/arm64/containerd-shim-mini-v2
	@mkdir -p bin/arm64
	GOARCH=arm64 $(GO_BUILD) -o bin/arm64/$(SHIM) ./cmd/$(SHIM)

demo: setup build ## containers through a containerd of its own, from run to delete
	@RUNTIME=$(RUNTIME) scripts/demo

test: ## everything that CI runs: setup, lint, builds, and all tests
	@scripts/test

test-unit: ## tests of each package under the race detector
	CGO_ENABLED=1 go test -race $(PACKAGES)

test-root: ## the same tests as root, without the race detector; a skip is a failure
	MINI_REQUIRE_ROOT=1 go test -count=1 $(PACKAGES)

test-seccomp: ## compare the seccomp compiler with libseccomp: SECCOMP_ROUNDS=200
	CGO_ENABLED=1 go -C integration/seccomp test -count=1 -v ./... | grep -Ev '^(===|    ---)'

integration: setup ## tests with a real containerd: RUN=regexp RUNTIMES=io.containerd.mini.v2,io.containerd.runc.v2
	scripts/integration $(if $(RUN),-run '$(RUN)' -v)

matrix: setup ## tests with other releases of containerd: VERSIONS='debian 1.7.35' RUN=regexp RUNTIMES=...
	@scripts/matrix $(VERSIONS)

client-suite: setup ## containerd's own client tests: RUN=regexp RUNTIME=io.containerd.runc.v2
	go run ./integration/clientsuite -runtime $(RUNTIME) $(if $(RUN),-run '$(RUN)')

client-suite-vm: setup ## those of them that need controllers or CRIU, in the virtual machine: RUN= RUNTIME= KERNEL=6.12
	PACKAGES=client-suite RUNTIMES=$(RUNTIME) scripts/test-vm

docker: setup ## tests with Docker, dockerd and the command, which it builds: RUN=regexp RUNTIMES=...
	@scripts/docker

test-vm: setup ## tests in a virtual machine with all of cgroup v2, systemd, AppArmor, CRIU: RUN=regexp KERNEL=6.12 FULL=1 ARCH=arm64
	scripts/test-vm

soak: setup ## thousands of containers and execs, with kills and restarts: SOAK_CONTAINERS=2000 SOAK_EXECS=10000 SOAK_SEED=n
	SOAK_CONTAINERS=$(or $(SOAK_CONTAINERS),2000) SOAK_EXECS=$(or $(SOAK_EXECS),10000) MINI_REQUIRE_ROOT=1 \
		go test -count=1 -timeout 2h -run TestSoak -v ./integration

bench: setup build ## compare with runc, crun and a shim that does nothing; writes bench-results.json
	go run ./integration/bench

bench-vm: setup ## the time of stats with all controllers, in the virtual machine: SECTION=Metrics ROUNDS=20 KERNEL=6.12
	scripts/bench-vm

lint: ## gofumpt, vet, staticcheck, and the checks of integration/tools/lint
	@scripts/lint

fuzz: ## every fuzz test for FUZZTIME (5s)
	@scripts/fuzz $(or $(FUZZTIME),5s)

golden: ## write the golden files anew; read the diff
	go test $$(git grep -l 'flag.Bool("update"' -- '*_test.go' | xargs -n1 dirname | sort -u | sed 's,^,./,') -update

install: build ## the shim to PREFIX/bin (/usr/local)
	install -D -m 0755 bin/$(SHIM) $(DESTDIR)$(PREFIX)/bin/$(SHIM)

clean: ## remove what was built
	rm -rf bin

.PHONY: help setup build cross demo test test-unit test-root test-seccomp integration client-suite client-suite-vm matrix test-vm soak bench bench-vm lint fuzz golden install clean
