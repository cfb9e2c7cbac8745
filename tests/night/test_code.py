import hashlib
import subprocess
from pathlib import Path

from sentiflow.night.code import describe_code

REPOSITORY = Path(__file__).parents[2]


def test_the_code_is_described_with_lock_file_and_commit() -> None:
    code = describe_code()
    assert len(code.digest) == 64
    assert code.lock_file is not None
    assert code.lock_digest == hashlib.sha256(code.lock_file.read_bytes()).hexdigest()
    head = subprocess.run(
        ["git", "-C", str(REPOSITORY), "rev-parse", "HEAD"],
        capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    assert code.git_commit == head
    assert code.identity not in (code.digest, code.lock_digest)
