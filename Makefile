# Everything a developer or CI runs. `make help` lists it; `make check` is the one command that proves a change.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(sort $(wildcard plugins/ocrq-*))
EDITABLE := $(foreach plugin,$(PLUGINS),-e $(plugin))
MANIFESTS := pyproject.toml $(wildcard plugins/ocrq-*/pyproject.toml)
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq
WORKERS ?= 2
ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test chaos bench coverage lint format types contracts check build clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Two stamps: the demo needs no test tools, and a warm run installs nothing.
$(VENV)/.run: $(MANIFESTS) ocrq/_version.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "ocrq needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1 || true);" \
	       "try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "making $(VENV)"; rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	@echo "installing ocrq and its plugins into $(VENV)"
	@$(PIP) -e . $(EDITABLE)
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "installing the development tools into $(VENV)"
	@$(PIP) -e '.[dev]' $(EDITABLE)
	@touch $@

venv: $(VENV)/.dev  ## set up .venv with everything, plugins and tools included
	@:

demo: $(VENV)/.run  ## text out of the sample documents, from a server and a worker started for it
	@$(BIN)/python examples/demo.py

test: $(VENV)/.dev  ## run all tests (ARGS="-k word" for some of them)
	@$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

RUNS ?= 3
SEED ?= 1
chaos: $(VENV)/.dev  ## try to lose a task, RUNS times from SEED on, and write docs/reliability.md
	@$(BIN)/python -m tests.chaos --runs $(RUNS) --seed $(SEED) --report

bench: $(VENV)/.dev  ## compare ocrq with its peers, some 20 minutes; write docs/benchmarks.md (ARGS=--quick for a look)
	@$(BIN)/python -m benchmarks $(ARGS)

coverage: $(VENV)/.dev  ## run all tests and show which lines they miss
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

lint: $(VENV)/.dev  ## ruff: rules and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(VENV)/.dev  ## put the code into the one format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# The plugins are projects of their own, each with a `tests` folder, so each is checked on its own.
types: $(VENV)/.dev  ## mypy, strict
	@$(BIN)/mypy
	@for plugin in $(PLUGINS); do MYPYPATH=$$plugin $(BIN)/mypy $$plugin || exit 1; done

contracts: $(VENV)/.dev  ## imports go downward only
	@$(BIN)/lint-imports --config setup.cfg

check: lint types contracts test  ## everything that CI checks, but for the demo and the build

build: $(VENV)/.dev  ## wheel and sdist into dist/, each installed and used outside the checkout
	@rm -rf dist
	@$(BIN)/python -m build --quiet --outdir dist .
	@$(BIN)/python tests/tools/check_dist.py dist/*

clean:  ## remove .venv and all that was built
	@rm -rf $(VENV) build dist *.egg-info plugins/*/build plugins/*/*.egg-info .coverage* .*_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
