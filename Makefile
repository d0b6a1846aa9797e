# Every target does its own set-up; a second call finds it done. `make` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory
# Where it is set, as in many images, each of some hundred processes would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

# Run, not only looked up: a version manager's shims are on PATH for versions that are not there.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
MINUTES ?=
KEEP ?=
SEEDS ?= 10
JSON ?=
ARGS ?=

PACKAGES := $(VENV)/.stamps/packages
BROKER := $(VENV)/.stamps/kafka
REGISTRY := $(VENV)/.stamps/registry

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12
	@echo; echo 'MINUTES=2 (the short one) and KEEP=1 for demo, SEEDS=$(SEEDS) for handbook (20000 for simulate), JSON=path for bench, ARGS="-k name" for test'

.PHONY: setup
setup: $(BROKER) $(REGISTRY) ## virtual environment, packages, broker and registry jars

.PHONY: demo
demo: $(BROKER) ## the loop on this machine, unattended: drift, retraining, release, roll-back; KEEP=1 leaves it up
	$(BIN)/headrace demo $(if $(MINUTES),--minutes $(MINUTES)) $(if $(KEEP),--keep)

.PHONY: test
test: $(BROKER) $(REGISTRY) ## tests on a real Kafka, Redis and registry
	$(BIN)/pytest --numprocesses=4 -m 'not rehearsal and not kernels and not schedules and not faults' $(ARGS)

.PHONY: test-fast
test-fast: $(PACKAGES) ## the tests that need no broker and are quick
	$(BIN)/pytest --numprocesses=2 -m 'not parts and not slow and not rehearsal and not kernels and not schedules and not faults' $(ARGS)

.PHONY: faults
faults: $(BROKER) $(REGISTRY) ## tests that kill, freeze and cut off members, brokers and stores: nothing lost, nothing doubled
	$(BIN)/pytest --numprocesses=4 -m faults $(ARGS)

.PHONY: rehearse
rehearse: $(BROKER) ## the load tests in small: benchmark, parity and the Handbook's table run from end to end
	$(BIN)/pytest --numprocesses=2 -m rehearsal $(ARGS)

.PHONY: kernels
kernels: $(PACKAGES) ## tests that compile kernels anew: with bounds checks, and with changed sources
	$(BIN)/pytest --numprocesses=2 -m kernels $(ARGS)

.PHONY: lint
lint: $(PACKAGES) ## style, format, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: simulate
simulate: $(PACKAGES) ## schedules of kills, freezes and cuts on a broker in memory, and that they find seeded defects; SEEDS=1000000 for the long run
	$(if $(ARGS),,$(BIN)/pytest --numprocesses=2 -m schedules)
	$(BIN)/python -m tests.simulated --seeds $(if $(filter file,$(origin SEEDS)),20000,$(SEEDS)) $(ARGS)

.PHONY: features
features: $(PACKAGES) ## features of SEEDS random pipelines (2000), with kills, against DuckDB's SQL
	$(BIN)/python -m tests.features.sql_features --seeds $(if $(filter file,$(origin SEEDS)),2000,$(SEEDS)) $(ARGS)

.PHONY: parity
parity: $(BROKER) ## all real transactions of a quarter through Kafka against the published features
	$(BIN)/python -m loadtests.parity $(ARGS)

.PHONY: scaling
scaling: $(BROKER) ## members come, go and are killed in a backfill of real transactions: nothing lost, nothing doubled
	$(BIN)/python -m loadtests.scaling $(ARGS)

.PHONY: revising
revising: $(BROKER) ## a pipeline is revised at 5,000 events/s with each service killed once: the same features, a pause below 2 s
	$(BIN)/python -m loadtests.revising $(ARGS)

.PHONY: outages
outages: $(BROKER) ## how soon each service answers again after the broker, or the way to it, was away
	$(BIN)/python -m loadtests.outages $(ARGS)

.PHONY: loop-faults
loop-faults: $(BROKER) ## the loop of retraining and release, in peace and with services killed, jobs killed, the broker frozen: the same decisions
	$(BIN)/python -m loadtests.loop_faults $(ARGS)

.PHONY: handbook
handbook: $(BROKER) ## the Handbook's table of models, trained, played and judged online; writes docs/handbook.md
	$(BIN)/python -m loadtests.handbook --seeds $(SEEDS) --page docs/handbook.md $(ARGS)

.PHONY: loop
loop: $(BROKER) ## retraining and release over real fraud and electricity beside a champion left alone; writes docs/loop.*
	$(BIN)/python -m loadtests.loop --page docs/loop.md --plot docs/loop.png --json docs/loop.json $(ARGS)

.PHONY: estimates
estimates: $(PACKAGES) ## how far estimates without labels are off, on a census and on made-up shifts; writes docs/estimates.md
	$(BIN)/python -m loadtests.estimates --page docs/estimates.md $(ARGS)

.PHONY: drift
drift: $(PACKAGES) ## false alarms and delays of drift beside other detectors, SEEDS=50 runs each; writes docs/drift.md
	$(BIN)/python -m loadtests.drift --seeds $(if $(filter file,$(origin SEEDS)),50,$(SEEDS)) --page docs/drift.md $(ARGS)

.PHONY: evidence
evidence: $(PACKAGES) ## how often evidence on two models is wrong, and how soon it is there; writes docs/evidence.md, docs/rollouts.md
	$(BIN)/python -m loadtests.release --page docs/evidence.md --rollouts docs/rollouts.md $(ARGS)

.PHONY: bench
bench: $(BROKER) ## throughput, latency, memory, recovery, dark models, labels, drift; figures to JSON=path
	$(BIN)/python -m loadtests.bench $(if $(JSON),--json $(JSON)) $(ARGS)

# Hashed and without index lines: the same files install from any mirror. `--universal` covers every platform at once.
COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-header --no-annotate --no-emit-package headrace --quiet $(ARGS)
.PHONY: lock
lock: ## write requirements/*.txt anew from pyproject.toml (needs uv; ARGS=--upgrade for newer versions)
	@command -v uv > /dev/null || { echo 'lock needs uv: pip install uv'; exit 1; }
	$(COMPILE) --extra dev --output-file requirements/dev.txt
	$(COMPILE) --extra cpu --extra notify --constraint requirements/dev.txt --output-file requirements/run.txt
	$(COMPILE) --extra gpu --extra notify --constraint requirements/dev.txt --output-file requirements/run-gpu.txt
	$(COMPILE) --extra cpu --extra train --extra retrain --extra notify --constraint requirements/dev.txt --output-file requirements/run-train.txt

.PHONY: clean
clean: ## stop the parts of this directory and remove all that was made here; the shared download cache stays
	@if test -x $(BIN)/python; then $(BIN)/python -m headrace.devparts down $${HEADRACE_HOME:-.headrace}; fi
	rm -rf $(VENV) .headrace build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

.PHONY: requirements-of-machine
requirements-of-machine:
	@missing=''; \
	command -v java > /dev/null || missing+=' openjdk-17-jre-headless'; \
	command -v mvn > /dev/null || missing+=' maven'; \
	if test -n "$$missing"; then \
		echo "headrace runs a real Kafka, which needs a JDK (17 or later) and Maven. Missing here:$$missing"; \
		echo "  Debian, Ubuntu: sudo apt-get install$$missing"; \
		echo "  or with Docker: docker compose -f compose/compose.yaml up"; \
		exit 1; \
	fi
	@test -n '$(PYTHON)' && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'headrace needs Python 3.11 or later: make PYTHON=/path/to/python3.11 ...'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null \
		|| { echo "$(PYTHON) lacks venv (Debian, Ubuntu: sudo apt-get install python3-venv)"; exit 1; }

$(PACKAGES): requirements/dev.txt pyproject.toml
	@$(MAKE) requirements-of-machine
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python requirements/quietly.py "installing packages into $(VENV)" Collecting "$$(grep -c == requirements/dev.txt)" \
		$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python requirements/quietly.py "installing headrace" Building 2 \
		$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@mkdir -p $(@D) && touch $@

$(BROKER): headrace/devparts/poms/kafka.xml $(PACKAGES)
	@$(BIN)/python -m headrace.devparts fetch kafka
	@touch $@

$(REGISTRY): headrace/devparts/poms/registry.xml $(PACKAGES)
	@$(BIN)/python -m headrace.devparts fetch registry
	@touch $@
