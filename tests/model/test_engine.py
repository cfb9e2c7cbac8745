import subprocess
import sys


def test_tensorflow_is_loaded_without_its_greetings_and_stderr_works_again() -> None:
    script = (
        "import sys; from sentiflow.model.engine import load_engine; load_engine();"
        "assert 'tensorflow' in sys.modules; load_engine();"
        "import tensorflow as tf; tf.constant(1) + 1; print('still here', file=sys.stderr)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert answer.stderr.strip() == "still here"
