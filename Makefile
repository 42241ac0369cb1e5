# What a person types. `make` alone lists it. The work is in cargo, scripts/ and `margay sandbox`.

# rustup puts cargo here, and not every shell has it in its PATH.
export PATH := $(HOME)/.cargo/bin:$(PATH)
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)

# A file of rules/: the last step of the shop's growth unless told otherwise.
STEP ?= $(lastword $(sort $(wildcard rules/*.yaml)))
SECONDS ?= 20
# `make test` runs every step, each for this long.
STEP_SECONDS ?= 5
FUZZ_SECONDS ?= 60

.PHONY: help demo demo-check demo-check-all test test-cargo check setup bench bench-micro coverage fuzz
.NOTPARALLEL:

help:
	@echo 'make demo        all set-up, then real databases, the proxy and the shop, with a link to open'
	@echo 'make demo-check  the same with a load of SECONDS=$(SECONDS), then checks the books'
	@echo '                 (STEP=$(STEP))'
	@echo 'make test        all set-up, then every test, and a short demo-check of each step in rules/'
	@echo 'make check       format, lints and the quick tests'
	@echo 'make bench       what a proxy costs: PostgreSQL directly, HAProxy, PgBouncer, Margay (ROUNDS=5 ROUND_SECONDS=3)'
	@echo 'make bench-micro codec, merge and planner by themselves'
	@echo 'make coverage    how much of PostgreSQL'"'"'s own regression files is read (fetches them)'
	@echo 'make fuzz        cargo-fuzz, FUZZ_SECONDS=$(FUZZ_SECONDS) for each target (needs a nightly toolchain)'
	@echo 'make setup       only the set-up: PostgreSQL, a C compiler, drivers for tests'

demo:
	scripts/setup.sh demo
	$(CARGO) build --locked --release --package margay --package shop
	$(TARGET)/release/margay sandbox $(STEP) -- $(TARGET)/release/shop demo

demo-check:
	scripts/setup.sh demo
	$(CARGO) build --locked --package margay --package shop
	scripts/demo-check.sh $(STEP) $(SECONDS)

demo-check-all: setup
	$(CARGO) build --locked --package margay --package shop
	scripts/demo-check-all.sh $(STEP_SECONDS)

test: test-cargo demo-check-all

test-cargo: setup
	$(CARGO) test --locked --workspace --no-fail-fast

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- --deny warnings
	$(CARGO) test --locked --workspace --lib --bins
	$(CARGO) test --locked --test tidy

setup:
	scripts/setup.sh test

coverage:
	scripts/coverage.sh

fuzz:
	scripts/fuzz.sh $(FUZZ_SECONDS)

# ROUNDS, ROUND_SECONDS, CLIENTS, MODES, ONLY and IDLE reach the program through the environment.
bench:
	scripts/setup.sh bench
	$(CARGO) bench --locked --bench proxies

bench-micro:
	$(CARGO) bench --locked --bench codec --bench merge --bench plan
