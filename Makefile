# `make` alone lists what there is. Nothing is installed outside .venv and .hosts, which are made again only for a reason.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   := runs/demo/mnist

# onnxruntime comes in two builds that exclude each other: the one for the GPU wherever an NVIDIA driver is present.
RUNTIME := $(if $(or $(wildcard /proc/driver/nvidia/version),$(shell command -v nvidia-smi 2>/dev/null)),gpu,cpu)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

.DEFAULT_GOAL := help
.PHONY: help demo test test-hosts check bench clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 \t/p' Makefile

demo: $(VENV)/.installed  ## compile, inspect and sample the embedded digit model (no download of weights, no GPU)
	@mkdir -p $(dir $(DEMO))
	@echo "== compiling schedules of 3, 9 and 13 model calls for the embedded mnist model"
	$(BIN)/artc compile --model mnist --nfe 3,9,13 -o $(DEMO).art.json --force
	@echo "== what is in the artifact"
	$(BIN)/artc inspect $(DEMO).art.json --plot $(DEMO).schedule.png
	@echo "== samples at 9 model calls, beside the hand-made EDM schedule"
	$(BIN)/artc sample $(DEMO).art.json --nfe 9 -n 64 --compare edm -o $(DEMO).samples.png
	@echo "== done: look at $(DEMO).schedule.png and $(DEMO).samples.png"

test: check  ## every check, then the whole test suite with coverage, a process for each core
	@echo "== tests"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder \
	  --cov --cov-report=term -m "not hosts"
	@echo "== left out, for they need the real hosts: make test-hosts"

test-hosts: $(VENV)/.developed .hosts/.installed  ## the real hosts, installed and driven: k-diffusion, ComfyUI, a browser
	@echo "== tests of the real hosts: k-diffusion, a ComfyUI server, and its page in a browser where there is Chromium"
	$(BIN)/python -m pytest tests/hosts

check: $(VENV)/.developed  ## format, lint, types, and the direction of imports
	@echo "== format and lint"
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@echo "== types"
	$(BIN)/mypy
	@echo "== imports"
	$(BIN)/lint-imports --no-logo

bench: $(VENV)/.developed  ## the benchmarks; results as JSON
	$(BIN)/python -m tests.benchmarks

clean:  ## remove what tools left behind; .venv, .hosts and runs stay
	rm -rf build dist *.egg-info .coverage .coverage.* coverage.xml htmlcov
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find artc artifacts integrations schemas tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || \
	  { echo "artc needs Python 3.10 or later as '$(PYTHON)': install one, or name it: make PYTHON=python3.12" >&2; exit 1; }
	@echo "== making $(VENV)"
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "'$(PYTHON)' cannot make virtual environments: install its venv module (Debian, Ubuntu: python3-venv)" >&2; exit 1; }

# Order-only: a newer interpreter file is no reason to install again; changed requirements are.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "== installing artc (torch is large: minutes on a first run)"
	$(INSTALL) ".[$(RUNTIME)]"
	@touch $@

$(VENV)/.developed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "== installing artc and its development tools (torch is large: minutes on a first run)"
	$(INSTALL) ".[$(RUNTIME),dev]"
	@touch $(VENV)/.installed $@

.hosts/.installed: tests/hosts/install.py $(wildcard tests/hosts/requirements-*.txt) | $(BIN)/python
	@echo "== installing the hosts into .hosts (ComfyUI with a torch of its own: a minute or more, 1.5 GB)"
	@rm -f $@
	@$(BIN)/python tests/hosts/install.py
	@touch $@
