# Two commands on a fresh machine: `make demo` and `make test`. Everything lands in .venv and demo/.
PYTHON ?= python3
BIN := .venv/bin
EXTRAS := ocr,models,local,train,eval,world,mteb,serve,mcp,watch,langchain,llamaindex,haystack,rerankers

.PHONY: demo test check lock clean

# A real corpus, an index, searches that look, and a page to open: demo/index.html
demo: .venv/demo.stamp
	$(BIN)/python examples/demo.py -o demo

test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

check: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# constraints.txt is the lock: every version that a run installs. pip has no lock file of its own that
# works for three sets of extras.
.venv/demo.stamp: pyproject.toml constraints.txt | .venv/pip.stamp
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[ocr]' --group demo
	touch $@

.venv/dev.stamp: pyproject.toml constraints.txt | .venv/pip.stamp
	$(BIN)/python -m pip install -q -c constraints.txt torch  # first: on its own it is the CPU build where one is offered
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[$(EXTRAS)]' --group dev
	touch $@

.venv/pip.stamp:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt pip
	touch $@

# Renew constraints.txt from what an unconstrained install of everything gives today.
lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock && build/lock/bin/python -m pip install -q -U pip
	build/lock/bin/python -m pip install -q torch==2.13.0
	build/lock/bin/python -m pip install -q '.[$(EXTRAS)]' --group dev --group demo
	build/lock/bin/python -m pip freeze --all --exclude vretrver | sed 's/+cpu$$//' | grep -v '@ file' > constraints.txt
	rm -rf build/lock

clean:
	rm -rf .venv demo
