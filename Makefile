# Every task of the project; `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin

# Any Python from 3.12 to 3.14 makes the tools' environment; 3.13 first, because the functions run on it.
# Looked for on PATH, then among pyenv's versions. A pyenv shim of a version that is not selected fails
# when it is run, so each candidate is run.
FIND_PYTHON = for name in python3.13 python3.14 python3.12 python3 \
	$$(ls -d "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.1[342].*/bin/python 2>/dev/null | sort -r); do \
	"$$name" -c 'import sys; sys.exit(not (3, 12) <= sys.version_info < (3, 15))' 2>/dev/null && echo "$$name" && break; done

.PHONY: help demo test inside check up unit integration e2e models models-test convert fuzz bench build lock clean

help: ## List the tasks
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.venv/.complete: requirements/dev.txt
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then echo "hotplate needs Python 3.12, 3.13 or 3.14; none was found on PATH or under pyenv." >&2; exit 1; fi; \
	echo "Making .venv with $$python (once, a minute or two) …"; \
	"$$python" -m venv .venv
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt || \
	 $(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: .venv/.complete ## Publish a model, start the local cloud, ask it cold and warm, stop
	@$(BIN)/hotplate demo

test: models ## Run every test but those of frameworks: unit, integration, end to end, each model over HTTP
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target inside e2e
	@$(BIN)/pytest tests/models

# Beside the end-to-end tests, which wait for other processes half of the time.
inside: .venv/.complete
	@$(BIN)/pytest tests/unit tests/integration

check: .venv/.complete ## Format, lint, types, imports, template
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/hotplate check-template

up: .venv/.complete ## Start the local cloud on port 8080 and stay; Ctrl-C stops it
	@$(BIN)/hotplate up --port 8080

unit: .venv/.complete ## Run the unit tests
	@$(BIN)/pytest tests/unit

integration: .venv/.complete ## Run the integration tests
	@$(BIN)/pytest tests/integration

e2e: .venv/.complete ## Run the end-to-end tests
	@$(BIN)/pytest tests/e2e

models: .venv/.complete ## Build the models that are too large to be committed and not built here
	@$(BIN)/hotplate train --missing

models-test: models ## Of these tests only those of models that are built
	@$(BIN)/pytest tests/models

convert: .venv/.complete ## Convert, publish and serve a model of every framework (installs them)
	@$(BIN)/pytest tests/convert

fuzz: .venv/.complete ## Fuzz the API of the local cloud, all routes, 5,000 requests and more
	@$(BIN)/python -m tests.support.fuzzing

bench: .venv/.complete ## Run the benches; they print ratios
	@failed=0; for bench in tests/bench/bench_*.py; do echo "$$bench"; $(BIN)/python "$$bench" || failed=1; done; exit $$failed

build: .venv/.complete ## Build functions and layers, print their sizes
	@$(BIN)/hotplate build

lock: .venv/.complete ## Pin all requirements again, with hashes
	@for name in dev sam cloud fuzz runtime train-gguf train-keras train-ocr train-pretrained convert-boosted convert-keras convert-sklearn \
	  model-signing quantise plot bench-genai bench-llama bench-servers bench-mlserver; do \
	  $(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.12 \
	    requirements/$$name.in -o requirements/$$name.txt; done
	@for name in convert-torch train-pretrained-torch; do \
	  $(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	    requirements/$$name.in -o requirements/$$name.txt; done
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.12 \
	  -c requirements/dev.txt layers/onnxruntime/requirements.in -o layers/onnxruntime/requirements.txt
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.12 \
	  -c layers/onnxruntime/requirements.txt layers/codecs/requirements.in -o layers/codecs/requirements.txt
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.12 \
	  -c requirements/dev.txt layers/tables/requirements.in -o layers/tables/requirements.txt
	@for folder in functions/entities functions/sift tests/convert/programs/functions/entities; do \
	  $(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.12 \
	    -c layers/codecs/requirements.txt $$folder/requirements.in -o $$folder/requirements.txt; done
	@$(BIN)/uv pip compile -q --generate-hashes --no-header --no-annotate --python-version 3.13 \
	  --python-platform x86_64-manylinux_2_28 -c layers/onnxruntime/requirements.txt \
	  functions/sagemaker/requirements.in -o functions/sagemaker/requirements.txt

clean: ## Remove what the tasks made in this folder
	rm -rf .venv .aws-sam .hotplate .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
