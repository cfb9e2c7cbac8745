import subprocess
import sys

from sentiflow.processes import ProcessName, is_gone, name_this_process


def name_child(code: str) -> ProcessName:
    """The name a child gives itself."""
    script = f"from sentiflow.processes import *; n = name_this_process(); {code}"
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    return ProcessName(answer[0], int(answer[1]), int(answer[2]))


def test_a_living_process_is_not_gone_and_an_ended_one_is() -> None:
    child = name_child("print(n.machine, n.pid, n.started)")
    assert child.machine == name_this_process().machine
    assert is_gone(child)
    assert not is_gone(name_this_process())


def test_an_id_that_was_used_again_is_not_the_old_process() -> None:
    own = name_this_process()
    assert is_gone(ProcessName(own.machine, own.pid, own.started - 60))


def test_nothing_is_certain_about_a_process_of_another_machine() -> None:
    assert not is_gone(ProcessName("0" * 12, 2**22 + 1, 0))


def test_a_zombie_has_ended() -> None:
    import psutil

    child = subprocess.Popen([sys.executable, "-c", "pass"])
    started = int(psutil.Process(child.pid).create_time())
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    assert is_gone(ProcessName(name_this_process().machine, child.pid, started))
    child.wait()
