# Each target does all its own set-up in a fresh clone. Nothing here that pip and `python -m` cannot do too;
# on Windows, type the commands with .venv\Scripts\python in place of $(PY).

PYTHON ?= python3
PY = .venv/bin/python
PIP = $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test check clean

demo: .venv/core
	$(PY) -m crackscope demo --overwrite

test: .venv/dev
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest -n 2 --dist worksteal -m "not slow"
	$(PY) -m pytest -n 2 --dist loadfile -m slow

.venv/made:
	$(PYTHON) -m venv .venv
	touch $@

.venv/core: .venv/made pyproject.toml constraints.txt
	$(PIP) -e .
	touch $@

# torch first and by its exact version, so that no dependency brings another build.
.venv/dev: .venv/made pyproject.toml constraints.txt
	$(PIP) torch==2.13.0
	$(PIP) -e '.[train,parquet,dev]'
	touch $@

clean:
	rm -rf .venv crackscope-demo
