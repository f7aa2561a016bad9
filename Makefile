# Gauntlet. Every target that runs something sets itself up first; Python 3.11+ with pip, and make, are enough.

PYTHON ?= python3
CONFIG ?= configs/port-test.yaml
BENCH_JSON ?= bench.json
DATA ?= us20
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := .venv-peers

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# An environment that happens to be active must not decide what runs here.
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONPATH PYTHONHOME

# Solvers call BLAS: with one thread, equal inputs give equal bits on every run.
export OPENBLAS_NUM_THREADS := 1
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1

.PHONY: help setup peers port-test controls data-audit test soak ingestion-soak lab bench lock lint clean

help:  ## Show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

# uv does not read pip's settings, so a package index and certificates that pip was told to use are passed on.
define PIP_SETTINGS
set -e; told() { $(BIN)/python -m pip config list | sed -n "s/^global\.$$1='\(.*\)'$$/\1/p"; }; \
	index="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$(told index-url)}}"; \
	if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$$index"; fi; \
	certificates="$${SSL_CERT_FILE:-$${PIP_CERT:-$$(told cert)}}"; \
	if [ -n "$$certificates" ]; then export SSL_CERT_FILE="$$certificates"; fi
endef

setup: $(STAMP)  ## Create .venv and install the pinned versions (the other targets do this by themselves)

# uv comes by pip with the version and the hashes of the lock. Everything is a wheel (--no-build): no compiler is needed.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Gauntlet needs Python 3.11 or newer, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name another one: make PYTHON=python3.12 <target>" >&2; exit 2; }
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(VENV)/uv.lock
	$(PIP_SETTINGS); \
	$(BIN)/uv pip sync --python $(BIN)/python --require-hashes --no-build --compile-bytecode requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

peers: $(PEERS)/.installed  ## Create .venv-peers: nautilus, backtesting.py and backtrader, for second opinions and benchmarks

$(PEERS)/.installed: requirements-peers.lock $(STAMP)
	$(PIP_SETTINGS); \
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(PEERS); \
	$(BIN)/uv pip sync --python $(PEERS)/bin/python --require-hashes --no-build --compile-bytecode requirements-peers.lock
	touch $@

port-test: $(STAMP)  ## Play the walk-forward tournament on the packaged data and print the scoreboard
	$(BIN)/engine tournament --config $(CONFIG) $(ARGS)

controls: $(STAMP)  ## Measure how often the gates promote luck and find an edge; exit 1 where a target is missed
	$(BIN)/python -m scoreboards.control_run $(ARGS)

data-audit: $(STAMP)  ## Audit the data set DATA (us20), all of it and what is held; STRICT_HEALTH=1: gaps fail too
	$(BIN)/engine data audit $(DATA) --mode raw
	$(BIN)/engine data audit $(DATA) --mode selected $(if $(STRICT_HEALTH),--strict)

# Two workers on two cores. A file goes to one worker as a whole: its tests share what they set up. ARGS="-n 0"
# stays in one process, as --pdb needs it; a plain `pytest FILE` does so anyway and saves the start of the workers.
test: $(STAMP)  ## Run every check: style, types, import directions, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

soak: $(STAMP)  ## Kill paper sessions 50 times each and prove that nothing is lost or doubled
	$(BIN)/python -m tests.soak $(ARGS)

ingestion-soak: $(STAMP)  ## Pull 30 symbols from a market with every fault on, killed 20 times, and compare with an undisturbed pull
	$(BIN)/python -m tests.ingestion_soak $(ARGS)

lab: $(STAMP)  ## Open the notebooks in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=. notebooks/01_explore.ipynb $(ARGS)

bench: $(STAMP)  ## Measure against vectorbt; table on screen, JSON to BENCH_JSON (bench.json)
	$(BIN)/python -m benchmarks --json $(BENCH_JSON) $(ARGS)

lint: $(STAMP)  ## Mend style where that can be done by machine, then check style and types
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy
	$(BIN)/lint-imports

# --no-annotate and the fixed command line keep host names and paths of this machine out of the lock.
lock: $(STAMP)  ## Pin every dependency of pyproject.toml again, with hashes
	$(BIN)/uv pip compile pyproject.toml --group dev --extra bench --extra cluster --universal --generate-hashes \
		--python-version 3.11 --no-annotate --custom-compile-command "make lock" --quiet -o requirements.lock
	$(BIN)/uv pip compile requirements-peers.in --universal --generate-hashes --no-build \
		--python-version 3.11 --no-annotate --custom-compile-command "make lock" --quiet -o requirements-peers.lock

clean:  ## Remove the environment and every cache (runs and state are kept)
	rm -rf $(VENV) $(PEERS) cache build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
