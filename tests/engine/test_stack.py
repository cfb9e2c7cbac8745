"""A stack's life on a real engine: first night, faults in the middle of nights, upkeep."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from engine.stack import LASTING, PYTHON, REPOSITORY, Stack, list_files, read_commands
from small import SMALL, write_plain_reviews

SERVICES = (*LASTING, "secrets", "databases", "deploy")


def test_a_first_model_is_promoted_and_answers_without_a_hand(promoted: Stack) -> None:
    model = promoted.ask_mlflow("registered-models/get", name="sentiflow")["registered_model"]
    assert {alias["alias"]: alias["version"] for alias in model["aliases"]} == {
        "champion": "1", "challenger": "1",
    }  # fmt: skip
    run = promoted.ask_mlflow("runs/get", run_id=model["latest_versions"][0]["run_id"])["run"]
    assert run["info"]["status"] == "FINISHED"
    assert run["info"]["artifact_uri"].startswith("mlflow-artifacts:")
    assert [event["kind"] for event in promoted.read_events()] == ["registered", "promoted"]
    answer = promoted.read_answers()
    assert answer["model_version"] == 1
    assert [entry["label"] for entry in answer["predictions"]] == ["positive", "negative"]
    assert promoted.ask_for_predictions("another-key").status_code == 401
    assert httpx.get(f"{promoted.find_url('predictions')}/ready").status_code == 200


def test_the_next_night_waits_and_a_second_start_is_no_second_first_night(promoted: Stack) -> None:
    promoted.up()
    asked = {
        "deployments": {"name": {"any_": ["nightly"]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
    }
    # A deployment that is registered again loses its scheduled runs; Prefect makes them anew.
    waiting = promoted.wait_for(lambda: promoted.ask_prefect("flow_runs/filter", asked), 120)
    assert all(
        run["auto_scheduled"] and "T03:30:00" in run["expected_start_time"] for run in waiting
    )
    assert len(promoted.find_runs("first-night")) == 1


@pytest.mark.parametrize("name", LASTING)
def test_no_process_is_root_s(stack: Stack, name: str) -> None:
    users = stack.list_users(name)
    assert len(users) >= 2
    assert {user for user, _ in users} == {"999"}, users


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_confined(stack: Stack, name: str) -> None:
    container = stack.inspect(name)
    host = container["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert not host["Privileged"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert container["Config"]["User"] == "999:999"
    published = [entry for entries in (host["PortBindings"] or {}).values() for entry in entries]
    assert {entry["HostIp"] for entry in published} <= {"127.0.0.1"}
    assert bool(published) == (name in ("prefect-server", "mlflow", "predictions"))
    status = container["State"]
    assert status["Running"] if name in LASTING else status["ExitCode"] == 0


@pytest.mark.parametrize("name", LASTING)
def test_nothing_is_writable_but_volumes_and_tmp(stack: Stack, name: str) -> None:
    probe = 'for folder; do touch "$folder/probe" 2>&1 && echo "written: $folder"; done; true'
    closed = ("/", "/etc", "/usr/bin", "/usr/lib", "/var/lib", "/opt", "/secrets", "/root", "/home")
    said = stack.execute(name, "sh", "-c", probe, "sh", *closed)
    assert "written" not in said
    assert said.count("Read-only file system") >= len(closed) - 2, said
    assert "written: /tmp" in stack.execute(name, "sh", "-c", probe, "sh", "/tmp")


def test_the_code_cannot_be_changed_by_what_runs_it(stack: Stack) -> None:
    script = (
        "import os; from importlib.util import find_spec; "
        "print([os.access(os.path.dirname(find_spec(name).origin), os.W_OK)"
        " for name in ('sentiflow', 'flows', 'prefect', 'mlflow')])"
    )
    for name in PYTHON:
        assert stack.execute(name, "python", "-c", script).strip() == str([False] * 4)


def test_a_page_s_files_are_written_where_they_may_be(promoted: Stack) -> None:
    page = httpx.get(
        f"{promoted.find_url('prefect-server')}/", follow_redirects=True,
        headers=promoted.prefect_headers(),
    )  # fmt: skip
    assert "<title>Prefect" in page.text
    assert any(promoted.find_volume("artifacts").rglob("model.keras"))
    assert any(promoted.find_volume("predictions").rglob("model.keras"))
    assert not any(promoted.find_volume("home").rglob("mlartifacts"))


def test_the_image_holds_what_runs_and_nothing_else(stack: Stack) -> None:
    listed = stack.docker(
        "run",
        "--rm",
        "--network",
        "none",
        "--entrypoint",
        "ls",
        "sentiflow",
        "-A",
        "/opt/sentiflow",
    )
    assert set(listed.split()) == {
        ".venv", "LICENSE", "README.md", "configs", "flows", "prefect.yaml", "pyproject.toml",
        "requirements.lock", "scripts", "src",
    }  # fmt: skip
    (image,) = json.loads(stack.docker("image", "inspect", "sentiflow"))
    names = [entry.split("=")[0] for entry in image["Config"]["Env"]]
    assert not [name for name in names if re.search("PASSWORD|SECRET|TOKEN|KEY|AUTH", name)]
    compiled = stack.execute("worker", "find", "/opt/sentiflow/src", "-name", "*.pyc")
    assert compiled.count("\n") >= 100, "bytecode is there, for nobody may write it later"


def test_every_command_works_in_the_worker_s_own_container(promoted: Stack) -> None:
    # As a person types it, without the entrypoint: the command finds its secrets by itself.
    model = ("--set", "model.name=sentiflow")
    status = json.loads(promoted.execute("worker", "sentiflow", "status", "--json", *model))
    assert status["models"][0]["champion"]["version"] == 1
    answer = promoted.execute("worker", "sentiflow", "predict", "the soup was lovely", *model)
    assert "positive" in answer
    assert "promoted" in promoted.execute("worker", "sentiflow", "history", *model)
    assert promoted.execute("worker", "sentiflow", "sweep", "--json")
    prefect = ("scripts/container/entrypoint.sh", "prefect", "work-pool", "ls")
    assert "sentiflow" in promoted.execute("worker", *prefect)


def test_a_worker_that_dies_in_the_middle_of_a_night_costs_a_second_try(promoted: Stack) -> None:
    write_plain_reviews(promoted.folder / "data" / "reviews.jsonl", rows=440)
    before = promoted.read_events()
    dead = promoted.start_night("training.epochs=12")
    promoted.wait_for_step(dead, "train")
    promoted.crash("worker")
    promoted.wait_until_healthy()
    answers = promoted.read_answers()
    assert answers["model_version"] == before[-1]["to_version"], "the champion serves all along"
    night = run_night(promoted, "training.epochs=12")
    assert night["outcome"] in ("promoted", "kept"), night["reasons"]
    assert night["rows"]["read"] == 440
    assert promoted.wait_for_end(dead, 60)["state"]["type"] == "CRASHED"
    added = promoted.read_events()[len(before) :]
    assert [event["kind"] for event in added] == ["failed", "registered", night["outcome"]], (
        "the dead night once, the second try once"
    )
    assert {run["info"]["status"] for run in promoted.list_mlflow_runs()} == {"FINISHED", "KILLED"}


def run_night(stack: Stack, *overrides: str) -> Any:
    """Run a night by hand in the worker's container, and return its answer."""
    sets = [word for override in (*SMALL, *overrides) for word in ("--set", override)]
    words = ("sentiflow", "run", "--json", "--data", "/data/reviews.jsonl", *sets)
    return json.loads(stack.execute("worker", *words))


def test_a_database_that_dies_in_the_middle_of_a_night_is_waited_for(promoted: Stack) -> None:
    write_plain_reviews(promoted.folder / "data" / "reviews.jsonl", rows=480)
    before = promoted.read_events()
    run = promoted.start_night("training.epochs=12")
    promoted.wait_for_step(run, "train")
    promoted.crash("postgres")
    ended = promoted.wait_for_end(run)
    assert ended["state"]["type"] == "COMPLETED", promoted.read_log("worker")[-4000:]
    promoted.wait_until_healthy()
    added = promoted.read_events()[len(before) :]
    assert added[0]["kind"] == "registered"
    assert len(added) == 2
    assert "RUNNING" not in {run["info"]["status"] for run in promoted.list_mlflow_runs()}


def test_the_services_come_back_by_themselves_wherever_one_dies(promoted: Stack) -> None:
    for name in ("prefect-server", "mlflow", "predictions"):
        promoted.crash(name)
    promoted.wait_until_healthy()
    assert promoted.read_answers()["predictions"]


def test_no_secret_and_no_review_is_left_in_a_log_a_database_or_an_artifact(
    promoted: Stack, tmp_path: Path
) -> None:
    secrets = {"webhook": b"webhook-token-that-was-given", "ping": b"ping-token-that-was-given"}
    for folder in ("database", "prefect", "mlflow", "nights", "predictions"):
        for path in list_files(promoted.find_volume(f"secrets-{folder}")):
            if path.name != "basic_auth.ini" and path.read_bytes():
                secrets[path.name] = path.read_bytes()
    assert len(secrets) >= 15
    # Before anything is taken down: a container that is made again has an empty log.
    told = promoted.read_log("outside")
    assert secrets["webhook"].decode() in told
    assert secrets["ping"].decode() in told
    for name in SERVICES:
        (tmp_path / f"{name}.log").write_text(promoted.read_log(name))
    assert "404" in (tmp_path / "worker.log").read_text(), "a failed call is what may be logged"
    for name in ("prefect", "mlflow", "mlflow_auth", "ledger"):
        dump = promoted.execute("postgres", "pg_dump", "-U", "postgres", name)
        (tmp_path / f"{name}.sql").write_text(dump)
    volumes = {name: promoted.find_volume(name) for name in ("artifacts", "home", "predictions")}
    everywhere = list_files(tmp_path, *volumes.values())
    assert len(everywhere) > 60
    for path in everywhere:
        content = path.read_bytes()
        assert not [name for name, secret in secrets.items() if secret in content], path
        # The texts themselves lie in snapshots and step results of the home, and nowhere else.
        if b"On visit " in content:
            assert volumes["home"] / "snapshots" in path.parents, path


def test_down_and_up_keep_everything(promoted: Stack) -> None:
    before = read_state(promoted)
    promoted.compose("down")
    assert not promoted.compose("ps", "--all", "--quiet").split()
    promoted.up()
    assert read_state(promoted) == before


def read_state(stack: Stack) -> Any:
    """Return what must outlive the containers."""
    answers = stack.read_answers()
    runs = stack.find_runs("first-night")
    return (
        stack.read_events(),
        answers["model_version"],
        answers["predictions"],
        sorted(run["info"]["run_id"] for run in stack.list_mlflow_runs()),
        [(run["id"], run["state"]["type"]) for run in runs],
        {path.name for path in list_files(stack.find_volume("home")) if "decisions" in path.parts},
        stack.read_secret("nights", "MLFLOW_TRACKING_PASSWORD"),
    )


def test_renewed_secrets_are_in_force_after_the_next_start(promoted: Stack) -> None:
    old = promoted.read_secret("nights", "MLFLOW_TRACKING_PASSWORD")
    key = promoted.read_secret("predictions", "SENTIFLOW_API_KEY")
    secret = promoted.prefect_headers()
    ours, superusers = read_commands("Rotate secrets")
    renew, restart = ours.splitlines()
    assert superusers.endswith(restart + "\n"), "the second block starts everything again too"
    others = (
        "PREFECT_SERVER_API_AUTH_STRING MLFLOW_FLASK_SERVER_SECRET_KEY MLFLOW_DATABASE_PASSWORD"
    )
    promoted.run_script(f"{renew} {others}\n{superusers}")
    promoted.wait_until_healthy()
    url = f"{promoted.find_url('mlflow')}/api/2.0/mlflow/experiments/search?max_results=1"
    assert httpx.get(url, auth=("admin", old)).status_code == 401
    assert promoted.ask_for_predictions(key).status_code == 401
    deployments = f"{promoted.find_url('prefect-server')}/api/deployments/filter"
    assert httpx.post(deployments, json={}, headers=secret).status_code == 401
    assert promoted.ask_mlflow("registered-models/get", name="sentiflow")
    assert promoted.ask_prefect("deployments/filter", {})
    assert promoted.read_answers()["predictions"]
    assert promoted.execute("worker", "sentiflow", "status", "--set", "model.name=sentiflow")


def test_backup_wipe_restore_and_the_champion_serves(promoted: Stack) -> None:
    before = read_state(promoted)
    backup, restore = read_commands("Back up and restore")
    promoted.run_script(backup)
    promoted.compose("down", "--volumes")
    assert not promoted.docker("volume", "ls", "--quiet", "--filter", "name=sentiflow_").split()
    # Secrets that are given are given again; those that were drawn come from the backup.
    promoted.run_script(restore)
    promoted.wait_until_healthy()
    assert read_state(promoted) == before


def test_a_second_machine_s_worker_reaches_everything_it_needs(promoted: Stack) -> None:
    page = (REPOSITORY / "docs" / "operations.md").read_text()
    section = page.split("## Add a worker on a second machine\n")[1].split("\n## ")[0]
    (override,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    (commands,) = read_commands("Add a worker on a second machine")
    assert "127.0.0.1:5432:5432" in override
    port = promoted.ports["postgres"]
    file = promoted.folder / "override.yml"
    file.write_text(override.replace(":5432:", f":{port}:"))
    promoted.files.append(file)
    promoted.up()
    machine = promoted.folder / "second"
    (machine / ".venv").mkdir(parents=True)
    (machine / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (machine / "scripts").symlink_to(REPOSITORY / "scripts")
    for written, here in {
        "/srv/sentiflow": str(promoted.folder),
        "http://127.0.0.1:4200": promoted.find_url("prefect-server"),
        "http://127.0.0.1:5000": promoted.find_url("mlflow"),
        "@127.0.0.1:5432": f"@127.0.0.1:{port}",
    }.items():
        assert written in commands
        commands = commands.replace(written, here)
    # The other machine is this one, and needs no tunnel; one look at the server instead of a life
    # of them; then what it needs beside that server.
    ssh = 'ssh() { case $1 in -N) ;; *) bash -c "$2" ;; esac; }'
    status = ".venv/bin/sentiflow status --set model.name=sentiflow > status"
    known = "scripts/container/entrypoint.sh env > known"
    promoted.run_script(
        f"cd {machine}\n{ssh}\n{commands.rstrip()} --run-once\n{status}\n{known}",
        PYTHONDONTWRITEBYTECODE="",
    )
    assert "champion    version " in (machine / "status").read_text()
    # A night there tells the same people as one on the first machine.
    lines = (machine / "known").read_text().splitlines()
    for name in ("SENTIFLOW_WEBHOOK_URL", "SENTIFLOW_PING_URL"):
        assert f"{name}={promoted.read_secret('nights', name)}" in lines


@pytest.mark.parametrize(
    ("variables", "model"),
    [
        ({"SENTIFLOW_DATA": ""}, "sentiflow-sample"),
        ({"SENTIFLOW_DATA": "/data"}, "sentiflow"),
        ({"SENTIFLOW_DATA": "/data", "SENTIFLOW_MODEL": "pubs"}, "pubs"),
    ],
)
def test_predictions_follow_the_model_that_the_nights_make(
    stack: Stack, variables: dict[str, str], model: str
) -> None:
    answer = subprocess.run(
        ["docker", "compose", "config", "--format", "json"], cwd=stack.folder, check=True,
        env={**stack.environment, **variables}, capture_output=True, text=True,
    )  # fmt: skip
    services = json.loads(answer.stdout)["services"]
    names = [word for word in services["predictions"]["command"] if word.startswith("model.name=")]
    assert names[-1] == f"model.name={model}"
    deploy = services["deploy"]["command"]
    assert deploy[:3] == ["sentiflow", "deploy", "--first-night"]
    assert ("--data" in deploy) == bool(variables["SENTIFLOW_DATA"])


def test_the_file_is_read_without_a_complaint_where_nothing_is_set(stack: Stack) -> None:
    kept = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "COMPOSE_DISABLE_ENV_FILE")
    answer = subprocess.run(
        ["docker", "compose", "-f", REPOSITORY / "docker-compose.yml", "config", "--quiet"],
        env={name: stack.environment[name] for name in kept}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
