# make demo     set everything up in .venv and turn a recording into minutes
# make test     set everything up in .venv and run the tests: side by side those without a model, then
#               the others one by one (two models at a time would take the cores from each other);
#               what is compiled before need not be by each of the programs that tests start
# make check    lint, formatting and types
# make models   fetch the models that demo and tests use
# make sandbox  install what the sandbox needs (as root, on Debian and its like)
# make database install PostgreSQL, which some tests start; without it they are left out

PYTHON ?= python3
BIN := .venv/bin
CHAT_MODEL := qwen2.5-coder-1.5b
TEST_MODELS := $(CHAT_MODEL) qwen2.5-coder-0.5b smollm2-135m all-minilm-l6-v2 whisper-base \
	whisper-tiny.en
SANDBOX := bubblewrap libseccomp2

# llama.cpp crashes on Intel AMX: docs/decisions/0001-no-amx.md. Your own CMAKE_ARGS replace ours.
export CMAKE_ARGS ?= -DCMAKE_C_FLAGS=-U__AMX_INT8__ -DCMAKE_CXX_FLAGS=-U__AMX_INT8__

.PHONY: demo test check format models sandbox database clean

demo: .venv/installed
	$(BIN)/agentkit models pull $(CHAT_MODEL) whisper-base
	$(BIN)/agentkit run meeting-notes -i audio=examples/meeting.flac -o minutes
	@echo && cat minutes/minutes.md

test: .venv/installed-dev sandbox database
	$(BIN)/agentkit models pull $(TEST_MODELS)
	$(BIN)/python -m compileall -q agentkit tests
	$(BIN)/python -m pytest -m "not model" -n auto --dist loadfile
	$(BIN)/python -m pytest -m model

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

models: .venv/installed
	$(BIN)/agentkit models pull $(TEST_MODELS)

# Code that models write runs in bubblewrap, behind a filter of libseccomp: packages of the system.
sandbox:
	@command -v bwrap > /dev/null && ldconfig -p | grep -q libseccomp.so.2 \
	|| { test "$$(id -u)" = 0 && command -v apt-get > /dev/null \
	     && apt-get update -qq && apt-get install -y -qq $(SANDBOX); } \
	|| { echo "The sandbox is missing: sudo apt-get install $(SANDBOX)"; false; }

# A journal may lie on PostgreSQL: the tests start a server of their own, from the package of the system.
database:
	@ls /usr/lib/postgresql/*/bin/pg_ctl > /dev/null 2>&1 \
	|| { test "$$(id -u)" = 0 && command -v apt-get > /dev/null \
	     && apt-get update -qq && apt-get install -y -qq postgresql > /dev/null; } \
	|| echo "No PostgreSQL here: its tests are left out (sudo apt-get install postgresql)"

clean:
	rm -rf .venv minutes

.venv/installed: pyproject.toml constraints.txt
	@echo "Setting up .venv. The first time takes five to ten minutes: llama.cpp is compiled for this machine."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/pip install --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@
