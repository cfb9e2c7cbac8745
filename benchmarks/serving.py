"""Compare `sentiflow serve` with `mlflow models serve` of the same registered version.

    python benchmarks/serving.py [--home .sentiflow] [--model sentiflow] [--rounds 5]

All services run on this machine with the same TensorFlow thread settings and are measured turn
by turn: latency of one 100-word text asked again and again over one connection, then
throughput of such texts over 32 connections. MLflow counts with the best of its worker
counts. `--stock` hides uvloop and httptools from it, which its own installation does not bring
and which sentiflow's does. The load generator is this file run as a process of its own; it shares
the cores with the service, for all of them alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

CONNECTIONS = 32
SENTENCE = (
    "the food was really great but we waited an hour and nobody came to our table so i would "
    "not come back even if the soup is the best in town and my friends loved their dessert"
)
WORDS = SENTENCE.split()
# 64 different texts of 100 words each.
TEXTS = [
    " ".join(WORDS[(start + i * (start + 1)) % len(WORDS)] for i in range(100))
    for start in range(64)
]
SERVE = """
import logging, sys
from pathlib import Path
logging.basicConfig(level=logging.WARNING)
from sentiflow.settings import load_settings, prepare_environment
home, model, port, uri = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
prepare_environment(home)
from sentiflow.serving.app import serve
serve(load_settings(None, [f"serving.port={port}", f"tracking.uri={uri}"]), home, model)
"""


def main() -> None:
    """Start the services, measure them turn by turn and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(".sentiflow"))
    parser.add_argument("--model", default="sentiflow")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each throughput run")
    parser.add_argument("--requests", type=int, default=200, help="of each latency run")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="of MLflow")
    parser.add_argument("--threads", type=int, default=2, help="TensorFlow's, of every process")
    parser.add_argument("--stock", action="store_true", help="MLflow without uvloop, httptools")
    parser.add_argument("--generate", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.generate:
        print(json.dumps(asyncio.run(generate_load(json.loads(arguments.generate)))))
        return
    load_before = os.getloadavg()[0]
    measured: dict[str, list[dict[str, float]]] = {}
    with ExitStack() as stack:
        ports = {"sentiflow": stack.enter_context(serve_sentiflow(arguments))}
        for workers in arguments.workers:
            ports[f"mlflow, {workers} workers"] = stack.enter_context(
                serve_mlflow(arguments, workers)
            )
        for name, port in ports.items():
            # Every worker process has to trace its graph before it is timed.
            measure(name, port, 2.0, 20)
        for turn in range(arguments.rounds):
            for name, port in ports.items():
                figures = measure(name, port, arguments.seconds, arguments.requests)
                measured.setdefault(name, []).append(figures)
                print(f"round {turn + 1}: {name}: {figures}", file=sys.stderr, flush=True)
    medians = {
        name: {key: round(statistics.median(turn[key] for turn in turns), 2) for key in turns[0]}
        for name, turns in measured.items()
    }
    ours = medians.pop("sentiflow")
    fastest = max(medians.values(), key=lambda figures: figures["texts_per_second"])
    quickest = min(medians.values(), key=lambda figures: figures["p99_ms"])
    print(
        json.dumps(
            {
                "date": date.today().isoformat(),
                "cores": os.cpu_count(),
                "tensorflow_threads": arguments.threads,
                "mlflow_without_uvloop": arguments.stock,
                "load_average_before": round(load_before, 2),
                "load_average_after": round(os.getloadavg()[0], 2),
                "sentiflow": ours,
                **medians,
                "throughput_over_best_mlflow": round(
                    ours["texts_per_second"] / fastest["texts_per_second"], 2
                ),
                "p99_over_best_mlflow": round(ours["p99_ms"] / quickest["p99_ms"], 3),
            },
            indent=2,
        )
    )


def measure(name: str, port: int, seconds: float, requests: int) -> dict[str, float]:
    """Return latency percentiles of one connection and throughput of 32."""
    path = "/v1/predict" if name == "sentiflow" else "/invocations"
    latency = run_generator(port, path, {"connections": 1, "requests": requests})
    throughput = run_generator(port, path, {"connections": CONNECTIONS, "seconds": seconds})
    ordered = sorted(latency["milliseconds"])
    under_load = sorted(throughput["milliseconds"])
    return {
        "p50_ms": round(ordered[len(ordered) // 2], 3),
        "p95_ms": round(ordered[int(len(ordered) * 0.95)], 3),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)], 3),
        "texts_per_second": round(len(under_load) / throughput["seconds"], 1),
        "p99_under_load_ms": round(under_load[int(len(under_load) * 0.99)], 1),
    }


def run_generator(port: int, path: str, work: dict[str, Any]) -> dict[str, Any]:
    """Run the load generator as a process of its own and return what it saw."""
    finished = subprocess.run(
        [sys.executable, __file__, "--generate", json.dumps({"port": port, "path": path, **work})],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    seen: dict[str, Any] = json.loads(finished.stdout)
    if seen["failed"]:
        raise SystemExit(f"{path} on port {port} must answer every request: {seen['failed']}")
    return seen


async def generate_load(work: dict[str, Any]) -> dict[str, Any]:
    """Ask over keep-alive connections until time or requests are used up."""
    requests = [make_request(work["path"], text) for text in TEXTS]
    milliseconds: list[float] = []
    failed: list[str] = []
    started = time.perf_counter()
    ends = started + work.get("seconds", 600.0)
    left = work.get("requests", 10_000_000)

    async def ask(connection: int) -> None:
        nonlocal left
        reader, writer = await asyncio.open_connection("127.0.0.1", work["port"])
        turn = connection
        while left > 0 and time.perf_counter() < ends:
            left -= 1
            turn += 1
            asked = time.perf_counter()
            writer.write(requests[turn % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            milliseconds.append((time.perf_counter() - asked) * 1e3)
            if b" 200 " not in head[:20]:
                failed.append(body[:200].decode())
        writer.close()

    await asyncio.gather(*(ask(connection) for connection in range(work["connections"])))
    return {
        "milliseconds": milliseconds,
        "seconds": time.perf_counter() - started,
        "failed": failed[:3],
    }


def make_request(path: str, text: str) -> bytes:
    """Return one request of a text as it goes over the wire."""
    payload: Any = {"text": text}
    if path == "/invocations":
        payload = {"dataframe_split": {"columns": ["text"], "data": [[text]]}}
    body = json.dumps(payload).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@contextmanager
def serve_sentiflow(arguments: argparse.Namespace) -> Iterator[int]:
    """Start our service on a free port."""
    port = find_port()
    command = [
        sys.executable, "-c", SERVE, str(arguments.home.resolve()), arguments.model, str(port),
        find_uri(arguments),
    ]  # fmt: skip
    with run_service(command, arguments, f"http://127.0.0.1:{port}/ready"):
        yield port


@contextmanager
def serve_mlflow(arguments: argparse.Namespace, workers: int) -> Iterator[int]:
    """Start `mlflow models serve` of the same version on a free port."""
    port = find_port()
    command = [
        sys.executable, "-m", "mlflow", "models", "serve", "--model-uri",
        f"models:/{arguments.model}@champion", "--env-manager", "local", "--port", str(port),
        "--workers", str(workers),
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        hidden = {}
        if arguments.stock:
            for name in ("uvloop", "httptools"):
                (Path(folder) / f"{name}.py").write_text("raise ImportError\n")
            hidden = {"PYTHONPATH": folder}
        with run_service(command, arguments, f"http://127.0.0.1:{port}/ping", hidden):
            yield port


@contextmanager
def run_service(
    command: list[str],
    arguments: argparse.Namespace,
    ready: str,
    more: dict[str, str] | None = None,
) -> Iterator[None]:
    """Run a service, wait until it is ready, and end it and its children."""
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": find_uri(arguments),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_NUM_INTRAOP_THREADS": str(arguments.threads),
        "TF_NUM_INTEROP_THREADS": str(arguments.threads),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        **(more or {}),
    }
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            wait_until_ready(process, ready)
            yield
        finally:
            # Its own session's group: MLflow starts its server through a shell.
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def wait_until_ready(process: subprocess.Popen[bytes], address: str) -> None:
    """Wait until an address answers 200."""
    ends = time.monotonic() + 120
    while time.monotonic() < ends and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    raise SystemExit(f"The service must get ready within 120 seconds. Received: {address}.")


def find_uri(arguments: argparse.Namespace) -> str:
    """Return the registry's address."""
    return f"sqlite:///{arguments.home.resolve() / 'mlflow.db'}"


def find_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
    return port


if __name__ == "__main__":
    main()
