PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

# The tests that touch private parts of Keras, Optuna, Keras Tuner, MLflow and Ray.
COMPAT := tests/compat $(addprefix tests/, $(addsuffix .py, \
	models/test_model_validation models/test_from_keras_tuner models/test_own_spaces \
	training/test_compiled training/test_losses training/test_optimizers \
	search/test_samplers search/test_gp_sampler search/test_pruners \
	tracking/test_database tracking/test_garbage tracking/test_schema tracking/test_uploader \
	execution/test_ray_cluster))

.PHONY: tune test test-long docs notebooks faults soak screenshots rivals curve-rivals tables check lock lock-check compat compat-oldest compat-newest

tune: $(READY)  ## the first study: environment, locked install, 30 trials
	$(BIN)/hpsearch tune search_spaces/breast_cancer.yaml

# In two workers; tests/conftest.py says what runs in the same one, and what begins first.
# A test that hangs takes its worker down, and would be begun again in each new one: one is enough.
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder \
	--max-worker-restart=1 --durations=30

test: $(READY)  ## the test suite
	$(PYTEST) -m "not long and not soak" $(ARGS)

test-long: $(READY)  ## the tests marked `long`: most of an hour
	$(PYTEST) -m "long and not soak" $(ARGS)

docs: $(READY)  ## the site of the docs, in build/site; refuses broken links
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

notebooks: $(READY)  ## execute docs/notebooks and store their outputs
	$(BIN)/python tests/execute_notebooks.py

faults: $(READY)  ## the catalogue of docs/reliability.md, and its figures; its longest tests are `make soak`
	rm -f .pytest_cache/faults.json
	$(BIN)/python -m pytest -q -m "not soak" tests/faults $$($(BIN)/python tests/faults/table.py --tests) $(ARGS)
	$(BIN)/python tests/faults/table.py --write

compat: compat-oldest compat-newest  ## the oldest and the newest versions that are allowed

compat-oldest: CONSTRAINTS := --constraint tests/compat/oldest.txt

compat-oldest compat-newest: $(READY)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python build/$@
	$(BIN)/uv pip install --quiet --upgrade --python build/$@ $(CONSTRAINTS) --editable '.[cmaes,ray,tensorflow]' \
		pytest pytest-timeout pytest-xdist hypothesis
	build/$@/bin/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not soak" -W default $(COMPAT) $(ARGS)

rivals: $(READY)  ## build/rivals, an environment with the rivals of benchmarks/tables.py; downloads PyTorch
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python build/rivals
	$(BIN)/uv pip install --quiet --python build/rivals lightgbm catboost pytabkit scikit-learn pandas

# HEBO's own pins are for NumPy 1; it works with what is installed here.
CURVE_RIVALS := build/curve-rivals/bin/python
curve-rivals: $(READY)  ## the rows of benchmarks/pruners.md that need packages of their own, in build/pruners.jsonl
	$(PYTHON) -m venv build/curve-rivals
	$(CURVE_RIVALS) -m pip install --quiet optuna scipy pydantic threadpoolctl torch smac \
		gpytorch pymoo GPy catboost disjoint-set pandas
	$(CURVE_RIVALS) -m pip install --quiet --no-deps HEBO
	PYTHONPATH=. $(CURVE_RIVALS) benchmarks/pruners.py run --results build/pruners.jsonl --seeds 3 \
		--rows "Optuna GP" "Optuna GP + Hyperband" "SMAC3 multi-fidelity" HEBO
	$(BIN)/python benchmarks/pruners.py table --results build/pruners.jsonl

# Continues after an interruption; the page is made of benchmarks/tables.jsonl.
TABLES ?= --seeds 3 --rows 850 --models realmlp --trials 8
tables: rivals  ## run what is missing of benchmarks/tables.jsonl, and make its part of benchmarks/tables.md
	$(BIN)/python benchmarks/tables.py $(TABLES) --keep benchmarks/tables.jsonl \
		--export build/tables --rivals build/rivals/bin/python
	$(BIN)/python benchmarks/tables.py --show benchmarks/tables.jsonl --page

soak: $(READY)  ## 500 trials under random kills, and the tests marked `soak`: hours
	$(BIN)/python benchmarks/soak.py
	$(PYTEST) -m soak $(ARGS)

screenshots: $(READY)  ## the images in docs/images, from a study; needs chromium and chromedriver
	$(BIN)/python tests/make_screenshots.py

check: $(READY)  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml docs/examples/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec compose.yaml
	for platform in linux darwin win32; do $(BIN)/mypy --platform $$platform || exit 1; done

PLATFORMS := x86_64-manylinux_2_28 aarch64-manylinux_2_28 aarch64-apple-darwin x86_64-pc-windows-msvc

lock-check: $(READY)  ## that the lock installs from wheels on every platform
	$(BIN)/python -m pip install --quiet uv
	for platform in $(PLATFORMS); do for python in 3.11 3.12 3.13; do \
		echo "$$platform, Python $$python"; \
		MACOSX_DEPLOYMENT_TARGET=14.0 $(BIN)/uv pip install --dry-run --quiet --require-hashes \
			--only-binary :all: --python-platform $$platform --python-version $$python \
			--target build/none --requirement requirements.lock || exit 1; \
	done; done

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
