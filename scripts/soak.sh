#!/usr/bin/env bash
# Mutate the code that rules on a release, run its tests on every mutant, count, and fail below 95 %.
# Usage: scripts/soak.sh VENV [JOBS]; [tool.mutmut] in pyproject.toml says which code and tests.
set -euo pipefail
bin=$1/bin jobs=${2:-1}
unset PYTHONDONTWRITEBYTECODE
# The arrays are small, and threads do not survive the fork that every mutant is.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

# An earlier run's verdict would stand for every function that did not change, whatever the tests.
rm -rf mutants
nice -n 15 "$bin/mutmut" run --max-children "$jobs"
"$bin/mutmut" results --all true | awk -F ': ' -v needed=95 '
  { split($1, name, "."); module = name[3]; count[module, $2]++; sum[$2]++; mutants++
    if (!total[module]++) modules[++seen] = module }
  # Only a failed test kills: a mutant that ran into the time limit is counted with the others.
  function show(module, killed, survived, timeout, untested, all) {
    printf "%-14s %7d %9d %8d %9d %6d %6d %7.1f%%\n", module, killed, survived, timeout, untested,
      all - killed - survived - timeout - untested, all, 100 * killed / all
  }
  END {
    if (!mutants) { print "No mutant was made. Look at mutmut run above." > "/dev/stderr"; exit 1 }
    printf "%-14s %7s %9s %8s %9s %6s %6s %8s\n", "module", "killed", "survived", "timeout",
      "no tests", "other", "all", "share"
    for (i = 1; i <= seen; i++) {
      module = modules[i]
      show(module, count[module, "killed"], count[module, "survived"], count[module, "timeout"],
        count[module, "no tests"], total[module])
    }
    show("all", sum["killed"], sum["survived"], sum["timeout"], sum["no tests"], mutants)
    share = 100 * sum["killed"] / mutants
    printf "Killed: %.1f %% of %d mutants; at least %d %% are required.\n", share, mutants, needed
    if (share < needed) {
      print "List the survivors with mutmut results, look at one with mutmut show NAME." > "/dev/stderr"
      exit 1
    }
  }'
