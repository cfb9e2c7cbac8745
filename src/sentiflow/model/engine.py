"""Load TensorFlow without its greetings."""

from __future__ import annotations

import importlib
import os
import sys


def load_engine() -> None:
    """Import TensorFlow and Keras with standard error closed to the lines of their C++ side.

    TF_CPP_MIN_LOG_LEVEL does not reach what is written before absl is set up (tensorflow issue
    100442), so the descriptor itself points nowhere until the import is done.
    """
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        importlib.import_module("tensorflow")
        importlib.import_module("keras")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
