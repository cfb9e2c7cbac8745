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
packages=$(grep -cE '^[A-Za-z0-9][^ ]*==' "$lock")
echo "Installing $lock into $venv: $packages packages, about 3 GB, once. It takes one to three minutes." >&2

# Say how far pip has come, a line for every 25 packages: its own words would be a thousand lines.
count_packages() {
  awk -v all="$packages" '
    /^(Collecting|Processing) / { if (++seen % 25 == 0) { print "  " seen " of " all " packages fetched" } fflush() }
    /^Installing collected packages/ { print "  all fetched; unpacking and compiling takes as long again"; fflush() }
    /^(ERROR|WARNING)/ { print; fflush() }' >&2
}

# uv draws bars on a terminal; elsewhere the list of all packages is left out.
run_uv() {
  if [ -t 2 ]; then uv "$@"; else uv "$@" 2> >(grep -v '^ [+~-] ' >&2); fi
}

if command -v uv >/dev/null 2>&1; then
  [ -x "$venv/bin/python" ] || uv venv --quiet --python "$python" "$venv"
  run_uv pip install --python "$venv/bin/python" --compile-bytecode --require-hashes -r "$lock"
  install=(uv pip install --quiet --python "$venv/bin/python" --compile-bytecode)
else
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
  # The lock is complete, so nothing is resolved: pip would not take sqlalchemy's pin for
  # prefect's sqlalchemy[asyncio].
  "$venv/bin/python" -m pip install --progress-bar off --disable-pip-version-check --compile \
    --no-deps --require-hashes -r "$lock" | count_packages
  install=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)
fi
# An image installs the packages before the checkout is there.
[ ! -f pyproject.toml ] || "${install[@]}" --no-deps --no-build-isolation -e .
echo "Installed." >&2
