# Portcullis: `make` lists what there is to do. Nothing has to be installed by hand but Python 3.11 or newer.
# Environments stand under build/, made by tools/setup_env.py and made anew when pyproject.toml changes.

PYTHON ?= python3
BIN := build/venv/bin

# The demo of `make serve`, all on 127.0.0.1.
GATEWAY_PORT ?= 8080
GRPC_PORT ?= 9191
HTTP_PORT ?= 8181
UPSTREAM_PORT ?= 8282
ISSUER_PORT ?= 8383

# A slice of the long tests: which one, for how long, from which seed.
PART ?=
SECONDS ?= 60
SEED ?= 1

# Few and short rounds of the benchmark.
QUICK ?=

# Compiled modules are kept: the tests start `pdp` more than a hundred times.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help serve test test-nightly check lint format types proto grammar bench bench-parts docs clean setup-serve setup-test

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

serve: setup-serve ## set up and run the service behind a real Envoy, with lines to try; Ctrl-C ends it
	@exec $(BIN)/python -m pdp.demo --state build/demo --envoy "$$(cat build/envoy/path)" \
		--gateway-port $(GATEWAY_PORT) --grpc-port $(GRPC_PORT) \
		--http-port $(HTTP_PORT) --upstream-port $(UPSTREAM_PORT) --issuer-port $(ISSUER_PORT)

test: setup-test ## set up and run all the tests (the long ones apart)
	@PORTCULLIS_ENVOY="$$(cat build/envoy/path)" exec $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --ignore tests/nightly $(PYTEST_ARGS)

test-nightly: setup-test ## run a slice of the long tests: PART=name SECONDS=60 SEED=1
	@if [ -n "$(PART)" ] && [ -f "tests/nightly/test_$(PART).py" ]; then \
		PORTCULLIS_ENVOY="$$(cat build/envoy/path)" PORTCULLIS_SECONDS=$(SECONDS) PORTCULLIS_SEED=$(SEED) \
			exec $(BIN)/python -m pytest "tests/nightly/test_$(PART).py" -p no:randomly --timeout 0 -s; \
	else \
		echo "test-nightly: no slice '$(PART)'; tests/nightly/ has:" \
			"$$(ls tests/nightly 2>/dev/null | sed -n 's/^test_\(.*\)\.py$$/\1/p' | tr '\n' ' ' | grep . || echo none)" >&2; \
		exit 2; \
	fi

check: lint types test ## everything a change has to pass: lint, types, tests

lint: setup-test ## look for mistakes and for layout
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: setup-test ## lay the code out
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: setup-test ## check the types, strictly
	@$(BIN)/mypy

proto: setup-test ## write the descriptors anew from proto/
	@$(BIN)/python tools/protos.py

grammar: setup-test ## write the parser's tables and the editor's grammar anew from policy_lang/syntax/grammar.lark
	@$(BIN)/python -m tools.grammar_tables
	@$(BIN)/python -m tools.editor_grammar

bench: setup-test ## measure this service beside OPA, Cerbos and libraries, which it installs (more than an hour; QUICK=1 shows in minutes that it works)
	@$(BIN)/python -m benchmarks.wire $(if $(QUICK),--quick)

bench-parts: setup-test ## measure parsing, compiling, loading and deciding as policy grows, Casbin models, tokens, a check through Envoy
	@$(BIN)/python -m benchmarks.parsing
	@$(BIN)/python -m benchmarks.compiling
	@$(BIN)/python -m benchmarks.plans
	@$(BIN)/python -m benchmarks.casbin
	@$(BIN)/python -m benchmarks.identity
	@$(BIN)/python -m benchmarks.check_path
	@$(BIN)/python -m benchmarks.log_cost
	@$(BIN)/python -m benchmarks.audit
	@PORTCULLIS_ENVOY="$$(cat build/envoy/path)" $(BIN)/python -m benchmarks.gateway

docs: setup-test ## write docs/configuration.md anew from the code
	@$(BIN)/python tools/config_docs.py

clean: ## take away the environments, the demo's state and the caches
	@rm -rf build/venv build/venv.unfinished build/envoy build/envoy.unfinished build/demo build/setup.log build/setup.lock
	@rm -rf build/gateways build/gateways.unfinished build/peers
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis ./*.egg-info

setup-serve setup-test: setup-%:
	@command -v $(PYTHON) >/dev/null || { \
		echo "make: no command '$(PYTHON)': install Python 3.11 or newer, or name it with 'make PYTHON=python3.12 ...'" >&2; \
		exit 2; }
	@$(PYTHON) tools/setup_env.py $*
