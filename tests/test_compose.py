"""The services of docker-compose.yml at work, as processes on PostgreSQL (slow)."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from compose_files import REPOSITORY
from composing import Stack, find_postgresql, list_files
from operations.listening import Answer, Listener, listen
from small import SMALL, write_plain_reviews

from sentiflow.release.ledger import Ledger
from sentiflow.release.standing import Event

# Every character that means something in an address, a settings file, SQL or a shell.
HARD = "p@%s/:?#'\"w $x"
GIVEN = {
    "PREFECT_DATABASE_PASSWORD": f"prefect-{HARD}-given",
    "MLFLOW_DATABASE_PASSWORD": f"mlflow-{HARD}-given",
    "LEDGER_DATABASE_PASSWORD": f"ledger-{HARD}-given",
    "SENTIFLOW_API_KEY": "an-api-key-that-was-given",
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def outside() -> Iterator[Listener]:
    """Whom the stack tells of its nights; no call gets a good answer, so that it is logged."""
    with listen() as listener:
        listener.answers = [Answer(status=404)] * 100
        yield listener


@pytest.fixture(scope="module")
def stack(outside: Listener) -> Iterator[Stack]:
    """The whole of docker-compose.yml, up on a PostgreSQL of its own, with small reviews."""
    if find_postgresql() is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    # Not below pytest's folder, which the user postgres cannot enter; and sockets need short names.
    folder = Path(tempfile.mkdtemp(prefix="sentiflow-compose-", dir="/tmp"))
    folder.chmod(0o711)
    variables = {
        **GIVEN,
        "SENTIFLOW_WEBHOOK_URL": f"{outside.url}/webhook-token-that-was-given",
        "SENTIFLOW_PING_URL": f"{outside.url}/ping-token-that-was-given",
        "SENTIFLOW_DATA": "/data/reviews.jsonl",
        "SENTIFLOW_OPTIONS": " ".join(f"--set {override}" for override in SMALL),
    }
    stack = Stack.create(folder, variables)
    stack.find_volume("data").mkdir()
    write_plain_reviews(stack.find_volume("data") / "reviews.jsonl")
    try:
        stack.up()
        yield stack
    finally:
        stack.kill()
        shutil.rmtree(folder)


def ask_prefect(stack: Stack, path: str, body: Mapping[str, Any]) -> Any:
    secret = stack.read_secret("nights", "PREFECT_API_AUTH_STRING")
    token = base64.b64encode(secret.encode()).decode()
    answer = httpx.post(
        f"{stack.find_url('prefect-server')}/api/{path}", json=dict(body),
        headers={"Authorization": f"Basic {token}"},
    )  # fmt: skip
    return answer.raise_for_status().json()


def ask_mlflow(stack: Stack, path: str, **parameters: str) -> Any:
    answer = httpx.get(
        f"{stack.find_url('mlflow')}/api/2.0/mlflow/{path}", params=parameters,
        auth=("admin", stack.read_secret("nights", "MLFLOW_TRACKING_PASSWORD")),
    )  # fmt: skip
    return answer.raise_for_status().json()


def ask_for_predictions(stack: Stack, key: str | None = None, **headers: str) -> httpx.Response:
    key = key or stack.read_secret("predictions", "SENTIFLOW_API_KEY")
    return httpx.post(
        f"{stack.find_url('predictions')}/v1/predict",
        json={"texts": ["the soup was lovely", "the waiter was rude"]},
        headers={"X-API-Key": key, **headers},
    )


def wait_for(found: Callable[[], Any], seconds: float, stack: Stack) -> Any:
    ends = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < ends, stack.read_log("worker")[-4000:]
        time.sleep(0.5)
    return value


def find_first_night(stack: Stack) -> Any:
    runs = ask_prefect(
        stack, "flow_runs/filter", {"flow_runs": {"name": {"any_": ["first-night"]}}}
    )
    (run,) = runs
    final = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
    return run if run["state"]["type"] in final else None


def read_events(stack: Stack) -> tuple[Event, ...]:
    # The address of the container's network, on this machine.
    url = stack.translate("worker", stack.read_secret("nights", "SENTIFLOW_LEDGER_URL"))
    return Ledger(url).read("sentiflow")


@pytest.fixture(scope="module")
def promoted(stack: Stack) -> Stack:
    """The stack after its first night, that nobody asked for."""
    run = wait_for(lambda: find_first_night(stack), 300, stack)
    assert run["state"]["type"] == "COMPLETED", stack.read_log("worker")[-4000:]
    wait_for(lambda: ask_for_predictions(stack).status_code == 200, 60, stack)
    return stack


def test_a_first_model_is_promoted_and_answers_without_a_hand(promoted: Stack) -> None:
    model = ask_mlflow(promoted, "registered-models/get", name="sentiflow")["registered_model"]
    assert {alias["alias"]: alias["version"] for alias in model["aliases"]} == {
        "champion": "1", "challenger": "1",
    }  # fmt: skip
    version = model["latest_versions"][0]
    run = ask_mlflow(promoted, "runs/get", run_id=version["run_id"])["run"]
    assert run["info"]["status"] == "FINISHED"
    assert run["info"]["artifact_uri"].startswith("mlflow-artifacts:")
    events = read_events(promoted)
    assert [event.kind for event in events] == ["registered", "promoted"]
    answer = ask_for_predictions(promoted).json()
    assert answer["model_version"] == 1
    assert [entry["label"] for entry in answer["predictions"]] == ["positive", "negative"]


def test_the_next_night_waits_and_is_no_second_first_one(promoted: Stack) -> None:
    waiting = ask_prefect(
        promoted, "flow_runs/filter",
        {"deployments": {"name": {"any_": ["nightly"]}},
         "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}},
    )  # fmt: skip
    assert waiting
    assert all(
        run["auto_scheduled"] and "T03:30:00" in run["expected_start_time"] for run in waiting
    )
    assert promoted.run("deploy", promoted.find_words("deploy"), stdout=subprocess.DEVNULL) == 0
    runs = ask_prefect(
        promoted, "flow_runs/filter", {"flow_runs": {"name": {"any_": ["first-night"]}}}
    )
    assert len(runs) == 1


def test_nothing_is_written_outside_of_volumes(promoted: Stack) -> None:
    # The containers' root file system is read-only.
    written = {"mlruns", "mlartifacts", "mlflow.db", "basic_auth.db", "spark-warehouse"}
    assert not written & set(os.listdir(REPOSITORY))
    start = promoted.folder / "stack.json"
    packages = Path(httpx.__file__).parents[1]
    places = [packages / name for name in ("prefect", "mlflow", "matplotlib", "keras")]
    find = ["find", *places, "-newer", start, "-type", "f", "-not", "-path", "*/__pycache__/*"]
    assert subprocess.run(find, check=True, capture_output=True, text=True).stdout == ""
    page = httpx.get(f"{promoted.find_url('prefect-server')}/", follow_redirects=True)
    assert "<title>Prefect" in page.text
    assert any(promoted.find_volume("artifacts").rglob("model.keras"))
    assert any(promoted.find_volume("predictions").rglob("model.keras"))
    assert not any(promoted.find_volume("home").rglob("mlartifacts"))


def test_no_service_lets_in_who_shows_nothing_or_something_else(stack: Stack) -> None:
    prefect, mlflow = stack.find_url("prefect-server"), stack.find_url("mlflow")
    wrong = httpx.BasicAuth("admin", "password1234")
    for url in (
        f"{prefect}/api/deployments/filter", f"{prefect}/api/flow_runs/filter",
        f"{prefect}/api/logs/filter", f"{prefect}/api/block_documents/filter",
    ):  # fmt: skip
        assert httpx.post(url, json={}).status_code == 401, url
        assert httpx.post(url, json={}, auth=wrong).status_code == 401, url
    for path in (
        "", "api/2.0/mlflow/experiments/search?max_results=1", "graphql", "metrics",
        "api/2.0/mlflow-artifacts/artifacts", "ajax-api/2.0/mlflow/registered-models/search",
    ):  # fmt: skip
        assert httpx.get(f"{mlflow}/{path}").status_code == 401, path
        assert httpx.get(f"{mlflow}/{path}", auth=wrong).status_code == 401, path
    assert ask_for_predictions(stack, "another-key").status_code == 401
    for path in ("v1/model", "metrics"):
        assert httpx.get(f"{stack.find_url('predictions')}/{path}").status_code == 401
    for port in (stack.ports["postgres"],):
        with pytest.raises(Exception, match="password authentication failed"):
            Ledger(f"postgresql://postgres:postgres@127.0.0.1:{port}/ledger").read("m")


def test_one_service_s_role_cannot_enter_another_s_database(stack: Stack) -> None:
    url = stack.translate("worker", stack.read_secret("nights", "SENTIFLOW_LEDGER_URL"))
    for database in ("prefect", "mlflow", "mlflow_auth"):
        with pytest.raises(Exception, match="permission denied for database"):
            Ledger(f"{url.removesuffix('ledger')}{database}").read("m")


def test_mlflow_answers_to_its_own_names_only(stack: Stack) -> None:
    url = f"{stack.find_url('mlflow')}/api/2.0/mlflow/experiments/search?max_results=1"
    user = ("admin", stack.read_secret("nights", "MLFLOW_TRACKING_PASSWORD"))
    port = stack.ports["mlflow"]
    for host, status in {
        "mlflow:5000": 200, f"localhost:{port}": 200, f"127.0.0.1:{port}": 200,
        "evil.example": 403, f"evil.example:{port}": 403, "mlflow": 403, "mlflow:5000.evil": 403,
    }.items():  # fmt: skip
        assert httpx.get(url, auth=user, headers={"Host": host}).status_code == status, host
    assert httpx.post(url, auth=user, headers={"Origin": "http://evil.example"}).status_code == 403


def dump_databases(stack: Stack, folder: Path) -> None:
    """Write everything the four databases hold as text."""
    for name in ("prefect", "mlflow", "mlflow_auth", "ledger"):
        with (folder / f"{name}.sql").open("wb") as out:
            assert stack.run("postgres", ["pg_dump", "-U", "postgres", name], stdout=out) == 0


def find_words_in(words: Mapping[str, bytes], paths: list[Path]) -> list[str]:
    found = []
    for path in paths:
        content = path.read_bytes()
        found += [f"{name} in {path}" for name, word in words.items() if word in content]
    return found


def test_no_secret_and_no_review_is_left_in_a_log_a_database_or_an_artifact(
    promoted: Stack, outside: Listener, tmp_path: Path
) -> None:
    secrets = {"webhook": b"webhook-token-that-was-given", "ping": b"ping-token-that-was-given"}
    for folder in ("database", "prefect", "mlflow", "nights", "predictions"):
        for path in list_files(promoted.find_volume(f"secrets-{folder}").resolve()):
            if path.name != "basic_auth.ini" and path.read_bytes():
                secrets[path.name] = path.read_bytes()
    assert len(secrets) >= 15
    assert {request.path[1:].encode() for request in outside.requests} == {
        secrets["webhook"], secrets["ping"],
    }, "what was told of the night failed, which is what may be logged"  # fmt: skip
    assert "404" in promoted.read_log("worker")
    dump_databases(promoted, tmp_path)
    volumes = [promoted.find_volume(name) for name in ("artifacts", "home", "predictions")]
    everywhere = [
        path
        for folder in (promoted.folder / "logs", tmp_path, *volumes)
        for path in list_files(folder)
    ]
    assert len(everywhere) > 60
    assert find_words_in(secrets, everywhere) == []
    # The texts themselves lie in snapshots and step results of the home, and nowhere else.
    outside = [path for path in everywhere if promoted.find_volume("home") not in path.parents]
    assert find_words_in({"review": b"On visit "}, outside) == []
    kept = [path for path in everywhere if path not in outside]
    assert all(
        "/home/snapshots/" in entry for entry in find_words_in({"review": b"On visit "}, kept)
    )
    secret = {"key": b"an-api-key-that-was-given"}
    assert find_words_in(secret, list_files_of_secrets(promoted)), "the search can find something"


def list_files_of_secrets(stack: Stack) -> list[Path]:
    return list(list_files(stack.find_volume("secrets-predictions").resolve()))


def read_commands(section: str) -> list[str]:
    """The blocks of commands below a heading of the operations page."""
    page = (REPOSITORY / "docs" / "operations.md").read_text()
    text = page.split(f"## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


def run_commands(stack: Stack, folder: Path, commands: str) -> None:
    """Run commands of the docs as they stand, `docker` being tests/docker_stand_in.py."""
    place = folder / "bin"
    place.mkdir(exist_ok=True)
    stand_in = REPOSITORY / "tests" / "docker_stand_in.py"
    for name, script in {
        "docker": f'exec "{sys.executable}" "{stand_in}" "{stack.folder}" "$@"',
        # The other machine is this one, and needs no tunnel.
        "ssh": 'case $1 in -N) ;; *) exec sh -c "$2" ;; esac',
    }.items():
        (place / name).write_text(f"#!/bin/sh\n{script}\n")
        (place / name).chmod(0o755)
    subprocess.run(
        ["bash", "-euc", commands], cwd=folder, check=True, timeout=600,
        env={"PATH": f"{place}:/usr/bin:/bin", "HOME": str(folder)},
    )  # fmt: skip


def test_dump_wipe_restore_and_the_champion_serves(promoted: Stack, tmp_path: Path) -> None:
    before = (read_events(promoted), ask_for_predictions(promoted).json())
    backup, restore = read_commands("Back up and restore")
    run_commands(promoted, tmp_path, backup)
    run_commands(promoted, tmp_path, "docker compose down --volumes")
    assert not any(promoted.find_volume(".").iterdir())
    # Secrets that are given are given again; those that were drawn come from the backup.
    run_commands(promoted, tmp_path, restore)
    write_plain_reviews(promoted.find_volume("data") / "reviews.jsonl")
    wait_for(lambda: ask_for_predictions(promoted).status_code == 200, 60, promoted)
    assert (read_events(promoted), ask_for_predictions(promoted).json()) == before
    assert find_first_night(promoted)["state"]["type"] == "COMPLETED"
    assert any(promoted.find_volume("home").rglob("decisions/*.json"))


def test_renewed_secrets_are_in_force_after_the_next_start(promoted: Stack, tmp_path: Path) -> None:
    old = promoted.read_secret("nights", "MLFLOW_TRACKING_PASSWORD")
    ours, superusers = read_commands("Secrets")
    renew, restart = ours.splitlines()
    # A given one is not drawn anew. The second block starts everything again too.
    renew = renew.replace("SENTIFLOW_API_KEY", "PREFECT_SERVER_API_AUTH_STRING")
    assert superusers.endswith(restart + "\n")
    run_commands(promoted, tmp_path, f"{renew}\n{superusers}")
    assert promoted.read_secret("nights", "MLFLOW_TRACKING_PASSWORD") != old
    url = f"{promoted.find_url('mlflow')}/api/2.0/mlflow/experiments/search?max_results=1"
    assert httpx.get(url, auth=("admin", old)).status_code == 401
    assert ask_mlflow(promoted, "registered-models/get", name="sentiflow")
    assert ask_prefect(promoted, "deployments/filter", {})
    wait_for(lambda: ask_for_predictions(promoted).status_code == 200, 60, promoted)


def test_a_second_machine_s_worker_reaches_everything_it_needs(
    promoted: Stack, tmp_path: Path
) -> None:
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (tmp_path / "scripts").symlink_to(REPOSITORY / "scripts")
    (commands,) = read_commands("Add a worker on a second machine")
    for written, here in {
        "/srv/sentiflow": str(promoted.folder),
        "http://127.0.0.1:4200": promoted.find_url("prefect-server"),
        "http://127.0.0.1:5000": promoted.find_url("mlflow"),
    }.items():
        assert written in commands
        commands = commands.replace(written, here)
    # One look at the server instead of a life of them; then what it needs beside that server.
    status = "scripts/container/entrypoint.sh .venv/bin/sentiflow status > status"
    known = "scripts/container/entrypoint.sh env > known"
    run_commands(promoted, tmp_path, f"{commands.rstrip()} --run-once\n{status}\n{known}")
    assert "champion    version 1 of" in (tmp_path / "status").read_text()
    # A night there tells the same people as one on the first machine.
    lines = (tmp_path / "known").read_text().splitlines()
    for name in ("SENTIFLOW_WEBHOOK_URL", "SENTIFLOW_PING_URL"):
        assert f"{name}={promoted.read_secret('nights', name)}" in lines
