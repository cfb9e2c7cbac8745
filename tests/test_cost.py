import subprocess
import sys
import time
from pathlib import Path

import pytest

from sentiflow.cost import Spent, StepClock, measure_peak_memory_mb, measure_spent

ONLY_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts bytes")


def test_the_clock_adds_up_a_steps_blocks_and_knows_the_total() -> None:
    clock = StepClock()
    for _ in range(2):
        with clock.measure("train"):
            time.sleep(0.02)
    seconds = clock.read()
    assert seconds["train"] >= 0.04
    assert seconds["total"] >= seconds["train"]
    assert list(seconds) == ["train", "total"]


def test_a_block_that_fails_is_timed_too() -> None:
    clock = StepClock()

    def fail() -> None:
        with clock.measure("train"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert "train" in clock.read()


def test_what_a_step_spends_is_the_difference_and_blocks_of_one_step_add_up() -> None:
    moments = iter(
        [
            Spent(100.0, 7.0, 1_000),  # the clock starts
            Spent(101.0, 8.0, 1_000), Spent(104.0, 14.0, 5_096),  # ingest
            Spent(110.0, 15.0, 5_096), Spent(111.0, 15.5, 9_192),  # train
            Spent(120.0, 16.0, 9_192), Spent(120.5, 17.0, 9_192),  # train again
            Spent(130.0, 20.0, 13_288), Spent(130.0, 20.0, 13_288), Spent(130.0, 20.0, 13_288),
        ]
    )  # fmt: skip
    clock = StepClock(lambda: next(moments))
    for step in ("ingest", "train", "train"):
        with clock.measure(step):
            pass
    assert clock.read() == {"ingest": 3.0, "train": 1.5, "total": 30.0}
    assert clock.read_cpu() == {"ingest": 6.0, "train": 1.5, "total": 13.0}
    assert clock.read_bytes_written() == 12_288


def test_cpu_is_of_this_process_and_of_a_child_once_it_ended() -> None:
    burn = "import time\nwhile time.process_time() < 0.4: pass"
    clock = StepClock()
    with clock.measure("train"):
        child = subprocess.Popen([sys.executable, "-c", burn])
        time.sleep(0.3)
    with clock.measure("wait"):
        child.wait()
    with clock.measure("own"):
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
    cpu = clock.read_cpu()
    assert cpu["train"] < 0.2
    assert cpu["wait"] >= 0.4
    assert 0.2 <= cpu["own"] < 0.4
    assert cpu["total"] >= 0.6


@ONLY_LINUX
def test_bytes_are_those_of_files_that_this_process_and_its_ended_children_wrote(
    tmp_path: Path,
) -> None:
    clock = StepClock()
    (tmp_path / "own").write_bytes(b"x" * 3_000_000)
    assert 3_000_000 <= clock.read_bytes_written() < 4_000_000
    script = "import sys; open(sys.argv[1], 'wb').write(b'x' * 5_000_000)"
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "child")], check=True)
    assert 8_000_000 <= clock.read_bytes_written() < 9_500_000
    # Read, not written.
    before = measure_spent().bytes_written
    assert len((tmp_path / "own").read_bytes()) == 3_000_000
    assert measure_spent().bytes_written - before < 100_000


def test_peak_memory_is_of_this_process_or_a_child_that_ended() -> None:
    # In a process of its own: one that has loaded TensorFlow needs a child of gigabytes.
    script = """
import subprocess, sys
from sentiflow.cost import measure_peak_memory_mb
before = measure_peak_memory_mb()
block = f"bytearray(b'x') * ({int(before) + 100} * 2**20)"
subprocess.run([sys.executable, "-c", block], check=True)
print(before, measure_peak_memory_mb())
"""
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    before, after = map(float, answer.stdout.split())
    assert before > 10
    assert before + 100 <= after < before + 300
    assert measure_peak_memory_mb() > 10
