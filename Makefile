# The verbs of the project. Each one installs what it needs, so that a fresh clone can start with any of them.

.DEFAULT_GOAL := help
.PHONY: help run test check bench bench-peers bless bless-sdk

TARGET := $(or $(CARGO_TARGET_DIR),target)
COMMIT := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)

help: ## Say what each verb does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build the server and start it on a folder of its own, with sample pictures
	@deploy/setup.sh run
	TINTYPE_COMMIT=$(COMMIT) cargo build --release -p tintype-api
	@exec $(TARGET)/release/tintype serve

test: ## Run everything: format, lints, all tests, PostgreSQL and S3, the official SDKs
	@deploy/test.sh

check: ## The quick inner loop: format, lints and unit tests, without services
	@deploy/setup.sh run
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	TINTYPE_TEST_NO_POSTGRES=1 cargo test --workspace --lib --bins

bench: ## Measure this machine: adapters, kernels, pipelines, server, library (ARGS="--only W8,assets")
	@deploy/setup.sh test
	TINTYPE_COMMIT=$(COMMIT) cargo build --release -p tintype-api
	@deploy/bench.sh $(TARGET)/release/tintype $(ARGS)

bench-peers: ## Measure Tintype and its peers in interleaved rounds (ROUNDS=7, ONLY=W1,W8)
	@deploy/setup.sh bench
	@deploy/peers.sh
	TINTYPE_COMMIT=$(COMMIT) cargo build --release -p tintype-api
	cargo build --release -p tintype-benches --example peers
	$(TARGET)/release/examples/peers --program $(TARGET)/release/tintype --peers $(TARGET)/peers \
		--out benches/runs/$$(date +%F)-$$(uname -n) --rounds $(or $(ROUNDS),7) $(if $(ONLY),--only $(ONLY))

bless: ## Accept the present output as expected: goldens, COMPATIBILITY.md, example.env
	@deploy/setup.sh run
	TINTYPE_BLESS=1 cargo test -p tintype-render --test it -- golden compatibility
	TINTYPE_BLESS=1 cargo test -p tintype-api --lib -- example openapi
	@git status --short || true

bless-sdk: ## Accept what the official SDKs were seen to do: writes api/SDK.md (slow: it runs their tests)
	@TINTYPE_BLESS=1 deploy/test.sh sdk
