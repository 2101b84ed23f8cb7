# Two commands do everything: `make run` and `make test`. See README.md.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PORT   ?= 8080
# Where the data lives; empty means the default that `praxis serve --help` names.
DATA_DIR ?=
DATA   := $(if $(DATA_DIR),--data-dir $(DATA_DIR))

.PHONY: setup run test test-half test-rest lint bench clean
.DEFAULT_GOAL := run

setup: $(VENV)/.ready

# The locked dependencies, by uv where it is installed, else by venv and pip.
$(VENV)/.ready: pyproject.toml uv.lock requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Praxis needs Python 3.11 or newer; set PYTHON=/path/to/python3" >&2; exit 1; }
	@if command -v uv >/dev/null 2>&1; then \
	  UV_PROJECT_ENVIRONMENT=$(VENV) uv sync --frozen --quiet --python $(PYTHON); \
	else \
	  $(PYTHON) -m venv $(VENV) && $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock \
	  && $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .; \
	fi
	@touch $@

run: setup
	@$(BIN)/praxis demo --if-empty $(DATA)
	@exec $(BIN)/praxis serve --auth off --port $(PORT) $(DATA)

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# The npm client of tests/clients, by the Node.js that comes as a wheel with the development dependencies.
CLIENTS := tests/clients/node_modules/.package-lock.json
$(CLIENTS): tests/clients/package-lock.json $(VENV)/.ready
	@cd tests/clients && PATH="$(abspath $(BIN)):$$PATH" npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

# In two halves side by side, each with a database of its own: much of a test's time is waiting for servers.
HALF := tests/acceptance tests/search
test: lint $(CLIENTS)
	@$(MAKE) --no-print-directory --jobs=2 test-half test-rest

test-half:
	@$(BIN)/pytest -p no:cacheprovider $(HALF)

test-rest:
	@$(BIN)/pytest -p no:cacheprovider $(addprefix --ignore=,$(HALF))

bench: setup
	@$(BIN)/python -m bench all --out docs/performance-run.md && sed -n 1,32p docs/performance-run.md

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
