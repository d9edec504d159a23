# Each target makes what it needs: a .venv in this folder, the exact packages of constraints-dev.txt, a private
# PostgreSQL. None needs root, a running server or a container. ARGS goes to the program: make test ARGS='-k plan'.
#
# Paths are relative on purpose: the folder of the checkout may have spaces in its name.

PYTHON ?= python3
ARGS ?=
# Each worker has a server of its own; a file's tests stay together, since they share what they have set up.
workers := -n auto --maxprocesses 4 --dist loadfile
pip := .venv/bin/python -m pip --disable-pip-version-check -qq
constraints := --constraint constraints-dev.txt

.PHONY: help demo test test-all chaos lint types bench bench-apps generated constraints clean

help:
	@echo 'make demo      watch dbopt work on a private server with sample data'
	@echo 'make test      the tests, on a private PostgreSQL 18'
	@echo 'make test-all  those that talk to a server, on PostgreSQL 13 to 18 (needs npm)'
	@echo 'make chaos     dbopt killed at random moments while an application writes: RUNS=200 SEED=1'
	@echo 'make bench-apps  what was promised, measured: both sample applications, ROWS=1000000'
	@echo 'make lint, types, generated, bench, constraints, clean'

demo: .venv/installed
	@.venv/bin/dbopt demo $(ARGS)

test: .venv/installed
	@.venv/bin/python -m pytest $(workers) $(ARGS)

test-all: .venv/installed
	@.venv/bin/python tests/matrix.py $(ARGS)

chaos: .venv/installed
	@PYTHONPATH=tests .venv/bin/python -m tests.chaos --runs $(or $(RUNS),200) $(if $(SEED),--seed $(SEED)) $(ARGS)

lint: .venv/installed
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .

types: .venv/installed
	@.venv/bin/mypy

bench: .venv/installed
	@for script in bench/[a-z]*.py; do .venv/bin/python "$$script" $(ARGS) || exit; done

# Both sample applications at full size, which takes half an hour; writes docs/benchmarks.md.
bench-apps: .venv/installed
	@.venv/bin/python bench/apps.py --rows $(or $(ROWS),1000000) --pages docs $(ARGS)

# Written by programs, kept in git for those who read them there.
generated: .venv/installed
	@.venv/bin/python -m dbopt.spec.schema
	@.venv/bin/python -m dbopt.cli.reference docs
	@.venv/bin/python -m dbopt.spec.codes
	@.venv/bin/python -m dbopt.render.health_page docs
	@.venv/bin/python -m dbopt.render.findings_page docs
	@.venv/bin/python -m dbopt.render.health_schema docs
	@.venv/bin/python -m dbopt.render.workload_schema docs
	@.venv/bin/python -m dbopt.render.suggest_schema docs
	@.venv/bin/python -m dbopt.client.settings_page docs
	@.venv/bin/python -m dbopt.store.fresh

# A new resolution of everything, in an environment of its own.
constraints:
	@rm -rf .venv-constraints
	@$(PYTHON) -m venv .venv-constraints
	@.venv-constraints/bin/python -m pip -qq install --upgrade pip
	@.venv-constraints/bin/python -m pip -qq install --group build
	@.venv-constraints/bin/python -m pip -qq install --no-build-isolation --editable '.[embedded,redis,prometheus,opentelemetry]' --group dev
	@{ sed '/^[^#]/,$$d' constraints-dev.txt; \
	   .venv-constraints/bin/python -m pip freeze --all --exclude-editable --exclude setuptools; } > constraints-dev.new
	@mv constraints-dev.new constraints-dev.txt
	@rm -rf .venv-constraints

clean:
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build tests/servers/node_modules
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An editable install points to its checkout: in a copy or after a move it would run the code of the other place.
ifneq ($(shell cat .venv/checkout 2>/dev/null),$(shell pwd -P))
.PHONY: .venv/installed
endif

.venv/installed: pyproject.toml constraints-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo 'dbopt needs Python 3.11 or later: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	    { $(PYTHON) -c 'import sys; print("this Python cannot make a virtual environment; on Debian and Ubuntu: apt-get install python%d.%d-venv" % sys.version_info[:2])' >&2; exit 1; }
	@echo 'installing into .venv, which takes half a minute'
	@test "$$(cat .venv/checkout 2>/dev/null)" = "$$(pwd -P)" || rm -rf .venv
	@$(PYTHON) -m venv .venv
	@$(pip) install $(constraints) 'pip>=25.1'
	@$(pip) install $(constraints) --group build
	@$(pip) install $(constraints) --no-build-isolation --editable '.[embedded,redis,prometheus,opentelemetry]' --group dev
	@pwd -P > .venv/checkout
	@touch .venv/installed
