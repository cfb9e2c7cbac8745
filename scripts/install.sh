#!/usr/bin/env bash
# Install a hashed lock file, and the checkout that lies here, into a virtual environment, bytecode compiled.
# Usage: scripts/install.sh PYTHON VENV LOCK
set -euo pipefail
python=$1 venv=$2 lock=$3
unset PYTHONDONTWRITEBYTECODE

if ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))'; then
  echo "Python 3.11, 3.12 or 3.13 is needed. Received: $("$python" --version 2>&1). Name one: make run PYTHON=python3.11" >&2
  exit 2
fi
echo "Installing $lock into $venv (about 3 GB; once)" >&2
if command -v uv >/dev/null 2>&1; then
  [ -x "$venv/bin/python" ] || uv venv --quiet --python "$python" "$venv"
  uv pip install --quiet --python "$venv/bin/python" --compile-bytecode --require-hashes -r "$lock"
  install=(uv pip install --quiet --python "$venv/bin/python" --compile-bytecode)
else
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
  # The lock is complete, so nothing is resolved: pip would not take sqlalchemy's pin for
  # prefect's sqlalchemy[asyncio].
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --compile --no-deps \
    --require-hashes -r "$lock"
  install=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)
fi
# An image installs the packages before the checkout is there.
[ ! -f pyproject.toml ] || "${install[@]}" --no-deps --no-build-isolation -e .
