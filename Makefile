# One verb per target. Every verb sets itself up: `make test` on a fresh clone needs Python 3.11 or newer and nothing else.
# ARGS goes to the program behind the verb: make demo ARGS=--keep, make test ARGS="-k refund -x".

ARGS ?=
VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
PIP_INSTALL := -m pip install -qq --disable-pip-version-check --no-input --retries 5 --timeout 60
CANDIDATES := $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3 python

# Tests run in four processes, also on two processors, because many of them wait. Files start as tests/conftest.py sorts
# them, the longest first; a process that dies is a failure. One file needs no second process, and beside one official
# server tests take turns.
PARALLEL := $(if $(INNGEST_TEST_SERVER)$(findstring .py,$(ARGS)),,--numprocesses 4 --dist loadfile --no-loadscope-reorder --max-worker-restart 0)

# A foreign path to import from would shadow what requirements.lock pins.
unexport PYTHONPATH PYTHONHOME
# With this set, Python would compile this project, and pytest rewrite its tests, anew in every process.
unexport PYTHONDONTWRITEBYTECODE
export PIP_USER := 0

.PHONY: help demo test eval pythons conformance torture lint bench dev production base checkpoint wheel clean lock install
.DEFAULT_GOAL := help

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

demo: $(INSTALLED) ## watch the whole worker at work, without any account
	@$(PY) -m offline $(ARGS)

test: $(INSTALLED) ## run every test, or one file: make test ARGS=tests/unit/test_docs.py
	@$(PY) -m pytest $(PARALLEL) $(ARGS)

eval: $(INSTALLED) ## judge the answers to the cases in evals/ with the model that is configured
	@$(PY) -m evals $(ARGS)

# Each interpreter has a virtual environment of its own in .cache.
pythons: ## run the unit and integration tests on each Python from 3.11 to 3.14 that is found
	@for python in python3.11 python3.12 python3.13 python3.14; do \
	    if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then echo "$$python: not found"; continue; fi; \
	    echo "$$python:"; \
	    $(MAKE) --no-print-directory test PYTHON="$$python" VENV=".cache/$$python" \
	        ARGS="tests/unit tests/integration $(ARGS)" || exit 1; \
	done

torture: $(INSTALLED) ## kill, cut, delay and cheat with new seeds for an hour (SEED=7 MINUTES=10 say otherwise)
	@SEED="$(SEED)" MINUTES="$(MINUTES)" $(PY) -m tests.torture $(ARGS)

conformance: $(INSTALLED) ## fill the stand-in's column of the conformance table (SERVER=URL: the official server's)
	@$(PY) -m tests.conformance $(if $(SERVER),--server $(SERVER)) $(if $(VERSION),--version $(VERSION)) $(ARGS)

lint: $(INSTALLED) ## check style, formatting and types
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

bench: $(INSTALLED) ## measure what an email costs: processor time, trips to the database, seconds
	@$(PY) -m offline.bench $(ARGS)

dev: $(INSTALLED) ## Postgres, the stand-in engine, the app and the shelf (reloading) on their usual ports, until Ctrl-C
	@$(PY) -m offline dev $(ARGS)

production: $(INSTALLED) ## what deploy/compose.yaml runs, without containers: three replicas behind HAProxy
	@$(PY) -m offline production $(ARGS)

base: $(INSTALLED) ## write ai-agent-nervous-system-base.zip, the folder that a learner starts from
	@$(PY) -m offline kit base $(ARGS)

checkpoint: $(INSTALLED) ## write the state after a Decision: make checkpoint D=3
	@$(PY) -m offline kit "d$(or $(D),$(error Which Decision? Say for instance: make checkpoint D=3))" $(ARGS)

wheel: $(INSTALLED) ## build the stand-ins and the pytest plugin as a package of their own, into dist/
	@cd offline && ../$(PY) -m hatchling build --target wheel --directory ../dist

clean: ## remove everything the other verbs made, the data of `make dev` included
	@rm -rf $(VENV) .cache .offline .hypothesis .gates.json dist checkpoint-d* ai-agent-nervous-system-base.zip
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

install: $(INSTALLED) ## only install what requirements.lock pins, into .venv

# Prints the first interpreter that is new enough and can make a virtual environment.
FIND_PYTHON = for candidate in $(CANDIDATES); do \
	    if "$$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	    then command -v "$$candidate"; break; fi; done

# Each attempt resumes from pip's cache; registries fail for a moment now and then.
$(INSTALLED): requirements.lock
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then \
	    echo "No Python 3.11 or newer with the venv module found (tried: $(strip $(CANDIDATES)))." >&2; \
	    echo "Install one (on Debian and Ubuntu the package python3-venv too), or name it: make PYTHON=/path/to/python3.12" >&2; \
	    exit 1; \
	fi; \
	echo "Installing into $(VENV), once (about a minute) ..." >&2; \
	"$$python" -m venv --clear $(VENV) || exit 1; \
	for pause in 3 10 0; do \
	    $(PY) $(PIP_INSTALL) --only-binary :all: --require-hashes -r requirements.lock && touch $@ && exit 0; \
	    sleep $$pause; \
	done; \
	echo "The installation failed three times; the last error is above. If it says that a package has no matching" >&2; \
	echo "distribution, this Python is too new for it: make PYTHON=python3.13" >&2; exit 1

COMPILE := .cache/lock/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --only-binary :all: \
    --generate-hashes --no-emit-index-url --no-header --no-annotate --no-config --quiet

lock: ## pin the dependency lists of pyproject.toml anew (ARGS=--upgrade takes the newest versions)
	@python=$$($(FIND_PYTHON)); "$$python" -m venv .cache/lock && .cache/lock/bin/python $(PIP_INSTALL) uv
	@$(COMPILE) --group offline --group dev $(ARGS) --output-file requirements.lock
	@$(COMPILE) --constraints requirements.lock --output-file deploy/requirements-runtime.lock
