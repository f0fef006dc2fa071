# Everything a contributor runs. Each target sets up what it needs first, and is quick when that is there.
#
#   make demo ONCE=1                 the tour, then exit
#   make test PYTEST_ARGS='-k relay' some tests, more of pytest's options
#   make bench BENCH_ARGS='--help'
#   make compat COMPAT_ARGS='--only python'

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# Stamps: what the lock names is there; the proxy can run; the tools for tests and lint are there too.
LOCKED := $(VENV)/.locked
RUN := $(VENV)/.run
DEV := $(VENV)/.dev
# As many test processes as cores, each with servers of its own; PYTEST_WORKERS=0 runs all in one.
PYTEST_WORKERS ?= auto
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test faults compat lint format compile plain bench lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

demo: $(RUN) ## a sharded shop on this machine, and a tour through it
	@$(BIN)/shardproxy demo $(if $(ONCE),--once)

# Compiled forms would be run in place of sources that have changed since.
test: $(RUN) $(DEV) plain ## all tests, against real database servers
	@.ci/need mariadbd=mariadb-server-core mariadb-install-db=mariadb-server-core mariadb=mariadb-client sysbench=sysbench etcd=etcd-server redis-server=redis-server
	@$(BIN)/python -m pytest -q -n $(PYTEST_WORKERS) $(PYTEST_ARGS)

faults: $(RUN) $(DEV) plain ## what can break while rows move, at every place where it can; hours (FAULTS_ARGS='--only "kill target"')
	@.ci/need mariadbd=mariadb-server-core mariadb-install-db=mariadb-server-core etcd=etcd-server
	@$(BIN)/python -m tests.moves.faults $(FAULTS_ARGS)

compat: $(RUN) $(DEV) plain ## drivers and ORMs of seven languages through the proxy, into docs/compatibility.md
	@.ci/need mariadbd=mariadb-server-core mariadb-install-db=mariadb-server-core
	@$(BIN)/python -m tests.compat --write $(COMPAT_ARGS)

lint: $(RUN) $(DEV) ## style, types, layers, generated and example files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m shardproxy.config.schema --check schemas/config.schema.json
	@$(BIN)/python -m shardproxy.cli.errors_doc --check docs/errors.md
	@$(BIN)/python -m pytest -q tests/unit/test_docker_files.py tests/unit/test_example_configs.py

format: $(DEV) ## put the code into the one shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

compile: $(RUN) $(DEV) ## the hot modules as C extensions, beside their sources; needs a C compiler
	@SHARDPROXY_COMPILE=1 $(BIN)/python -W ignore setup.py -q build_ext --inplace 2>/dev/null
	@rm -rf build

plain: ## take the compiled forms away again
	@find shardproxy -name '*.so' -delete

bench: $(RUN) $(DEV) $(if $(shell command -v cc),compile) ## throughput, latency and CPU per query, next to HAProxy and no proxy
	@.ci/need mariadbd=mariadb-server-core mariadb-install-db=mariadb-server-core mariadb=mariadb-client sysbench=sysbench haproxy=haproxy redis-server=redis-server redis-cli=redis-tools nutcracker=nutcracker
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

# By hand, after a change of dependencies; needs pip-tools in the environment that runs it.
PIP_COMPILE = CUSTOM_COMPILE_COMMAND='make lock' pip-compile --quiet --generate-hashes --all-build-deps --allow-unsafe \
	--strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
lock: ## pin the dependencies anew
	$(PIP_COMPILE) --output-file requirements.lock pyproject.toml
	$(PIP_COMPILE) --extra test --extra lint --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml
	cd tests/compat/clients/python; for part in requirements requirements-mysqlclient; do \
	  $(PIP_COMPILE) --output-file $$part.txt $$part.in; done

clean: plain ## remove the environment and everything generated
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# pip leaves in place what a lock has dropped, so a new lock makes the environment anew. What only tests and lint need is
# added when one of them is asked for.
$(LOCKED): requirements.lock
	@set -e; \
	python=$$(.ci/python); \
	echo "Setting up $(VENV) with $$($$python --version) …"; \
	rm -rf $(VENV); \
	$$python -m venv $(VENV); \
	$(BIN)/pip install --quiet --require-hashes --requirement requirements.lock; \
	touch $@

# `pip check` finds a dependency that stands in the project file and not in the lock.
$(RUN): $(LOCKED) pyproject.toml
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/pip check > /dev/null || { $(BIN)/pip check; echo 'Run make lock.'; exit 1; } >&2
	@touch $@

$(DEV): $(LOCKED) requirements-dev.lock
	@echo "Adding the tools for tests and lint …"
	@$(BIN)/pip install --quiet --require-hashes --requirement requirements-dev.lock
	@touch $@
