PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: tune test test-long faults soak check lock

tune: $(READY)  ## the first study: environment, locked install, 30 trials
	$(BIN)/hpsearch tune search_spaces/breast_cancer.yaml

test: $(READY)  ## the test suite
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup -m "not long" $(ARGS)

test-long: $(READY)  ## the tests that take minutes each
	$(BIN)/python -m pytest -q -m long $(ARGS)

faults: $(READY)  ## the catalogue of docs/reliability.md, and its figures
	rm -f .pytest_cache/faults.json
	$(BIN)/python -m pytest -q tests/faults $$($(BIN)/python tests/faults/table.py --tests) $(ARGS)
	$(BIN)/python tests/faults/table.py --write

soak: $(READY)  ## 500 trials under random kills: some minutes
	$(BIN)/python benchmarks/soak.py

check: $(READY)  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

lock: $(READY)  ## new versions and hashes from the ranges in pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --upgrade --extra dev \
		--quiet pyproject.toml --output-file requirements.lock

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
