PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
DEMO ?= runs/demo
# The root is the package `mofore`, whatever the folder is called ("mofore-main" is no module name): tools that
# take the package's name from its folder see it through this link.
ROOT := $(VENV)/src/mofore

.DEFAULT_GOAL := help
.PHONY: help setup demo check test bench clean

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## a virtual environment in .venv with the tested versions

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "mofore needs Python 3.11 or later; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cpu,test]'
	mkdir -p $(VENV)/src && ln -sfn ../.. $(ROOT)
	@touch $@

demo: $(STAMP) ## the whole road on drawn clips, offline, in under two minutes
	$(BIN)/mofore demo -w $(DEMO)

check: $(STAMP) ## format, lint, types, direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	MYPYPATH=$(VENV)/src $(BIN)/mypy -p mofore.pipeline -p mofore.stages -p mofore.data -p mofore.cache
	$(BIN)/lint-imports --no-logo

test: check ## everything that is checked, then the tests (with ../shared, the real set too)
	$(BIN)/python -m pytest $(ROOT)/tests

bench: $(STAMP) ## ratios of speed within one run; see docs/performance.md
	$(BIN)/python -m benchmarks

clean: ## remove the environment and what tools left
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
