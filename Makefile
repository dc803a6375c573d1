# Hue and Cry. `make run` starts everything on this machine, `make test` proves it.

PYTHON ?= python3
RUN := .venv/bin/python -m
export PORT_BASE VAR ALLIANCE DEMO
# A run and a test start the same modules in many processes: compiled once, and not in each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run demo stop reset token lint audit test bench faults soak schemas accuracy venv
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  \033[1m%-8s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv:
	@$(PYTHON) deploy/local/bootstrap.py

run: venv ## start everything, in this terminal, and play a short morning (DEMO=0 ALLIANCE=… PORT_BASE=9000 VAR=folder)
	@exec $(RUN) deploy.local.up

demo: venv ## play the short morning again, on the run that is up
	@$(RUN) deploy.local.demo $(ALLIANCE)

stop: venv ## stop a run from another terminal
	@$(RUN) deploy.local.stop

reset: venv ## forget all that local runs have stored
	@$(RUN) deploy.local.reset

token: venv ## print a bearer token: make token ROLE=handler FORCE=bedfordshire (HOME_FORCE=… SUBJECT=… SITE=… ALLIANCE_QUEUE=1 HOURS=12)
	@$(RUN) deploy.local.token --role '$(ROLE)' --force '$(FORCE)' --home '$(HOME_FORCE)' --subject '$(SUBJECT)' \
	  --site '$(SITE)' --hours '$(or $(HOURS),12)' $(if $(ALLIANCE_QUEUE),--alliance)

lint: venv ## format, style, types, who may import whom, schemas' compatibility
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(RUN) libs.events.schemas check
	$(RUN) deploy.local.audit

audit: venv ## whether an advisory speaks of a locked package; says so where none can be asked
	$(RUN) deploy.local.audit

test: venv ## unit, conformance, integration and fault tests on the real PostgreSQL and the real Kafka
	$(RUN) pytest -n 2 --dist loadfile --no-loadscope-reorder tests/faults tests/integration tests/conformance tests/unit

faults: venv ## the fault tests, in full
	$(RUN) pytest tests/faults --long

soak: venv ## the other long tests: thousands of real places, ten thousand bodies; and that every benchmark runs to its end
	$(RUN) pytest tests/integration tests/conformance tests/unit -m long --long
	$(RUN) pytest tests/integration/bad_input/test_with_schemathesis.py tests/integration/bad_input/test_tokens.py --long
	@$(MAKE) --no-print-directory bench RUNS=1

schemas: venv ## write the JSON Schemas anew from the event types
	$(RUN) libs.events.schemas

bench: ## measure against the peers; writes build/bench.json (RUNS=5)
	@$(PYTHON) deploy/local/bootstrap.py --group bench
	$(RUN) tests.bench --runs $(or $(RUNS),5)

accuracy: ## how often the right force is named, by distance from a border; draws build/accuracy.png
	@$(PYTHON) deploy/local/bootstrap.py --group bench
	$(RUN) tests.bench.accuracy
