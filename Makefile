# Everything a newcomer types. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
BIN := .venv/bin
PY := $(BIN)/python
#: Each is newer than pyproject.toml when .venv holds what that needs; `dev` includes the demo's.
DEV := .venv/.dev
DEMO := .venv/.demo
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo test bench check native compiled fresh format clean servers
help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(DEMO) ## the main job on loopback, with embedded parts; ONCE=1 stops after the tour, JSON=1 prints what was observed
	@$(PY) -m ostiary demo $(if $(ONCE),--once) $(if $(JSON),--json)

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1)" >&2; \
	    echo "next:  make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "making .venv …" >&2
	@$(PYTHON) -m venv .venv || \
	  { rm -rf .venv; echo "next:  on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

# pip tells a package a line; what it says of itself on the way is left out.
install = echo "installing $(1) into .venv (once) …" >&2; \
	$(PY) -m pip install --progress-bar off -e '.[$(2)]' | sed -un 's/^Collecting \([A-Za-z0-9._-]*\).*/  \1/p; s/^Installing .*/  unpacking …/p' >&2

$(DEMO): pyproject.toml | $(PY)
	@if [ -e $(DEV) ] && [ ! pyproject.toml -nt $(DEV) ]; then :; else $(call install,what the demo needs,demo); fi
	@touch $@

$(DEV): pyproject.toml | $(PY)
	@$(call install,what tests and checks need,dev)
	@touch $@ $(DEMO)

# What every command and every row passes. The Python beside the compiled modules stays the source and passes the same
# tests. What mypyc does not bear: a coroutine that is cancelled; one name for the exceptions of several `except`
# clauses; a class that msgspec decodes, or that an uncompiled one inherits from. ROWS have C types beside them (.pxd).
NATIVE := $(addprefix src/ostiary/,gate/records.py gate/refusals.py policy/cedar.py runtime/session.py wire/contract.py \
  $(addprefix core/,$(addsuffix .py,calendar principal result ruling target)) \
  $(addprefix masking/,$(addsuffix .py,classes ff1 masking plan)) \
  $(addprefix masking/transforms/,$(addsuffix .py,coarse keyed partial target)) \
  $(addprefix recording/,$(addsuffix .py,chain recorder writing)) \
  $(addprefix protocols/postgres/,$(addsuffix .py,arrays bind engine framing moments placing relay replies requests results state \
    statements values weigh)))
ROWS := $(addprefix src/ostiary/protocols/postgres/,rows.py copied.py)

native: $(DEV) ## compile the data path with mypyc and Cython, where there are a C compiler and Python's headers
	@if command -v cc >/dev/null && [ -e "$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ]; then \
	  cd src && \
	  MYPYPATH=. ../$(BIN)/mypyc --config-file ../pyproject.toml $(NATIVE:src/%=%) >/dev/null && \
	  ../$(BIN)/cythonize -3 -i -q -X annotation_typing=False $(ROWS:src/%=%) >/dev/null 2>&1 && \
	  rm -rf build $(patsubst src/%.py,%.c,$(ROWS)); \
	else echo "no C compiler or no Python headers here (Debian: gcc, python3-dev): the data path stays pure Python"; fi

fresh: # a compiled module that is older than its source must not be tested, nor one without the other
	@for source in $(NATIVE) $(ROWS) $(ROWS:.py=.pxd); do \
	  for compiled in $${source%.*}.*.so; do \
	    if [ "$$source" -nt "$$compiled" ]; then find src -name '*.so' -delete; fi; \
	  done; \
	done

bench: $(DEV) native servers ## throughput, CPU and memory beside PgBouncer and direct (ARGS="--quick", "--json")
	@$(PY) -m bench.run $(ARGS)

servers: # Debian's servers for the tests, when root on Debian
	@sh tests/install-servers.sh

test: $(DEV) fresh servers ## set up what the tests need and run them all
	$(PY) -m pytest -n 2

# Rooms that are never on the data path run the same code either way.
ASIDE := $(foreach room,accounts api approvals cli client control credentials export identity oauth signin store telemetry,--ignore=tests/$(room)) \
  $(foreach kind,api* apply* cli_* example* export* issuer* login* oidc* saml* sign* store*,--ignore-glob='tests/real/test_$(kind)')

compiled: native servers ## the same tests on the compiled data path, but for rooms beside it
	$(PY) -m pytest -n 2 $(ASIDE)

check: $(DEV) ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV) ## rewrite the sources in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## forget what make set up
	find src -name '*.so' -delete
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
