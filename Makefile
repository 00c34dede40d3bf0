# Everything a newcomer types. `make help` lists it.
PY := .venv/bin/python
STAMP := .venv/.installed
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo native test check format clean
help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(STAMP): pyproject.toml
	@test -x $(PY) || python3 -m venv .venv
	@echo "installing Python packages into .venv (once)…"
	@$(PY) -m pip install -q -e '.[dev,demo]'
	@touch $@

# Pure functions over bytes that every row passes: compiled they cost a tenth. The Python beside them stays the source.
NATIVE := $(addprefix src/ostiary/,protocols/postgres/framing.py protocols/postgres/rows.py protocols/postgres/bind.py \
  masking/transforms.py)

demo: $(STAMP) ## start everything on loopback and show the main job (ONCE=1: stop after the tour)
	@$(PY) -m ostiary demo $(if $(ONCE),--once)

native: $(STAMP) ## compile the row path with mypyc, where there is a C compiler
	@if command -v cc >/dev/null; then \
	  cd src && MYPYPATH=. ../.venv/bin/mypyc --config-file ../pyproject.toml $(NATIVE:src/%=%) >/dev/null && rm -rf build; \
	else echo "no C compiler here: the row path stays pure Python"; fi

.PHONY: fresh
fresh: # a compiled module that is older than its source must not be tested, nor one without the other
	@for source in $(NATIVE); do \
	  for compiled in $${source%.py}.*.so; do \
	    if [ "$$source" -nt "$$compiled" ]; then find src -name '*.so' -delete; fi; \
	  done; \
	done

.PHONY: servers
servers: # Debian's servers for the tests, when root on Debian
	@sh tests/install-servers.sh

test: $(STAMP) fresh servers ## set up what the tests need and run them all
	$(PY) -m pytest -n 2

check: $(STAMP) ## format, lint, types, import contracts
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: $(STAMP) ## rewrite the sources in the house format
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

clean: ## forget what make set up
	find src -name '*.so' -delete
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
