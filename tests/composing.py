"""Run the services of docker-compose.yml as processes of this machine, without a Docker engine.

Every service keeps its own command, entrypoint, environment, health check and order of start, and
the image's environment is read from the Dockerfile. What an engine would do is done by hand: the
names of services become 127.0.0.1, ports the published ones, volumes and tmpfs folders below one
folder. PostgreSQL's own image is stood for by the PostgreSQL of this machine.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import psutil
from compose_files import REPOSITORY, read_compose, read_dockerfile

_ROOT = "/opt/sentiflow"


def find_free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def find_postgresql() -> Path | None:
    """Return the folder of this machine's PostgreSQL programs."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return programs[-1].parent if programs else None


def wait_for_end(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until processes have ended, reaped or not; return those that have not."""
    ends = time.monotonic() + seconds
    while alive := [process for process in processes if is_alive(process)]:
        if time.monotonic() > ends:
            return alive
        time.sleep(0.05)
    return []


def is_alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


class Stack:
    """The services of docker-compose.yml below one folder; anyone may open it again."""

    def __init__(self, folder: Path) -> None:
        """Open the stack that `create` made."""
        self.folder = folder
        state = json.loads((folder / "stack.json").read_text())
        self.variables: dict[str, str] = state["variables"]
        self.ports: dict[str, int] = state["ports"]
        self.services: dict[str, Any] = read_compose(self.variables)["services"]

    @classmethod
    def create(cls, folder: Path, variables: Mapping[str, str]) -> Stack:
        """Make a stack with these Compose variables; the published ports are free ones."""
        ports = {name: find_free_port() for name in ("postgres", "worker")}
        published = {
            name: str(find_free_port())
            for name in ("PREFECT_PORT", "MLFLOW_PORT", "PREDICTIONS_PORT")
        }
        variables = {**variables, **published}
        for name, service in read_compose(variables)["services"].items():
            for port in service.get("ports", ()):
                ports[name] = int(port.split(":")[1])
        for part in ("volumes", "tmpfs", "logs", "pids"):
            # Short and open to the user postgres, who keeps its cluster here.
            (folder / part).mkdir(parents=True, mode=0o711)
        state = {"variables": variables, "ports": ports}
        (folder / "stack.json").write_text(json.dumps(state))
        return cls(folder)

    def up(self, names: Sequence[str] = (), seconds: float = 300) -> None:
        """Start services as their conditions are met, and wait until all are healthy."""
        waiting = [name for name in self.services if not names or name in names]
        # What runs on is started before what holds us up until it is done.
        waiting.sort(key=self._is_once)
        started: list[str] = []
        ends = time.monotonic() + seconds
        while waiting or not all(self.is_healthy(name) for name in started):
            assert time.monotonic() < ends, f"not up in time: {waiting or started}"
            ready = [name for name in waiting if self._may_start(name)]
            if not ready:
                time.sleep(0.3)
                continue
            waiting.remove(ready[0])
            if self._is_once(ready[0]):
                self._run_once(ready[0], ends - time.monotonic())
            elif not self.is_running(ready[0]):
                self._start(ready[0])
                started.append(ready[0])

    def stop(self) -> None:
        """End every service as `docker compose stop` does, the database last.

        Prefect's server and worker may wait for what is connected and what runs; as an engine
        does after the period of grace, this ends them then. The others must go by themselves.
        """
        first = [name for name in self.services if name != "postgres"]
        for names, number in ((first, signal.SIGTERM), (["postgres"], signal.SIGINT)):
            processes = [process for name in names if (process := self._find_process(name))]
            families = [process.children(recursive=True) for process in processes]
            for process in processes:
                process.send_signal(number)
            alive = wait_for_end(processes, 30)
            patient = [self._find_process(name) for name in ("prefect-server", "worker")]
            late = [process for process in alive if process not in patient]
            assert not late, f"services must end when they are told to: {late}"
            families.append(alive)
            for process in (process for family in families for process in family):
                # A container's processes end with its first one.
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        for mark in (self.folder / "pids").iterdir():
            mark.unlink()

    def kill(self) -> None:
        """End everything at once, whatever state it is in."""
        for name in self.services:
            if process := self._find_process(name):
                family = [*process.children(recursive=True), process]
                for member in family:
                    with suppress(psutil.NoSuchProcess):
                        member.kill()
                wait_for_end(family, 10)

    def wipe(self) -> None:
        """Remove every volume."""
        for part in ("volumes", "tmpfs"):
            shutil.rmtree(self.folder / part)
            (self.folder / part).mkdir(mode=0o711)

    def run(
        self,
        name: str,
        words: Sequence[str],
        entrypoint: Sequence[str] | None = None,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        timeout: float | None = None,
        **streams: IO[bytes] | int,
    ) -> int:
        """Run a command as in a container of a service, and return its exit code."""
        prefix = self._entrypoint(name) if entrypoint is None else entrypoint
        command = [*prefix, *(self.translate(name, word) for word in words)]
        return subprocess.run(
            command, env=self.environment(name), cwd=REPOSITORY, stdin=stdin,
            timeout=timeout, check=False, **streams,
        ).returncode  # fmt: skip

    def is_running(self, name: str) -> bool:
        return self._find_process(name) is not None

    def is_healthy(self, name: str) -> bool:
        """Run the service's own health check once."""
        assert self.is_running(name), f"{name} has ended:\n{self.read_log(name)[-3000:]}"
        kind, *words = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return self.run(name, words, (), timeout=20, **quiet) == 0

    def read_log(self, name: str) -> str:
        path = self.folder / "logs" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def read_secret(self, folder: str, name: str) -> str:
        return (self.folder / "volumes" / f"secrets-{folder}" / name).read_text()

    def find_url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def find_volume(self, name: str) -> Path:
        return self.folder / "volumes" / name

    def find_needed(self, name: str) -> list[str]:
        """Return the services that one needs, theirs included."""
        own = list(self.services[name].get("depends_on", {}))
        return [*own, *(other for needed in own for other in self.find_needed(needed))]

    def environment(self, name: str) -> dict[str, str]:
        """Return what the container's environment would be, places and addresses translated."""
        places = self._places(name)
        home = places.get("/var/lib/sentiflow", str(self.folder / "tmpfs"))
        values = {"HOME": home, "LANG": "C.UTF-8"}
        if name == "postgres":
            values["PATH"] = f"{find_postgresql()}:/usr/bin:/bin"
            # Where its image has both by default.
            values |= {"PGHOST": "/var/run/postgresql", "PGPORT": "5432"}
        else:
            values |= self._image_environment
            values["SECRETS_FOLDER"] = "/secrets"
        for key, value in self.services[name].get("environment", {}).items():
            if value is None:
                value = self.variables.get(key)
            if value is not None:
                values[key] = str(value)
        translated = {key: self.translate(name, value) for key, value in values.items()}
        if name != "postgres":
            binaries = Path(sys.executable).parent
            translated["PATH"] = translated["PATH"].replace(
                f"{REPOSITORY}/.venv/bin", str(binaries)
            )
        return translated

    def translate(self, name: str, text: str) -> str:
        """Put this machine's places, addresses and ports in the place of the container's."""
        for target, place in sorted(self._places(name).items(), reverse=True):
            text = re.sub(rf"(?<![\w./-]){re.escape(target)}(?=[/\s\"';]|$)", place, text)
        text = re.sub(rf"{_ROOT}(?=/|$)", str(REPOSITORY), text)
        for other, port in self.ports.items():
            text = re.sub(rf"(^|//|@){other}:\d+", rf"\g<1>127.0.0.1:{port}", text)
        own = self._own_port(name)
        if own is not None:
            text = re.sub(rf"(^|=|127\.0\.0\.1:){own}(?=$|/)", rf"\g<1>{self.ports[name]}", text)
        return text

    def _places(self, name: str) -> dict[str, str]:
        service = self.services[name]
        places = {}
        for entry in service.get("tmpfs", ()):
            target = entry.split(":")[0]
            if target != "/tmp":
                places[target] = str(self.folder / "tmpfs" / name)
        for entry in service.get("volumes", ()):
            source, target = entry.split(":")[:2]
            places[target] = source if "/" in source else str(self.find_volume(source))
            if target.startswith("/secrets/"):
                # The service secrets sees the folders of all its readers beside each other.
                beside = self.folder / "tmpfs" / "secrets" / Path(target).name
                beside.mkdir(parents=True, exist_ok=True)
                if not self.find_volume(source).is_symlink():
                    self.find_volume(source).symlink_to(beside)
                places["/secrets"] = str(beside.parent)
        for place in places.values():
            os.makedirs(place, exist_ok=True)
        return places

    def _own_port(self, name: str) -> str | None:
        test = " ".join(self.services[name].get("healthcheck", {}).get("test", ()))
        match = re.search(r"(?:127\.0\.0\.1:|--port=)(\d+)", test)
        return match[1] if match else None

    @cached_property
    def _image_environment(self) -> dict[str, str]:
        last = max(instruction.stage for instruction in read_dockerfile())
        values = {}
        for instruction in read_dockerfile():
            if instruction.stage == last and instruction.name == "ENV":
                values |= dict(word.split("=", 1) for word in instruction.words)
        return values

    def _entrypoint(self, name: str) -> list[str]:
        if name == "postgres":
            return []
        own = self.services[name].get("entrypoint")
        words = own or next(i.words for i in read_dockerfile() if i.name == "ENTRYPOINT")
        return [self.translate(name, word) for word in words]

    def _is_once(self, name: str) -> bool:
        return bool(self.services[name].get("restart") == "on-failure")

    def _may_start(self, name: str) -> bool:
        for other, entry in self.services[name].get("depends_on", {}).items():
            if entry["condition"] == "service_healthy":
                if not (self.is_running(other) and self.is_healthy(other)):
                    return False
            elif not (self.folder / "pids" / f"{other}.done").exists():
                return False
        return True

    def find_words(self, name: str) -> list[str]:
        """Return a service's own command."""
        command = self.services[name].get("command", [])
        return shlex.split(command) if isinstance(command, str) else list(command)

    def _run_once(self, name: str, seconds: float) -> None:
        words = [self.translate(name, word) for word in self.find_words(name)]
        with self._open_log(name) as log:
            code = subprocess.run(
                [*self._entrypoint(name), *words],
                env=self.environment(name), cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, timeout=seconds, check=False,
            ).returncode  # fmt: skip
        assert code == 0, f"{name} must end well:\n{self.read_log(name)[-3000:]}"
        (self.folder / "pids" / f"{name}.done").touch()

    def _start(self, name: str) -> None:
        if name == "postgres":
            command = self._prepare_postgres()
        else:
            words = [self.translate(name, word) for word in self.find_words(name)]
            command = [*self._entrypoint(name), *words]
        with self._open_log(name) as log:
            process = subprocess.Popen(
                command, env=self.environment(name), cwd=REPOSITORY, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        (self.folder / "pids" / name).write_text(str(process.pid))

    def _open_log(self, name: str) -> IO[bytes]:
        return (self.folder / "logs" / f"{name}.log").open("ab")

    def _find_process(self, name: str) -> psutil.Process | None:
        try:
            process = psutil.Process(int((self.folder / "pids" / name).read_text()))
            return process if is_alive(process) else None
        except (FileNotFoundError, psutil.NoSuchProcess):
            return None

    @property
    def _as_postgres(self) -> list[str]:
        # initdb refuses to run as root.
        words = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        return words if os.getuid() == 0 else []

    def _prepare_postgres(self) -> list[str]:
        """Do what the postgres image does before it starts; return the server's command."""
        environment = self.environment("postgres")
        cluster = Path(environment["PGDATA"])
        sockets = Path(self.translate("postgres", "/var/run/postgresql"))
        for folder in (cluster.parent, sockets):
            folder.mkdir(parents=True, exist_ok=True)
            if os.getuid() == 0:
                shutil.chown(folder, "postgres")
        if not (cluster / "PG_VERSION").exists():
            # In a container both are one user; here the server's needs a copy of its own.
            secret = sockets / "password"
            shutil.copy(environment["POSTGRES_PASSWORD_FILE"], secret)
            if os.getuid() == 0:
                shutil.chown(secret, "postgres")
            initdb = ["initdb", "-D", str(cluster), "-U", "postgres", "-N", "--no-instructions",
                      "--auth-local=trust", "--auth-host=scram-sha-256",
                      f"--pwfile={secret}"]  # fmt: skip
            subprocess.run(
                [*self._as_postgres, *initdb], env=environment, check=True, capture_output=True,
                cwd=cluster.parent,
            )  # fmt: skip
            secret.unlink()
        # Not forked off, so that its process is the one that is kept; fsync is of no use here.
        return [
            *self._as_postgres, "postgres", "-D", str(cluster), "-k", str(sockets), "-p",
            str(self.ports["postgres"]), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
        ]  # fmt: skip


def list_files(folder: Path) -> Iterator[Path]:
    """Give every file below a folder."""
    yield from (path for path in sorted(folder.rglob("*")) if path.is_file())
