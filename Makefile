# Each target's help is the text after its `##`; the work is done in scripts/.

HOST = 127.0.0.1
PORT = 8000
DATA = headgate-data
WATCHERS = 200
ARGS =

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help setup run test soak lint screenshots replay bench bench-limiter bench-flood
.PHONY: bench-delivery bench-fanout bench-idle bench-connect bench-stalled bench-storm
.PHONY: bench-outbound

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

setup: ## make .venv with all that the tests need, and install what is missing
	@scripts/setup all

run: ## serve the chat on http://127.0.0.1:8000 (HOST=, PORT=, DATA= to change that)
	@exec scripts/run --host '$(HOST)' --port '$(PORT)' --data '$(DATA)'

test: ## set everything up, check the sources and run every test
	@exec scripts/test

soak: ## try the HTTP API and delivery ten times as long, and drain 1,000 clients
	@scripts/setup all
	@env HEADGATE_SOAK=1 .venv/bin/pytest tests/chat/http/test_api_schema.py tests/live/test_delivery.py
	@exec env HEADGATE_SOAK=1 HEADGATE_CROWD=1000 .venv/bin/pytest --timeout 900 tests/e2e/test_drain.py -k load

lint: ## check the sources without running a test
	@scripts/setup all
	@exec scripts/lint

screenshots: ## take the pictures of the page that the documentation shows
	@scripts/setup all
	@exec scripts/screenshots

replay: ## play a real stream's traffic through a server and fail if anything is lost (WATCHERS=)
	@scripts/setup all
	@exec .venv/bin/python -m benchmarks.replay --watchers '$(WATCHERS)'

bench: ## measure messages saved per CPU-second, beside a plain Channels chat
	@scripts/setup all
	@exec .venv/bin/python -m benchmarks.save

bench-limiter: ## measure the limiter's decisions per second, beside two other packages
	@scripts/setup all
	@exec .venv/bin/python -m benchmarks.limiter

bench-flood: ## measure what somebody who floods costs the others, and the server
	@scripts/setup all
	@exec .venv/bin/python -m benchmarks.flood

bench-delivery: ## measure delivery beside its peers, half an hour in all (ARGS=--quick to try it)
	@exec scripts/bench delivery $(ARGS)

bench-fanout: ## measure messages to 1,000 watchers, per CPU-second and how late (ARGS=)
	@exec scripts/bench fanout $(ARGS)

bench-idle: ## measure memory and CPU of 5,000 idle connections (ARGS=)
	@exec scripts/bench idle $(ARGS)

bench-connect: ## measure connections let in per CPU-second (ARGS=)
	@exec scripts/bench connect $(ARGS)

bench-stalled: ## measure what watchers who never read cost the others (ARGS=)
	@exec scripts/bench stalled $(ARGS)

bench-storm: ## measure 5,000 who come back at once after a restart (ARGS=)
	@exec scripts/bench storm $(ARGS)

bench-outbound: ## measure calls of a service, beside procrastinate and Celery (ARGS=)
	@exec scripts/bench outbound $(ARGS)
