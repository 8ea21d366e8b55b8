# Set up, demo, tests. Everything runs in .venv, which the first target makes.
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3,$(shell command -v $(p))))
BIN := .venv/bin

.PHONY: demo demo-vision test check bench clean

demo: .venv/installed  ## Mine the sample reports into ./demo
	$(BIN)/lesionary mine examples/reports.jsonl --lesions examples/lesions.csv --out demo

# Reports and images of a phantom whose truth is known, mined, and a network trained on what was mined.
demo-vision: .venv/installed  ## From phantom reports and images to a scored network in ./demo-vision
	rm -rf demo-vision
	$(BIN)/lesionary lesions phantom --out demo-vision/phantom --lesions 400 --seed 7
	$(BIN)/lesionary mine --plain demo-vision/phantom/reports.jsonl --out demo-vision/mined \
		--lesions demo-vision/phantom/lesions.csv --splits demo-vision/phantom/splits.csv
	$(BIN)/lesionary lesions prepare demo-vision/mined --images demo-vision/phantom/Images_png \
		--out demo-vision/lesions
	$(BIN)/lesionary lesanet train demo-vision/lesions --out demo-vision/lesanet \
		--backbone resnet10 --epochs 20 --batch-size 16
	$(BIN)/lesionary lesanet evaluate demo-vision/lesanet demo-vision/lesions

test: check  ## All that CI runs
	$(BIN)/pytest --durations=10

check: .venv/installed  ## Lint, formatting, types, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed  ## Where the time goes
	$(BIN)/python benchmarks/mining.py
	$(BIN)/python benchmarks/lesanet.py

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
	rm -rf .venv demo demo-vision .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
