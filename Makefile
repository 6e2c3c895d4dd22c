# Two commands matter: `make demo` and `make test`. Both set up .venv on the first call.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup
SHELL := /bin/bash
export HF_HUB_OFFLINE := 1

.PHONY: help setup demo test test-slow lint format bench stubs embedded-model clean
.DEFAULT_GOAL := help

help:
	@echo "make demo       set up, start the service, send the example bundles over gRPC, show the cards"
	@echo "make test       set up, then the test suite without the slow ones (a few minutes)"
	@echo "make setup      .venv with labcue in its bin"
	@echo "make test-slow  the tests marked slow"
	@echo "make lint       ruff, mypy --strict, import contracts"
	@echo "make bench      measures speed and memory, writes bench/report.md"
	@echo "make embedded-model  trains the small Mistral again (DATA=folder of MIMIC and NHANES; about an hour on 2 cores)"
	@echo "make stubs      a wheel of the gRPC stubs alone, for integrators (dist/)"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt hatch_build.py $(wildcard protos/labcue/v1/*.proto)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "LabCue needs Python 3.11 or newer; set PYTHON=python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt hatchling grpcio-tools googleapis-common-protos editables
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[dev,eval]'
	@touch $@

demo: setup
	@$(BIN)/labcue demo

test: setup
	$(BIN)/python -m pytest

test-slow: setup
	$(BIN)/python -m pytest -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python -m evaluation.bench --out bench

stubs: setup
	$(BIN)/python hatch_build.py
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation -w dist ./protos

DATA ?= ../shared/data
embedded-model: setup
	$(BIN)/python -m training.embedded --data $(DATA)

clean:
	rm -rf $(VENV) labcue build dist bench .pytest_cache .mypy_cache .ruff_cache
