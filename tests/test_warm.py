"""A process that starts warm is one as any other, to whoever started it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TELL = """
import os, sys, resource, sentiflow
print(sys.argv, os.getcwd(), os.environ["OWN"], sys.stdin.read(), "tensorflow" in sys.modules,
      "prefect" in sys.modules, resource.getrlimit(resource.RLIMIT_FSIZE)[0])
print("said", file=sys.stderr)
sys.exit(7)
"""
WAIT = "import os, time, sentiflow; print(os.getpid(), flush=True); time.sleep(60)"


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
