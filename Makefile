# `make` lists the targets.  A fresh machine needs Python 3.11, make and a C compiler.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
MARK ?= not slow and not gpu and not hub and not browser
N ?= 1000

.DEFAULT_GOAL := help
.PHONY: help build test lint demo bench evidence sample gallery clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# The stamps say that the install is done; editing either file makes it again.
$(VENV)/requirements.stamp: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --quiet -r requirements.txt
	@touch $@

$(VENV)/project.stamp: pyproject.toml $(VENV)/requirements.stamp
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

build: $(VENV)/project.stamp ## install everything once, then build the dataset into ./humanmovevqa
	$(BIN)/humanmovevqa build

test: $(VENV)/project.stamp ## run the tests (MARK=slow for the slow ones)
	$(BIN)/python -m pytest -q -n 2 -m "$(MARK)"

lint: $(VENV)/project.stamp ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

demo: $(VENV)/project.stamp ## open the demo on http://127.0.0.1:7860
	$(BIN)/humanmovevqa demo

bench: $(VENV)/project.stamp ## time a build of N=1000 synthetic clips
	@work=$$(mktemp -d) && trap 'rm -rf "$$work"' EXIT && \
	time $(BIN)/humanmovevqa build --source synthetic=$(N) --out "$$work/humanmovevqa" --work "$$work/work"

evidence: $(VENV)/project.stamp ## measure what README states, into evidence/ (an interrupted run continues)
	$(BIN)/python tests/evidence.py

sample: $(VENV)/project.stamp ## rebuild the packaged dataset from the true tracks of the packaged clips
	@work=$$(mktemp -d) && trap 'rm -rf "$$work"' EXIT && \
	$(BIN)/humanmovevqa build --lifter groundtruth --no-report --out builder/sample --work "$$work"

gallery: $(VENV)/project.stamp ## draw docs/gallery.md and its pictures from the packaged clips
	$(BIN)/python docs/gallery.py

clean: ## remove what make and the tools have made
	rm -rf $(VENV) humanmovevqa work build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
