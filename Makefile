# The whole developer manual. `make help` lists it.
#
# Needs Python 3.11 or newer (make PYTHON=python3.13 picks one), make, and a package index that pip can reach.

PYTHON ?= python3
BASE ?= main
SECONDS ?= 600
START ?= 0
VENV := .venv
RUN := $(VENV)/bin/python

# An environment knows its own path by heart: one that was copied or moved with its tree is made anew. Hence the path in
# the names of these marks.
here := $(subst /,-,$(subst $() ,-,$(CURDIR)))
APP := $(VENV)/app$(here)
DEV := $(VENV)/dev$(here)

# Tests that only compute.
SIMULATED := tests/property tests/sim tests/testing

# As `python -m pytest`. A shell makes what it runs beside itself deaf to Ctrl-C, and that is tested there.
PYTEST := import signal, sys, pytest; signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(pytest.main(sys.argv[1:]))

# Rooms of floors 0 and 1: no branch of theirs goes untested.
PURE := src/hubkit/errors.py,src/hubkit/events.py,src/hubkit/messages.py,src/hubkit/names.py,src/hubkit/pids.py,src/hubkit/specs.py,src/hubkit/cluster/*,src/hubkit/strategies/*,src/hubkit/supervision/restarts.py

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types cover bench soak fuzz news build clean
.NOTPARALLEL:

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(APP)  ## three processes, sixty children, one SIGKILL: see what happens
	@$(VENV)/bin/hubkit demo

# In two processes: what is simulated only computes, in its own time, and so disturbs none of those that wait for sockets.
test: $(DEV)  ## every test there is
	@mkdir -p .hubkit; echo "$(SIMULATED): beside the others, shown at the end"; \
	$(RUN) -c '$(PYTEST)' -q $(SIMULATED) > .hubkit/simulated.log 2>&1 & simulated=$$!; \
	trap 'kill $$simulated; exit 130' INT TERM; \
	code=0; $(RUN) -m pytest -q $(SIMULATED:%=--ignore=%) || code=$$?; \
	wait $$simulated || code=$$?; echo "== $(SIMULATED)"; cat .hubkit/simulated.log; exit $$code

check: lint types cover news  ## everything that CI asks for, and more
	@echo "all checks passed"

lint: $(DEV)  ## style, spelling, and the floors of the house
	@echo "== ruff" && $(RUN) -m ruff check --quiet . && $(RUN) -m ruff format --quiet --check .
	@echo "== codespell" && $(RUN) -m codespell_lib
	@echo "== import-linter" && $(VENV)/bin/lint-imports --no-cache

types: $(DEV)  ## mypy, and pyright on the public face
	@echo "== mypy" && $(RUN) -m mypy
	@echo "== pyright" && PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(RUN) -m pyright --verifytypes hubkit --ignoreexternal

cover: $(DEV)  ## the tests, with coverage: 100 % of floors 0 and 1, 90 % of the rest
	@echo "== pytest" && $(RUN) -m pytest -q --cov --cov-report=
	@echo "== coverage, floors 0 and 1" && $(RUN) -m coverage report --include='$(PURE)' --fail-under=100
	@echo "== coverage, the rest" && $(RUN) -m coverage report --omit='$(PURE)' --fail-under=90

bench: $(DEV)  ## how fast it is on this machine
	@for bench in benchmarks/[a-z]*.py; do echo "== $$bench"; $(RUN) "$$bench" || exit 1; done

soak: $(DEV)  ## disasters for SECONDS=600 over all cores, from seed START: the first failing seed, and seeds per second
	@$(RUN) -m tests.sim.soak --seconds $(SECONDS) --start $(START)

fuzz: $(DEV)  ## every door against hostile bytes for SECONDS=600 over all cores: the inputs that broke one, and how to replay them
	@$(RUN) -c 'import atheris' 2> /dev/null || $(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[dev,fuzz]'
	@$(RUN) -m tests.fuzz.run --seconds $(SECONDS)

news: $(DEV)  ## does every visible change have its newsfragment?
	@echo "== towncrier" && $(RUN) -m towncrier check --compare-with $(BASE)
	@draft=$$($(RUN) -m towncrier build --draft 2>&1) || { echo "$$draft"; exit 1; }

build: $(DEV)  ## the wheel and the source archive, in dist/
	@$(RUN) -m build --quiet && ls dist

clean:  ## remove the environment and everything made here
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment: made on first use, made anew when pyproject.toml changes -----------------------------------------

$(APP): pyproject.toml
	@$(call environment,.)
	@touch "$@"

$(DEV): pyproject.toml
	@$(call environment,.[dev])
	@touch "$@" "$(APP)"

define environment
$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "hubkit needs Python 3.11 or newer, not %d.%d: say make PYTHON=python3.11" % v[:2])'
	@if ! { [ -e "$(APP)" ] && $(RUN) -c ''; } 2> /dev/null; then \
	    echo "making $(VENV) with $$($(PYTHON) --version)" && $(PYTHON) -m venv --clear $(VENV); \
	fi
	@echo "installing hubkit into $(VENV)" && $(RUN) -m pip install --quiet --disable-pip-version-check --editable '$(1)'
endef
