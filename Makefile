# Everything works in a fresh clone with Python 3.11 or newer, make and a compiler; `make` alone lists the targets.

PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
DEV_EXTRAS := cirq,braket,pennylane,distributed,tensorboard,docs,dev
CORE := $(VENV)/.installed-core
DEV := $(VENV)/.installed-dev
ARGS ?=
# Small tensors, here as in the tests: PyTorch's threads only get in each other's way, badly so on a busy machine.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help install dev train test quick lint format docs clean

help: ## List the targets.
	@awk 'BEGIN { FS = ":.*## " } /^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/python:
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo "qdeq needs Python 3.11 or newer, and found $(or $(PYTHON),none)."; \
		echo "Install it, or name it: make PYTHON=/path/to/python3.11"; exit 2; fi >&2
	@echo "Making a virtual environment in $(VENV) ($$($(PYTHON) --version))"
	@$(PYTHON) -m venv $(VENV)

$(CORE): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing qdeq and PyTorch into $(VENV); once, some minutes"
	@$(PIP) -e .
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing qdeq with all simulators and tools into $(VENV); once, some minutes"
	@$(PIP) -e '.[$(DEV_EXTRAS)]'
	@touch $(CORE) $@

install: $(CORE) ## Install qdeq alone into .venv.

dev: $(DEV) ## Install qdeq with simulators, tests and docs tools into .venv.

train: $(CORE) ## Train on scikit-learn's digits (configs/digits.yaml); ARGS="--set a.b=c" changes it.
	$(BIN)/qdeq train configs/digits.yaml --out runs/make-train --force $(ARGS)

test: $(DEV) ## Run all tests.
	$(BIN)/python -m pytest -q -n auto --dist loadfile $(ARGS)

quick: $(DEV) ## Run the tests that are not marked slow.
	$(BIN)/python -m pytest -q -m 'not slow' $(ARGS)

lint: $(DEV) ## Check style, formatting and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV) ## Format the code, and mend what ruff can mend.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DEV) ## Build the documentation into site/.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean: ## Remove the environment, caches and built files; runs/ stays.
	rm -rf $(VENV) site build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
