"""A process that starts warm is one as any other, to whoever started it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from pathlib import Path

import pytest
from warm_client import starts_warm

from sentiflow.processes import make_module_command

TELL = """
import os, sys, resource, sentiflow
print(sys.argv, os.getcwd(), os.environ["OWN"], sys.stdin.read(), "tensorflow" in sys.modules,
      "prefect" in sys.modules, resource.getrlimit(resource.RLIMIT_FSIZE)[0])
print("said", file=sys.stderr)
sys.exit(7)
"""
WAIT = "import os, time, sentiflow; print(os.getpid(), flush=True); time.sleep(60)"


@pytest.mark.parametrize("module", ["sentiflow.model.training_process", "sentiflow.gate.checks"])
def test_what_sentiflow_starts_itself_starts_warm(module: str) -> None:
    assert starts_warm(make_module_command(module, "job.json")[1:])
    assert not starts_warm(make_module_command("sentiflow.servers.guard")[1:])


@pytest.mark.slow
def test_in_a_safe_path_the_folder_of_who_asks_is_not_looked_in(
    warm_python: str, tmp_path: Path
) -> None:
    (tmp_path / "odd.py").touch()
    code = "import sys, sentiflow; print('tensorflow' in sys.modules); import odd"
    for options, is_found in (((), True), (("-P",), False)):
        ended = subprocess.run(
            [warm_python, *options, "-c", code], capture_output=True, text=True, cwd=tmp_path,
            check=False,
        )  # fmt: skip
        assert ended.stdout == "True\n"
        assert (ended.returncode == 0) is is_found


@pytest.mark.slow
def test_arguments_folder_environment_streams_limits_and_exit_code_are_its_own(
    warm_python: str, tmp_path: Path
) -> None:
    ended = subprocess.run(
        [warm_python, "-c", TELL, "a", "caf\udce9"], input="in", capture_output=True, text=True,
        cwd=tmp_path, env={"OWN": "own", "PYTHONIOENCODING": "utf-8:backslashreplace"}, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000)),
    )  # fmt: skip
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.stdout == f"['-c', 'a', 'caf\\udce9'] {tmp_path} own in True False 9000\n"
    assert (ended.stderr, ended.returncode) == ("said\n", 7)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("hits", ["what was started", "the process itself"])
def test_a_signal_ends_both_the_process_and_what_stands_for_it(
    warm_python: str, number: signal.Signals, hits: str
) -> None:
    process = subprocess.Popen([warm_python, "-c", WAIT], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    own = int(process.stdout.readline())
    os.kill(process.pid if hits == "what was started" else own, number)
    assert process.wait(30) == -number
    # Its end of the pipe closes with it.
    assert process.stdout.read() == ""
    process.stdout.close()
