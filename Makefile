# minimesh: `make up` starts the labs, `make test` runs everything. See README.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LABS ?= configs/gs configs/httpbin
PORT ?= 8080
MINUTES ?= 10

.DEFAULT_GOAL := help
.PHONY: help up down test check check-data-plane check-others lint types layers format conformance fuzz bench lock clean python-is-new-enough

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -e 's/:.*## /\t/' | expand -t 12

up: $(VENV)/installed ## start the mesh with both labs, in the foreground (Ctrl-C stops it); PORT=8081 for another port
	@$(BIN)/minimesh up --ingress-port $(PORT) $(LABS)

down: $(VENV)/installed ## stop a mesh started with `minimesh up --detach`
	@$(BIN)/minimesh down

test: lint types layers ## lint, types, layers and every test (under thirty minutes)
	FUZZ_FACTOR=3 $(BIN)/pytest

check: $(VENV)/installed-dev ## the fast part: everything but the tests marked slow or docker (under two minutes)
	@$(MAKE) --no-print-directory -j 2 check-data-plane check-others lint types layers

# Two halves at the same time, for two cores.
DATA_PLANE_TESTS := tests/conformance tests/data_plane tests/fuzz
check-data-plane: $(VENV)/installed-dev
	$(BIN)/pytest -m "not slow and not docker" $(DATA_PLANE_TESTS)

check-others: $(VENV)/installed-dev
	$(BIN)/pytest -m "not slow and not docker" $(addprefix --ignore=,$(DATA_PLANE_TESTS))

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-dev
	$(BIN)/mypy

layers: $(VENV)/installed-dev
	$(BIN)/lint-imports

format: $(VENV)/installed-dev ## let ruff format and mend the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

conformance: $(VENV)/installed-dev ## ask the real Envoy and minimesh the same things, and print how they compare
	$(BIN)/python -m tests.conformance

fuzz: $(VENV)/installed-dev ## look for bytes that desynchronise the proxy, for MINUTES (10 unless given)
	$(BIN)/python -m tests.fuzz $(MINUTES)

bench: $(VENV)/installed-dev ## measure start-up, speed and memory against Envoy, nginx, HAProxy (ten minutes)
	$(BIN)/python -m bench

# The locks name every dependency with its hashes, for all supported Pythons and systems at once.
lock: $(VENV)/installed-dev ## renew the locked dependencies
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		-o requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		--extra dev -c requirements.lock -o requirements-dev.lock pyproject.toml

clean: ## remove the virtual environment and every cache
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

python-is-new-enough:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "minimesh needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo not there)." \
		     "Name a newer one: make up PYTHON=python3.12" >&2; exit 1; }

# Made anew where it was interrupted half-way: there is no way to tell what is missing. Ctrl-C ends it without a traceback.
$(VENV)/made:
	@$(MAKE) --no-print-directory python-is-new-enough
	@echo "minimesh: making the virtual environment $(VENV) ..."
	@$(PYTHON) -c 'import signal, sys, venv; signal.signal(signal.SIGINT, signal.SIG_DFL); venv.main(sys.argv[1:])' \
		--clear $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/made requirements.lock pyproject.toml
	@echo "minimesh: installing the locked dependencies (once, about ten seconds) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-input --no-deps -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-input --no-deps -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.lock
	@echo "minimesh: installing the tools of development ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-input --no-deps -r requirements-dev.lock
	@touch $@
