import subprocess
import sys
import time

import pytest

from sentiflow.cost import StepClock, measure_peak_memory_mb


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


def test_peak_memory_is_of_this_process_or_a_child_that_ended() -> None:
    before = measure_peak_memory_mb()
    assert before > 10
    megabytes = int(before) + 300
    script = f"block = bytearray({megabytes} * 2**20); block[::4096] = bytes(len(block[::4096]))"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert measure_peak_memory_mb() >= megabytes
