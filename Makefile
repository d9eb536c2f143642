# Each target sets up what it needs: a fresh clone and Python 3.11 are enough.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow check bench setup clean
.DEFAULT_GOAL := help

help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Roadscribe needs $(PYTHON) (set PYTHON=... to another name)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,openvino]'
	@touch $@

setup: $(READY) ## Create .venv with everything

demo: $(READY) ## Write a demo drive, label it through the service on Ray, show the pictures
	$(BIN)/roadscribe demo demo_out

test: $(READY) ## Run the fast tests (under 3 minutes on 2 cores)
	$(BIN)/pytest -m "not slow"

test-slow: $(READY) ## Run the slow tests
	$(BIN)/pytest -m slow

check: $(READY) ## Lint, format, types, size budget
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python .ci/size_budget.py

bench: $(READY) ## Measure the renderers against each other
	$(BIN)/python tests/benchmarks/bench_render.py

clean: ## Remove the environment and everything generated
	rm -rf $(VENV) demo_out build dist .pytest_cache .mypy_cache .ruff_cache
