"""docker-compose.yml and its scripts, without an engine; tests/engine runs it on a real one."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_readme import test_every_command_in_the_readme_parses as parse_command

REPOSITORY = Path(__file__).resolve().parents[1]
SCRIPTS = REPOSITORY / "scripts" / "container"
LASTING = {"postgres", "prefect-server", "mlflow", "worker", "predictions"}
ONCE = {"secrets", "databases", "deploy"}
# Every character that means something in an address, a settings file, SQL or a shell.
HARD = "p@%s/:?#'\"w $x"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    text = (REPOSITORY / "docker-compose.yml").read_text()
    found: dict[str, Any] = yaml.safe_load(text)["services"]
    return found


def test_the_file_is_what_the_compose_specification_allows() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    answer = subprocess.run(
        [*check, REPOSITORY / "docker-compose.yml"], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout


def test_every_service_is_confined(services: dict[str, Any]) -> None:
    assert set(services) == LASTING | ONCE
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert not {"privileged", "cap_add", "pid", "ipc", "devices"} & set(service), name
        assert service["restart"] == ("on-failure" if name in ONCE else "unless-stopped")
        # The image's own user is 999; the database's is asked for.
        assert service.get("user", "999:999") == "999:999"
        for mount in service.get("volumes", ()):
            _, target, *mode = mount.split(":")
            assert mode == ["ro"] or not target.startswith(("/secrets", "/given", "/data")) or (
                name == "secrets" and target != "/given"
            ), mount  # fmt: skip


def test_the_example_names_every_variable_and_gives_no_value() -> None:
    text = (REPOSITORY / "docker-compose.yml").read_text()
    read = set(re.findall(r"\$\{([A-Z_0-9]+)", text)) | set(
        re.findall(r"^\s+([A-Z_0-9]+):$", text, re.M)
    )
    lines = (REPOSITORY / ".env.example").read_text().splitlines()
    assert all(not line or line.startswith("#") for line in lines)
    named = {match[1] for line in lines if (match := re.fullmatch(r"# ([A-Z_0-9]+)=", line))}
    assert read - named == {"SENTIFLOW_IMAGE", "SENTIFLOW_ACTOR"}
    assert named <= read


def test_every_command_of_the_operations_page_is_one() -> None:
    page = (REPOSITORY / "docs" / "operations.md").read_text()
    lines = re.findall(r"^docker compose run .* worker (sentiflow .*)$", page, re.M)
    assert len(lines) >= 4
    for line in lines:
        parse_command(line)
    secrets = page.split("### Rotate secrets\n")[1].split("\n## ")[0]
    names = set(" ".join(re.findall(r"--renew (.*)", secrets)).split())
    names |= set(re.findall(r"`(\w+_(?:PASSWORD|KEY|STRING))`", secrets))
    assert len(names) >= 7
    drawn = set(re.findall(r'"(\w+)": "', (SCRIPTS / "make_secrets.py").read_text()))
    assert names <= drawn


def test_the_operations_page_counts_the_services(services: dict[str, Any]) -> None:
    page = (REPOSITORY / "docs" / "operations.md").read_text()
    match = re.search(r"^(\w+) services: (.*) stay; (.*) do their work", page, re.M | re.S)
    assert match is not None
    assert match[1] == {7: "Seven", 8: "Eight", 9: "Nine"}[len(services)]
    assert set(re.findall(r"`(.*?)`", match[2])) == LASTING
    assert set(re.findall(r"`(.*?)`", match[3])) == ONCE


# --- secrets


@pytest.fixture
def make_secrets(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def make(*words: str, **given: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "SECRETS_FOLDER": str(tmp_path / "secrets"), "GIVEN_FOLDER": str(tmp_path / "given"),
            "DATABASE_HOST": "db:5432", **given,
        }  # fmt: skip
        return subprocess.run(
            [sys.executable, SCRIPTS / "make_secrets.py", *words], env=environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    return make


def list_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def read_secrets(folder: Path) -> dict[str, str]:
    """Every secret that was laid out, by its place."""
    return {str(path.relative_to(folder)): path.read_text() for path in list_files(folder)}


def test_secrets_are_drawn_once_for_their_owner_alone(
    tmp_path: Path, make_secrets: Callable[..., Any]
) -> None:
    assert make_secrets().returncode == 0
    first = read_secrets(tmp_path / "secrets")
    drawn = [text for name, text in first.items() if name.endswith(("PASSWORD", "KEY")) and text]
    assert all(len(text) >= 43 for text in drawn)
    assert len(set(drawn)) == 8
    for path in list_files(tmp_path / "secrets"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert make_secrets().returncode == 0
    assert read_secrets(tmp_path / "secrets") == first


def test_a_given_secret_is_used_and_a_renewed_one_is_new_wherever_it_is_read(
    tmp_path: Path, make_secrets: Callable[..., Any]
) -> None:
    make_secrets()
    first = read_secrets(tmp_path / "secrets")
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "SENTIFLOW_API_KEY").write_text("from-a-file\n")
    answer = make_secrets(
        "--renew", "MLFLOW_AUTH_ADMIN_PASSWORD", LEDGER_DATABASE_PASSWORD="led/ger",
        SENTIFLOW_PING_URL="https://ping/x",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    second = read_secrets(tmp_path / "secrets")
    assert second["predictions/SENTIFLOW_API_KEY"] == "from-a-file"
    assert second["nights/SENTIFLOW_PING_URL"] == "https://ping/x"
    reads = second["predictions/SENTIFLOW_LEDGER_URL"]
    assert reads.startswith("postgresql+psycopg2://ledger_reader:")
    assert reads == first["predictions/SENTIFLOW_LEDGER_URL"]
    url = second["nights/SENTIFLOW_LEDGER_URL"]
    assert url == "postgresql+psycopg2://ledger:led%2Fger@db:5432/ledger"
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {
        "predictions/SENTIFLOW_API_KEY", "nights/SENTIFLOW_PING_URL", "nights/SENTIFLOW_LEDGER_URL",
        "database/LEDGER_DATABASE_PASSWORD", "database/MLFLOW_AUTH_ADMIN_PASSWORD",
        "mlflow/MLFLOW_AUTH_ADMIN_PASSWORD", "nights/MLFLOW_TRACKING_PASSWORD",
        "predictions/MLFLOW_TRACKING_PASSWORD",
    }  # fmt: skip
    refused = make_secrets("--renew", "SENTIFLOW_API_KEY")
    assert refused.returncode == 1
    assert "a new one must be given" in refused.stderr
    assert read_secrets(tmp_path / "secrets") == second


def test_every_service_finds_the_secrets_it_names_and_knows_no_others(
    tmp_path: Path, services: dict[str, Any], make_secrets: Callable[..., Any]
) -> None:
    make_secrets()
    unread = set(read_secrets(tmp_path / "secrets"))
    for name in LASTING | ONCE - {"secrets"}:
        (folder,) = {
            mount.split(":")[0].removeprefix("secrets-")
            for mount in services[name]["volumes"]
            if mount.split(":")[1] == "/secrets"
        }
        values = services[name]["environment"].values()
        named = {value for value in values if value and value.startswith("/secrets/")}
        for path in named:
            assert (tmp_path / "secrets" / folder / Path(path).name).exists(), (name, path)
        unread -= {f"{folder}/{Path(path).name}" for path in named}
    assert unread == set(), "a secret that nobody reads is one too many"


def test_an_address_or_key_that_is_no_longer_given_is_withdrawn(
    tmp_path: Path, make_secrets: Callable[..., Any]
) -> None:
    theirs = {
        "SENTIFLOW_WEBHOOK_URL": "https://hook/x", "SENTIFLOW_PING_URL": "https://ping/x",
        "AWS_ACCESS_KEY_ID": "key-id", "AWS_SECRET_ACCESS_KEY": "key",
    }  # fmt: skip
    make_secrets()
    without = read_secrets(tmp_path / "secrets")
    # As a line of .env that was emptied, and as one that was removed.
    for later in (dict.fromkeys(theirs, ""), {}):
        make_secrets(**theirs)
        given = read_secrets(tmp_path / "secrets")
        assert {Path(path).name: given[path] for path in given if given[path] != without[path]} == (
            theirs
        )
        assert make_secrets(**later).returncode == 0
        assert read_secrets(tmp_path / "secrets") == without
    # As a file of the folder of given ones, which may be emptied or removed too.
    file = tmp_path / "given" / "SENTIFLOW_PING_URL"
    file.parent.mkdir()
    file.write_text("https://ping/y\n")
    make_secrets()
    assert read_secrets(tmp_path / "secrets")["nights/SENTIFLOW_PING_URL"] == "https://ping/y"
    file.write_text("")
    make_secrets()
    assert read_secrets(tmp_path / "secrets") == without
    refused = make_secrets("--renew", "SENTIFLOW_WEBHOOK_URL")
    assert refused.returncode == 1
    assert "a new one must be given" in refused.stderr


def test_what_could_be_drawn_is_kept_when_it_is_no_longer_given(
    tmp_path: Path, make_secrets: Callable[..., Any]
) -> None:
    make_secrets(SENTIFLOW_API_KEY="given")
    make_secrets(SENTIFLOW_API_KEY="")
    assert read_secrets(tmp_path / "secrets")["predictions/SENTIFLOW_API_KEY"] == "given"


def find_pool_environment(kind: str) -> dict[str, str]:
    """What a night's container has in a pool of this type."""
    pool = json.loads((REPOSITORY / "configs" / "work-pools" / f"{kind}.json").read_text())
    environment: dict[str, str] = pool["variables"]["properties"]["env"]["default"]
    return environment


def find_second_machine_environment() -> dict[str, str]:
    """What a second machine's worker has, by the commands of the operations page."""
    page = (REPOSITORY / "docs" / "operations.md").read_text()
    section = page.split("## Add a worker on a second machine\n")[1].split("\n## ")[0]
    fetched = re.findall(r"[A-Z_]+", section.split("for name in")[1].split("; do")[0])
    exported = dict(re.findall(r'(\w+_FILE)="\$PWD(/secrets/\w+)"', section))
    assert sorted(exported.values()) == sorted(f"/secrets/{name}" for name in fetched)
    return exported


def test_a_night_tells_people_wherever_it_runs(
    tmp_path: Path, services: dict[str, Any], make_secrets: Callable[..., Any]
) -> None:
    make_secrets(SENTIFLOW_WEBHOOK_URL="https://hook/x")
    folder = tmp_path / "secrets" / "nights"
    worker = services["worker"]["environment"]
    wanted = {name: place for name, place in worker.items() if name.endswith("_FILE")}
    for found in (
        find_pool_environment("docker"), find_pool_environment("kubernetes"),
        find_second_machine_environment(),
    ):  # fmt: skip
        files = {name: place for name, place in found.items() if name.endswith("_FILE")}
        assert files == wanted
        here = {name: place.replace("/secrets", str(folder)) for name, place in files.items()}
        answer = run_entrypoint("env", SECRETS_FOLDER=str(folder), **here)
        assert answer.returncode == 0, answer.stderr
        lines = answer.stdout.splitlines()
        assert "SENTIFLOW_WEBHOOK_URL=https://hook/x" in lines
        # Its file is empty, and a variable that is set and empty would be a mistake.
        assert not [line for line in lines if line.startswith("SENTIFLOW_PING_URL")]


def run_entrypoint(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / "entrypoint.sh", *words], env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_entrypoint_exports_what_the_files_of_the_secrets_folder_hold(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(HARD + "\n")
    (tmp_path / "none").write_text("")
    answer = run_entrypoint(
        "env", SECRETS_FOLDER=str(tmp_path), A_FILE=f"{tmp_path}/key", B_FILE=f"{tmp_path}/none",
        SSL_CERT_FILE="/etc/hostname",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    values = dict(line.split("=", 1) for line in answer.stdout.splitlines())
    assert values["A"] == HARD
    assert values["SSL_CERT_FILE"] == "/etc/hostname"
    assert not {"A_FILE", "B", "B_FILE", "SSL_CERT"} & set(values)


def test_the_entrypoint_says_which_secret_is_missing(tmp_path: Path) -> None:
    answer = run_entrypoint("true", SECRETS_FOLDER=str(tmp_path), A_FILE=f"{tmp_path}/gone")
    assert answer.returncode == 2
    assert answer.stderr.startswith("A_FILE must be a readable file. Received: ")
    assert run_entrypoint("false").returncode == 1, "the command's own exit code is what counts"


def test_sentiflow_reads_its_files_itself_so_that_no_list_of_processes_has_its_secrets(
    tmp_path: Path,
) -> None:
    (tmp_path / "key").write_text("secret\n")
    (tmp_path / "sentiflow").write_text("#!/bin/sh\nenv\n")
    (tmp_path / "sentiflow").chmod(0o755)
    variables = {"SECRETS_FOLDER": str(tmp_path), "A_FILE": f"{tmp_path}/key"}
    answer = run_entrypoint(str(tmp_path / "sentiflow"), **variables)
    assert answer.returncode == 0, answer.stderr
    assert f"A_FILE={tmp_path}/key" in answer.stdout.splitlines()
    assert "secret" not in answer.stdout
