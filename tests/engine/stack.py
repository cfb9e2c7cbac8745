"""The stack of docker-compose.yml on a real Docker engine, as its users have it.

Everything goes through `docker compose` and the published ports; what an engine knows of its
containers is asked of it.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

REPOSITORY = Path(__file__).resolve().parents[2]
LASTING = ("postgres", "prefect-server", "mlflow", "worker", "predictions")
PYTHON = ("prefect-server", "mlflow", "worker", "predictions")
_FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def find_free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class Stack:
    """The services of docker-compose.yml; ports are free ones of this machine."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self.ports = {
            name: find_free_port()
            for name in ("prefect-server", "mlflow", "predictions", "postgres")
        }
        self.files = [REPOSITORY / "docker-compose.yml", Path(__file__).with_name("outside.yml")]
        self._variables = {
            **variables,
            "PREFECT_PORT": str(self.ports["prefect-server"]),
            "MLFLOW_PORT": str(self.ports["mlflow"]),
            "PREDICTIONS_PORT": str(self.ports["predictions"]),
        }

    @property
    def environment(self) -> dict[str, str]:
        """What a shell needs to say `docker compose` of this stack, and nothing else of ours."""
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG")}
        return {
            **kept,
            **self._variables,
            "COMPOSE_FILE": ":".join(map(str, self.files)),
            # A developer's own .env is of no concern here.
            "COMPOSE_DISABLE_ENV_FILE": "true",
            "COMPOSE_PROGRESS": "quiet",
        }

    def docker(self, *words: str, check: bool = True, timeout: float = 300) -> str:
        """Return what docker says; its output is shown where it fails."""
        answer = subprocess.run(
            ["docker", *words], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=timeout,
        )  # fmt: skip
        if check:
            assert answer.returncode == 0, f"docker {words}: {answer.stdout}{answer.stderr}"
        return answer.stdout if check else answer.stdout + answer.stderr

    def compose(self, *words: str, check: bool = True, timeout: float = 300) -> str:
        """Return what `docker compose` says."""
        return self.docker("compose", *words, check=check, timeout=timeout)

    def execute(self, name: str, *words: str, check: bool = True) -> str:
        """Return what a command in a running container says; a whole night may be one."""
        return self.compose("exec", "-T", name, *words, check=check, timeout=600)

    def run_script(self, script: str, **more: str) -> None:
        """Run lines of the docs as they stand."""
        answer = subprocess.run(
            ["bash", "-euc", script], cwd=self.folder, env={**self.environment, **more},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert answer.returncode == 0, f"{script}\n{answer.stdout[-3000:]}{answer.stderr[-3000:]}"

    def up(self) -> None:
        """Start everything, and wait until all that stays is healthy."""
        self.compose("up", "-d")
        self.wait_until_healthy()

    def wait_until_healthy(self, seconds: float = 240) -> None:
        """Wait until every service that has a health check passes it."""
        self.wait_for(lambda: set(self.list_health().values()) == {"healthy"}, seconds)

    def list_health(self) -> dict[str, str]:
        """Return how each service that stays is, by the engine's account."""
        lines = self.compose("ps", "--format", "json", *LASTING).splitlines()
        found = {entry["Service"]: entry["Health"] for entry in map(json.loads, lines)}
        return {name: found.get(name, "gone") for name in LASTING}

    def wait_for(self, ask: Callable[[], Any], seconds: float) -> Any:
        """Return the first answer that is something; a server that is away is asked again."""
        ends = time.monotonic() + seconds
        while True:
            try:
                if found := ask():
                    return found
            except httpx.HTTPError as error:
                found = error
            assert time.monotonic() < ends, f"{found}\n{self.read_log('worker')[-4000:]}"
            time.sleep(0.3)

    def crash(self, name: str) -> None:
        """End a container as a fault would, so that the engine itself starts it again.

        `docker kill` counts as a person's wish: the engine would leave it ended.
        """
        container = self.inspect(name)
        os.kill(container["State"]["Pid"], signal.SIGKILL)
        self.wait_for(
            lambda: self.inspect(name)["State"]["StartedAt"] != container["State"]["StartedAt"], 60
        )

    def inspect(self, name: str) -> Any:
        """Return what the engine knows of a service's container."""
        (identity,) = self.compose("ps", "--all", "--quiet", name).split()
        return json.loads(self.docker("inspect", identity))[0]

    def list_users(self, name: str) -> list[tuple[str, str]]:
        """Return user id and command of every process of a running container."""
        identity = self.inspect(name)["Id"]
        lines = self.docker("top", identity, "-eo", "pid,uid,args").splitlines()[1:]
        return [(line.split()[1], " ".join(line.split()[2:])) for line in lines]

    def find_volume(self, name: str) -> Path:
        """Return a volume's folder on this machine."""
        return Path(
            self.docker("volume", "inspect", "-f", "{{.Mountpoint}}", f"sentiflow_{name}").strip()
        )

    def read_secret(self, folder: str, name: str) -> str:
        return (self.find_volume(f"secrets-{folder}") / name).read_text()

    def read_log(self, name: str) -> str:
        return self.compose("logs", "--no-log-prefix", name, check=False)

    def find_url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    # --- what its users ask

    def prefect_headers(self) -> dict[str, str]:
        secret = self.read_secret("nights", "PREFECT_API_AUTH_STRING")
        return {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}

    def mlflow_user(self) -> tuple[str, str]:
        return ("admin", self.read_secret("nights", "MLFLOW_TRACKING_PASSWORD"))

    def ask_prefect(self, path: str, body: Mapping[str, Any]) -> Any:
        answer = httpx.post(
            f"{self.find_url('prefect-server')}/api/{path}", json=dict(body), timeout=20,
            headers=self.prefect_headers(),
        )  # fmt: skip
        return answer.raise_for_status().json()

    def ask_mlflow(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(
            f"{self.find_url('mlflow')}/api/2.0/mlflow/{path}", params=parameters, timeout=20,
            auth=self.mlflow_user(),
        )  # fmt: skip
        return answer.raise_for_status().json()

    def list_mlflow_runs(self) -> list[Any]:
        """Return every run of every experiment."""
        answer = httpx.post(
            f"{self.find_url('mlflow')}/api/2.0/mlflow/runs/search", timeout=20,
            json={"experiment_ids": ["0", "1", "2"], "max_results": 1000}, auth=self.mlflow_user(),
        )  # fmt: skip
        runs: list[Any] = answer.raise_for_status().json().get("runs", [])
        return runs

    def ask_for_predictions(self, key: str | None = None, **headers: str) -> httpx.Response:
        key = key or self.read_secret("predictions", "SENTIFLOW_API_KEY")
        return httpx.post(
            f"{self.find_url('predictions')}/v1/predict", timeout=20,
            json={"texts": ["the soup was lovely", "the waiter was rude"]},
            headers={"X-API-Key": key, **headers},
        )  # fmt: skip

    def read_answers(self) -> Any:
        """Return what the predictions answer, as soon as they do."""
        self.wait_for(lambda: self.ask_for_predictions().status_code == 200, 120)
        return self.ask_for_predictions().json()

    def read_events(self) -> list[Any]:
        """Return the ledger's events of the model."""
        query = "SELECT json_agg(e ORDER BY sequence) FROM events e WHERE model = 'sentiflow'"
        words = ("psql", "-U", "postgres", "-At", "-d", "ledger", "-c", query)
        events: list[Any] = json.loads(self.execute("postgres", *words) or "[]")
        return events

    def look_up_run(self, identity: str) -> Any:
        """Return a flow run of Prefect's."""
        (run,) = self.ask_prefect("flow_runs/filter", {"flow_runs": {"id": {"any_": [identity]}}})
        return run

    def find_runs(self, name: str) -> list[Any]:
        """Return the flow runs of this name."""
        runs: list[Any] = self.ask_prefect(
            "flow_runs/filter", {"flow_runs": {"name": {"any_": [name]}}}
        )
        return runs

    def start_night(self, *overrides: str, **request: Any) -> str:
        """Start a night by its deployment, with more settings; return its flow run."""
        (deployment,) = self.ask_prefect(
            "deployments/filter", {"deployments": {"name": {"any_": ["nightly"]}}}
        )
        parameters = deployment["parameters"]
        asked = {**parameters["request"], **request}
        asked["overrides"] = [*asked.get("overrides", ()), *overrides]
        body = {"parameters": {**parameters, "request": asked}}
        created = self.ask_prefect(f"deployments/{deployment['id']}/create_flow_run", body)
        return str(created["id"])

    def wait_for_step(self, run: str, step: str, seconds: float = 300) -> None:
        """Wait until a night is within a step."""
        body = {
            "flow_runs": {"id": {"any_": [run]}},
            "task_runs": {"state": {"type": {"any_": ["RUNNING"]}}},
        }

        def is_within() -> bool:
            state = self.look_up_run(run)["state"]
            assert state["type"] not in _FINAL, state
            tasks = self.ask_prefect("task_runs/filter", body)
            return any(task["name"].startswith(step) for task in tasks)

        self.wait_for(is_within, seconds)

    def wait_for_end(self, run: str, seconds: float = 600) -> Any:
        """Wait until a night has ended, and return its flow run."""

        def find_ended() -> Any:
            found = self.look_up_run(run)
            return found if found["state"]["type"] in _FINAL else None

        return self.wait_for(find_ended, seconds)


def read_commands(section: str) -> list[str]:
    """Return the blocks of commands below a heading of the operations page."""
    page = (REPOSITORY / "docs" / "operations.md").read_text()
    heading = next(line for line in page.splitlines() if re.fullmatch(f"##+ {section}", line))
    text = page.split(f"\n{heading}\n")[1].split("\n##")[0]
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


def list_files(*folders: Path) -> Sequence[Path]:
    """Return every file below some folders."""
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
