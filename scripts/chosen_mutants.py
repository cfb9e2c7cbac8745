"""Try each mutant of chosen_mutants.toml on a copy of the checkout, and say which tests noticed.

    python scripts/chosen_mutants.py            all of them
    python scripts/chosen_mutants.py --fast     those that tests noticed which are not slow
    python scripts/chosen_mutants.py -k lease   those whose name or file contains a word

The checkout itself is never touched. A mutant counts as killed when a test fails on it that
passes without it; the run ends with exit code 1 when one survived or could not be tried.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_suffix(".toml")
# pytest's exit codes. Whatever is neither means that the tests did not come to run.
_PASSED, _FAILED = 0, 1
LIBRARIES = (
    "tensorflow", "keras", "pandas", "mlflow.pyfunc", "prefect", "great_expectations", "fastapi",
    "hypothesis", "pyarrow.parquet", "scipy.stats", "sklearn.linear_model",
)  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One edit, and the tests that must fail on it.

    Attributes:
        name: what is wrong on the mutant, in a few words.
        file: the file, from the top of the checkout.
        old: what stands in the file exactly once.
        new: what stands there on the mutant.
        tests: a file of tests, or one test in it.
        why: what the mistake would cost a user.
        slow: whether only a slow test notices.
    """

    name: str
    file: str
    old: str
    new: str
    tests: str
    why: str
    slow: bool = False


def read_mutants(path: Path) -> list[Mutant]:
    """Return the mutants of a list."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    return [Mutant(**entry) for entry in entries]


def change(source: str, mutant: Mutant) -> str:
    """Return the source with the mutant's edit.

    Raises:
        ValueError: `old` does not stand there exactly once, or nothing valid comes of it.
    """
    found = source.count(mutant.old)
    if found != 1:
        raise ValueError(
            f"{mutant.name!r}: `old` must stand exactly once in {mutant.file}. Received: {found} "
            "times. Change the list together with the code."
        )
    changed = source.replace(mutant.old, mutant.new)
    try:
        before, after = ast.dump(ast.parse(source)), ast.dump(ast.parse(changed))
    except SyntaxError as error:
        raise ValueError(f"{mutant.name!r}: `new` must be Python. Received: {error}.") from error
    if before == after:
        raise ValueError(f"{mutant.name!r}: `new` must mean something else than `old`.")
    return changed


def copy_checkout(target: Path) -> None:
    """Copy what Git tracks, and what is new and not ignored, as it is on disk now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT, capture_output=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.decode().split("\0"):
        path = CHECKOUT / name
        if name and path.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target / name)


def load_libraries() -> None:
    """Import what the tests would, once: it costs each process of theirs ten seconds otherwise."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "GX_ANALYTICS_ENABLED": "false"}
    for name in LIBRARIES:
        importlib.import_module(name)


def run_tests(copy: Path, tests: Collection[str], slow: bool) -> int:
    """Return pytest's exit code on the copy, from a process forked off this one."""
    log = copy.with_name("pytest.log")
    pid = os.fork()
    if pid == 0:
        # Only pytest's own code is run here: whatever happens, this process goes no further.
        try:
            become_pytest(copy, log, ["-m", "slow" if slow else "not slow", *tests])
        finally:
            os._exit(99)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code not in (_PASSED, _FAILED):
        print(log.read_text(encoding="utf-8", errors="replace")[-3_000:], file=sys.stderr)
    return code


def become_pytest(copy: Path, log: Path, arguments: Sequence[str]) -> None:
    """Run tests of the copy on the copy's own modules, and end this process."""
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    os.chdir(copy)
    own = [str(copy / "src"), str(copy)]
    os.environ["PYTHONPATH"] = os.pathsep.join(own)
    sys.path[:0] = own
    import pytest

    import flows
    import sentiflow

    for module in (sentiflow, flows):
        if not Path(module.__file__ or "").is_relative_to(copy):
            print(f"The copy must run its own code. Received: {module.__file__}.", flush=True)
            os._exit(98)
    code = pytest.main(["-x", "--no-header", "--hypothesis-profile=ci", *arguments])
    sys.stdout.flush()
    os._exit(int(code))


def check_tests(copy: Path, mutants: Sequence[Mutant]) -> None:
    """Make sure that the tests pass without a mutant: else their failing would mean nothing.

    Raises:
        ValueError: one fails.
    """
    for slow in (False, True):
        tests = {mutant.tests: None for mutant in mutants if mutant.slow == slow}
        if tests and run_tests(copy, tests, slow) != _PASSED:
            raise ValueError(f"The tests must pass without a mutant. Received: {' '.join(tests)}.")


def write_source(path: Path, source: str) -> None:
    """Write a module, and remove its bytecode: Python tells old from new by size and second."""
    path.write_text(source, encoding="utf-8")
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


def try_mutant(copy: Path, mutant: Mutant) -> str:
    """Return what became of a mutant: killed, SURVIVED, or why it could not be told."""
    path = copy / mutant.file
    source = path.read_text(encoding="utf-8")
    try:
        write_source(path, change(source, mutant))
        code = run_tests(copy, [mutant.tests], mutant.slow)
    finally:
        write_source(path, source)
    if code == _FAILED:
        return "killed"
    return "SURVIVED" if code == _PASSED else f"NOT TRIED: pytest ended with {code}"


def main() -> int:
    """Try the mutants and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="leave out what only slow tests notice")
    parser.add_argument("-k", metavar="WORD", default="", help="only those that contain a word")
    chosen = parser.parse_args()
    mutants = [
        mutant
        for mutant in read_mutants(LIST)
        if chosen.k in f"{mutant.name} {mutant.file}" and not (chosen.fast and mutant.slow)
    ]
    for mutant in mutants:
        # All of them first: a list that does not fit the code is told before an hour is spent.
        change((CHECKOUT / mutant.file).read_text(encoding="utf-8"), mutant)
    outcomes = []
    print("| mutant | file | tests | outcome | seconds |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="sentiflow-mutants-") as folder:
        # Named as a checkout is, and apart: tests look for what lies beside it.
        copy = Path(folder) / "checkout"
        copy_checkout(copy)
        load_libraries()
        check_tests(copy, mutants)
        for mutant in mutants:
            started = time.monotonic()
            outcome = try_mutant(copy, mutant)
            outcomes.append(outcome)
            seconds = time.monotonic() - started
            test = mutant.tests.partition("::")[0].removeprefix("tests/")
            test += " (slow)" if mutant.slow else ""
            file = mutant.file.removeprefix("src/sentiflow/")
            row = f"| {mutant.name} | `{file}` | `{test}` | {outcome} | {seconds:.0f} |"
            print(row, flush=True)
    print(f"\n{outcomes.count('killed')} of {len(outcomes)} killed")
    return 0 if outcomes and set(outcomes) == {"killed"} else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ValueError as error:
        sys.exit(f"Error: {error}")
