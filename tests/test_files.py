import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sentiflow.errors import ArtifactError
from sentiflow.files import (
    TEMPORARY_PREFIX,
    digest_json,
    hide_secrets,
    make_temporary_prefix,
    new_file,
    new_folder,
    parse_owner,
    read_json,
    use_scratch,
    write_json,
    write_text,
)
from sentiflow.processes import ProcessName, name_this_process


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"a": 1}
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["value.json"]


def test_a_folder_appears_whole_and_replaces_an_older_one(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with new_folder(tmp_path / "target") as folder:
            (folder / content).write_text(content)
            assert folder != tmp_path / "target"
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_folder_that_fails_leaves_the_older_one(tmp_path: Path) -> None:
    with new_folder(tmp_path / "target") as folder:
        (folder / "old").touch()

    def fail() -> None:
        with new_folder(tmp_path / "target") as folder:
            (folder / "half").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize("content", [None, "{", "\x00"])
def test_a_broken_json_file_is_an_artifact_error(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "value.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ArtifactError, match="readable JSON"):
        read_json(path)


def test_the_digest_of_a_json_value_knows_values_and_not_key_order() -> None:
    assert digest_json({"a": 1, "b": [1, 2]}) == digest_json({"b": [1, 2], "a": 1})
    assert digest_json({"a": 1}) != digest_json({"a": "1"})
    assert digest_json([1, 2]) != digest_json([2, 1])


def test_passwords_and_tokens_are_hidden() -> None:
    assert hide_secrets("ftp://me:secret@host/a.csv") == "ftp://***@host/a.csv"
    assert hide_secrets("https://host/a.csv?token=secret") == "https://host/a.csv?***"
    assert hide_secrets("s3://bucket/a@b.csv") == "s3://bucket/a@b.csv"
    assert hide_secrets("reviews/what?.csv") == "reviews/what?.csv"
    assert hide_secrets("postgresql://u:hun/ter2@db/nights") == "postgresql://***@db/nights"
    assert hide_secrets("postgresql://u:a@b@db/nights") == "postgresql://***@db/nights"
    shown = "postgresql://db:5432/x?sslmode=require&sslpassword="
    assert hide_secrets(f"{shown}s3cret") == f"{shown}***"
    assert hide_secrets("postgresql://db:5432/x?password=p@ss") == "postgresql://***"
    assert hide_secrets("'x://u:pa'ss@db'") == "'x://***@db'"


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5000/#/experiments/1, ask ada@example.org: she knows",
        "sqlite:////home/a@b/ledger.db", "gs://bucket/part-?.csv?x=1", "time 12:30 at a@b.org",
        "models:/sentiflow@champion", "postgresql://db/x?sslmode=require&host=/run",
    ],
)  # fmt: skip
def test_what_is_no_secret_is_shown(text: str) -> None:
    assert hide_secrets(text) == text


UNBROKEN = st.characters(codec="utf-8", exclude_characters="'\"").filter(
    lambda sign: not sign.isspace()
)
FRAMES = (
    "{scheme}://{user}:{password}@db.example:5432/nights?sslmode=require",
    "no way to ({scheme}://{user}:{password}@db.example/nights): 'a', ask ada@example.org.",
    "{scheme}://db.example:5432/nights?user={user}&sslpassword={password}",
    "{scheme}://db.example/nights?password={password} of {scheme}://{user}@db.example",
)


@given(
    st.sampled_from(FRAMES),
    st.sampled_from(("postgresql", "postgresql+psycopg2", "https", "HTTP")),
    st.text(UNBROKEN | st.sampled_from("/:@?&=#%;"), max_size=8),
    st.text(UNBROKEN | st.sampled_from("/:@?&=#%;,.)"), min_size=4, max_size=12),
)
def test_no_password_survives_whatever_its_signs(
    frame: str, scheme: str, user: str, password: str
) -> None:
    # What the rest of the text says anyway, or the stars, nobody can hide.
    assume(password not in frame.format(scheme=scheme, user="***", password="***"))
    assume(password not in "://***@db.example")
    # A user is no secret.
    assume(password not in user)
    assert password not in hide_secrets(frame.format(scheme=scheme, user=user, password=password))


def test_an_unfinished_name_says_whose_it_is_also_one_of_the_older_format(tmp_path: Path) -> None:
    own = tmp_path / (make_temporary_prefix() + "abc")
    assert parse_owner(own) == name_this_process()
    older = ProcessName("0123456789ab", 7, 1_790_000_000)
    assert parse_owner(tmp_path / f"{TEMPORARY_PREFIX}0123456789ab-7-1790000000-abc") == older
    assert parse_owner(tmp_path / f"{TEMPORARY_PREFIX}abc") is None


def test_temporary_files_lie_below_the_home_while_scratch_is_used(tmp_path: Path) -> None:
    before = tempfile.gettempdir()
    with use_scratch(tmp_path) as scratch:
        inside = Path(tempfile.mkdtemp())
        assert inside.parent == scratch
        child = "import tempfile; print(tempfile.gettempdir())"
        asked = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True)
        assert asked.stdout.strip() == str(scratch)
    assert tempfile.gettempdir() == before
    assert not scratch.exists()


def test_a_new_file_appears_whole_and_names_its_owner_until_then(tmp_path: Path) -> None:
    target = tmp_path / "answers"
    target.write_bytes(b"before")
    with new_file(target) as stream:
        stream.write(b"after")
        assert target.read_bytes() == b"before"
        (unfinished,) = tmp_path.glob(".unfinished-*")
        assert parse_owner(unfinished) == name_this_process()
    assert target.read_bytes() == b"after"

    def write_half() -> None:
        with new_file(target) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert target.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [target]
