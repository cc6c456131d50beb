# Each target's help is the text after its `##`; the work is done in scripts/.

HOST = 127.0.0.1
PORT = 8000
DATA = headgate-data

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help setup run test soak lint replay bench bench-limiter bench-flood

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

setup: ## make .venv with all that the tests need, and install what is missing
	@scripts/setup all

run: ## serve the chat on http://127.0.0.1:8000 (HOST=, PORT=, DATA= to change that)
	@exec scripts/run --host '$(HOST)' --port '$(PORT)' --data '$(DATA)'

test: ## set everything up, check the sources and run every test
	@exec scripts/test

soak: ## try the HTTP API with ten times as many requests as the tests
	@scripts/setup all
	@exec env HEADGATE_SOAK=1 .venv/bin/pytest tests/chat/http/test_api_schema.py

lint: ## check the sources without running a test
	@scripts/setup all
	@exec scripts/lint

replay: ## play a real stream's traffic through a server and fail if anything is lost
	@scripts/setup all
	@exec .venv/bin/python -m benchmarks.replay

bench: ## measure messages saved per CPU-second, beside a plain Channels chat
	@scripts/setup all
	@exec .venv/bin/python -m benchmarks.save

bench-limiter: ## measure the limiter's decisions per second, beside two other packages
	@scripts/setup all
	@exec .venv/bin/python -m benchmarks.limiter

bench-flood: ## measure what somebody who floods costs the others, and the server
	@scripts/setup all
	@exec .venv/bin/python -m benchmarks.flood
