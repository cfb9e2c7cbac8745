# Sentiflow's commands. `make run` and `make test` need Python 3.11 or newer and a package index.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run ui test test-slow test-compose soak mutants lint docs lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two test files at a time, slow ones three, in the order of tests/conftest.py: much of a night
# is waiting.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=20
# Without bytecode every process pays seconds of uncached imports.
ENV := env -u PYTHONDONTWRITEBYTECODE

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(VENV)/.installed: requirements.lock pyproject.toml
	@scripts/install.sh "$(PYTHON)" $(VENV) requirements.lock
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	@scripts/install.sh "$(PYTHON)" $(VENV) requirements-dev.lock
	@touch $@

setup: $(VENV)/.installed  ## make .venv from the hashed lock file
setup-dev: $(VENV)/.installed-dev  ## the same with test and lint tools

run: setup  ## one night on the embedded sample
	@$(ENV) $(BIN)/sentiflow run

ui: setup  ## MLflow's UI on what was recorded, on 127.0.0.1:5000
	@$(ENV) $(BIN)/sentiflow ui --port $${PORT:-5000}

test: setup-dev  ## unit, property and end-to-end tests on the sample
	@$(ENV) $(PYTEST) -m "not slow and not engine"

test-slow: setup-dev  ## the long tests: real reviews, failures
	@$(ENV) $(PYTEST) -n 3 -m "slow and not engine"

test-compose: setup-dev  ## docker-compose.yml on a real Docker engine, as root
	@$(ENV) scripts/with_engine.sh $(BIN)/python -m pytest -v --durations=10 -m engine tests/engine

soak: setup-dev  ## mutation run over the code that rules on a release; 95 % must be killed (JOBS=1)
	@scripts/soak.sh $(VENV) $(or $(JOBS),1)

mutants: setup-dev  ## mistakes chosen by hand in flows, operations and serving; every one must be noticed
	@$(ENV) $(BIN)/python scripts/chosen_mutants.py

lint: setup-dev  ## ruff, mypy --strict, import-linter
	@$(ENV) $(BIN)/ruff format --check .
	@$(ENV) $(BIN)/ruff check .
	@$(ENV) $(BIN)/mypy
	@$(ENV) $(BIN)/lint-imports

docs: setup-dev  ## the pages of docs/ as a site in build/docs; whatever they lack fails it
	@$(ENV) $(BIN)/python -m sphinx -W --keep-going -q -b html -d build/doctrees docs build/docs
	@echo build/docs/index.html

lock:  ## write both lock files anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --no-annotate --quiet --extra build pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --no-annotate --quiet --extra build --extra dev --extra docs -c requirements.lock \
	  pyproject.toml -o requirements-dev.lock

clean:  ## remove recorded state (.sentiflow); the environment stays
	rm -rf .sentiflow
