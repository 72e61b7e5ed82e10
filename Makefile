PYTHON ?= python3
VENV := .venv
BOUNDS := .venv-bounds
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
DEMO ?= runs/demo
# torch for processors (200 MB) where Linux has no NVIDIA driver: the usual index's brings 3 GB of CUDA. Where this index does
# not answer within seconds, pip takes what it has. TORCH_INDEX= (empty) never asks it.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
PIP = -m pip install --quiet --disable-pip-version-check
TORCH = $(shell sed -n '/^torch\(vision\)*==/p' constraints.txt)
OTHERS ?= python3.11 python3.12 python3.13 python3.14
# The root is the package `mofore`, whatever the folder is called ("mofore-main" is no module name): tools that
# take the package's name from its folder see it through this link.
ROOT := $(VENV)/src/mofore

# Old libraries warn of one another; that is not mofore's to mend.
OLD_WARNINGS := -W ignore::DeprecationWarning -W ignore::FutureWarning
# What meets each dependency, without the tests of processes, kills and memory.
BOUND_TESTS := cache data $(addsuffix .py,$(addprefix stages/test_,arithmetic bfloat16 build_index classification \
	clustering contact_sheet curves encoders evaluate fit import_features index_kinds linear_probe ranking \
	ties text_tower vector_index watch weight_files)) pipeline/test_compare.py pipeline/test_config.py \
	pipeline/test_demo.py pipeline/test_import.py pipeline/test_search.py

.DEFAULT_GOAL := help
.PHONY: help setup demo check check-bounds test test-all bench gpu-trial clean

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## a virtual environment in .venv with the tested versions

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "mofore needs Python 3.11 or later; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@if [ "$$(uname -s)" = Linux ] && [ -n "$(TORCH_INDEX)" ] && ! command -v nvidia-smi >/dev/null; then \
		$(BIN)/python $(PIP) --timeout 8 --retries 0 --no-deps --index-url $(TORCH_INDEX) $(TORCH) \
		|| echo "note: $(TORCH_INDEX) does not answer: torch comes from pip's own index, perhaps with CUDA"; fi
	$(BIN)/python $(PIP) -c constraints.txt -e '.[browser,check,cpu,export,test]'
	mkdir -p $(VENV)/src && ln -sfn ../.. $(ROOT)
	@touch $@

demo: $(STAMP) ## the whole road on drawn clips, offline, and what forecasting finds in them
	$(BIN)/mofore demo -w $(DEMO)

check: $(STAMP) ## format, lint, types, direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	MYPYPATH=$(VENV)/src $(BIN)/mypy -p mofore.pipeline -p mofore.stages -p mofore.data -p mofore.cache -m mofore
	$(BIN)/lint-imports --no-logo

check-bounds: $(STAMP) ## the tests with the oldest versions that pyproject.toml allows
	test -x $(BOUNDS)/bin/python || $(PYTHON) -m venv $(BOUNDS)
	$(BIN)/python tests/trials/bounds.py pyproject.toml cpu test > $(BOUNDS)/lowest.txt
	$(BOUNDS)/bin/python -m pip install --quiet --disable-pip-version-check -r $(BOUNDS)/lowest.txt wheel
	$(BOUNDS)/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	mkdir -p $(BOUNDS)/src && ln -sfn ../.. $(BOUNDS)/src/mofore
	$(BOUNDS)/bin/python -m pytest -p no:cacheprovider $(OLD_WARNINGS) $(addprefix $(BOUNDS)/src/mofore/tests/,$(BOUND_TESTS))

test: check ## everything that is checked, then the tests (with ../shared, the real set too)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal $(ROOT)/tests

test-all: ## the tests on every Python from 3.11 on that is here (OTHERS="python3.12" for some)
	@for python in $(OTHERS); do \
		$$python -c '' 2>/dev/null || { echo "$$python: not here, not tested"; continue; }; \
		echo "$$python:"; \
		$(MAKE) --no-print-directory setup VENV=.venv-$$python PYTHON=$$python || exit 1; \
		.venv-$$python/bin/python -m pytest -p no:cacheprovider -n auto --maxprocesses 4 --dist worksteal \
			.venv-$$python/src/mofore/tests || exit 1; \
	done

bench: $(STAMP) ## ratios of speed within one run; see docs/performance.md
	$(BIN)/python -m benchmarks

gpu-trial: $(STAMP) ## what a GPU makes of it, in eight minutes; PRETEND=--pretend without one
	$(BIN)/python -m benchmarks.gpu_trial $(PRETEND)

clean: ## remove the environment and what tools left
	rm -rf $(VENV) .venv-python* $(BOUNDS) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
