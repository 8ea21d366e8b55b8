# Set up, demo, tests. Everything runs in .venv, which the first target makes.
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3,$(shell command -v $(p))))
BIN := .venv/bin

.PHONY: demo test check bench clean

demo: .venv/installed  ## Mine the sample reports into ./demo
	$(BIN)/lesionary mine examples/reports.jsonl --lesions examples/lesions.csv --out demo

test: check  ## All that CI runs
	$(BIN)/pytest --durations=10

check: .venv/installed  ## Lint, formatting, types, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed  ## Where the time goes
	$(BIN)/python benchmarks/mining.py

# The stamp is newer than what it was made from, so a changed dependency installs again.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))" || \
		{ echo "Python 3.11 or 3.12 is needed, and $(PYTHON) is another: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing; PyTorch alone is some gigabytes ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/lesionary setup || echo "Going on without WordNet."
	touch $@

clean:  ## Remove what was made, the environment included
	rm -rf .venv demo .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
