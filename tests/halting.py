"""The retrain flow as it is, but for one place where it halts: there a test ends it.

HALT_STEP names the place and HALT_FILE the file that says that it is reached; the night goes on
when a file of that name with the ending .go is there. With HALT_FULL the home's disk is filled
there instead. Without HALT_STEP nothing halts.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from small_disk import fill_disk

from flows.retrain import retrain
from sentiflow.night import closing
from sentiflow.night.stages import data as data_stage
from sentiflow.night.stages import model as model_stage
from sentiflow.night.stages import release as release_stage
from sentiflow.tracking import Run

# Where a night is ended: the worst moment of each step, its work done and nothing said of it.
STEPS: dict[str, tuple[Any, str]] = {
    "ingest": (data_stage, "ingest"),
    "validate": (data_stage, "validate"),
    "split": (data_stage, "split"),
    "tokenize": (model_stage, "tokenize"),
    "train": (Run, "log_metrics"),
    "evaluate": (model_stage, "evaluate"),
    "register": (release_stage, "_tell_registration"),
    "decide": (release_stage, "_follow"),
    "close": (closing, "_log_record"),
}
_BEFORE = ("train", "register", "decide", "close")


def halt() -> None:
    if "HALT_FULL" in os.environ:
        fill_disk(Path(os.environ["SENTIFLOW_HOME"]))
        return
    path = Path(os.environ["HALT_FILE"])
    path.with_suffix(".new").write_text(str(os.getpid()))
    path.with_suffix(".new").rename(path)
    # In short sleeps, so that a signal's handler gets its turn.
    ends = time.monotonic() + 120
    while time.monotonic() < ends and not path.with_suffix(".go").exists():
        time.sleep(0.05)


def install(step: str) -> None:
    owner, name = STEPS[step]
    original: Callable[..., Any] = getattr(owner, name)

    def halting(*arguments: Any, **keywords: Any) -> Any:
        # A second epoch was trained and its checkpoint written, the first one was logged.
        is_here = step != "train" or keywords.get("step") == 2
        if is_here and step in _BEFORE:
            halt()
        returned = original(*arguments, **keywords)
        if is_here and step not in _BEFORE:
            halt()
        return returned

    setattr(owner, name, halting)


if step := os.environ.get("HALT_STEP"):
    install(step)

if __name__ == "__main__":
    from sentiflow.night.request import NightRequest

    retrain(NightRequest.model_validate_json(sys.argv[1]), return_state=True)
