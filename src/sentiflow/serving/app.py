"""Answer over HTTP; the one door to FastAPI and uvicorn."""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import ipaddress
import logging
import math
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from sentiflow.access.asgi import Application
from sentiflow.errors import UsageError
from sentiflow.model.engine import load_engine
from sentiflow.model.labels import name_labels
from sentiflow.release.explained import ChampionReader
from sentiflow.release.open_home import HomeContext
from sentiflow.release.story import OUTCOME_TAG
from sentiflow.serving.batching import Batcher, ModelFailed, NotReady, TooManyWaiting
from sentiflow.serving.champion import ChampionFollower
from sentiflow.serving.connections import BACKLOG, Connections, compute_room, guard_connections
from sentiflow.serving.docs_page import render_docs
from sentiflow.serving.measurements import Measurements
from sentiflow.serving.middleware import LimitsMiddleware
from sentiflow.serving.schemas import (
    ErrorAnswer,
    Health,
    ModelAnswer,
    PredictAnswer,
    PredictRequest,
    Refusal,
    explain,
)
from sentiflow.serving.state import Served, State
from sentiflow.settings import ServingSettings, read_api_key

_LOOPBACK: Final = frozenset(("127.0.0.1", "localhost", "[::1]"))
_CODES: Final = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}
_RETRY: Final = {"Retry-After": "1"}
_NO_BODY: Final = "The body must be JSON in UTF-8, not compressed and not nested without end."
# Where to go from the start, besides predictions.
_WAYS: Final = ("/v1/model", "/health", "/ready", "/metrics", "/docs", "/openapi.json")

logger = logging.getLogger(__name__)


def serve(context: HomeContext) -> None:
    """Answer requests with the champion until a signal ends it.

    Args:
        context: the home; the last good bundle is kept in it, and the settings' model is followed.

    Raises:
        UsageError: the address cannot be listened on, or would be open to everyone.
    """
    serving, model_name = context.settings.serving, context.model
    api_key = read_api_key()
    listening = listen(serving.host, serving.port, api_key is not None)
    with listening:
        # Whatever the environment says: here the next look at the registry is the retry.
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
        load_engine()
        follower = ChampionFollower(
            context.registry,
            ChampionReader(context.ledger_to_read, model_name),
            model_name,
            context.home / "serving" / model_name,
            serving.poll_seconds,
            serving.max_batch,
            set_garbage_aside,
        )
        host, port = listening.getsockname()[:2]
        is_local = ipaddress.ip_address(host).is_loopback
        hosts = _LOOPBACK | {serving.host.lower()} if is_local else None
        measurements = Measurements(model_name)
        application = make_app(follower, serving, api_key, hosts, measurements)
        shown = f"[{host}]" if ":" in host else host
        logger.info("Serving %s on http://%s:%d", model_name, shown, port)
        answer_requests(application, listening, serving, measurements)
        logger.info("Stopped serving %s.", model_name)


def answer_requests(
    application: Application,
    listening: socket.socket,
    serving: ServingSettings,
    measurements: Measurements,
) -> None:
    """Hand what comes in on a socket to the application, until a signal ends it.

    Args:
        application: what answers.
        listening: where connections come in.
        serving: how many there may be, and their deadlines.
        measurements: where those that are dropped are counted.
    """
    room = compute_room(serving.max_connections)
    connections = Connections(serving, room, measurements.count_drop)
    measurements.watch_connections(connections.count)
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        http=guard_connections(connections),
        # There is no route for them, and theirs would be connections without deadlines.
        ws="none",
        backlog=BACKLOG,
        timeout_keep_alive=math.ceil(serving.idle_seconds),
        timeout_graceful_shutdown=math.ceil(serving.drain_seconds),
    )
    # uvicorn drains and then raises the signal once more, which would end it as killed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listening])


def set_garbage_aside() -> None:
    """Collect the garbage of the former model, then exempt what stays from collection.

    TensorFlow, Keras and MLflow are 600,000 objects. A full collection walks them all, and under
    load there was one every five seconds that held up every request for 0.3 to 0.4 seconds.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def listen(host: str, port: int, has_key: bool) -> socket.socket:
    """Return a socket that listens on an address.

    Raises:
        UsageError: it cannot, or the address is not loopback and there is no key.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
    except (OSError, UnicodeError) as error:
        # The second for what is no name at all, such as 127.0.0..1.
        raise UsageError(
            f"serving.host must be an address of this machine. Received: {host}: {error}."
        ) from None
    if not has_key and not ipaddress.ip_address(address[0]).is_loopback:
        raise UsageError(
            "A service that others can reach needs a key. Received: "
            f"serving.host={host} without SENTIFLOW_API_KEY. Set it, or listen on 127.0.0.1."
        )
    # Named as TCP: asyncio leaves Nagle's delay on for sockets that do not say so, which costs
    # 40 ms a request.
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise UsageError(
            f"The service must be able to listen on its address. Received: {host}:{port}: "
            f"{error.strerror}. Choose another with --set serving.port=…"
        ) from None
    return listening


def make_app(
    follower: ChampionFollower,
    serving: ServingSettings,
    api_key: str | None,
    hosts: frozenset[str] | None,
    measurements: Measurements | None = None,
) -> Application:
    """Return the ASGI application; follower and batches start and end with it.

    Args:
        follower: gives the version that answers.
        serving: the limits.
        api_key: what callers must show, or None.
        hosts: names it may be called by, or None for any.
        measurements: where requests are counted; None makes new ones.
    """
    measurements = measurements or Measurements(follower.name)
    batcher: Batcher[Served] = Batcher(
        follower.get_served, serving.max_batch, serving.max_waiting, measurements.count_batch
    )
    measurements.watch(lambda: follower.state, lambda: batcher.waiting)

    @asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        follower.start()
        yield
        follower.stop()
        batcher.close()

    app = FastAPI(
        title="Sentiflow",
        description="Tells positive reviews from negative ones. When a key is set, send it as "
        "Authorization: Bearer … or X-API-Key: ….",
        version=importlib.metadata.version("sentiflow"),
        lifespan=live,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    _add_routes(app, follower, batcher, measurements, serving)
    _add_pages(app)
    _shape_errors(app)
    return LimitsMiddleware(
        app, measurements, serving.max_body_bytes, api_key, hosts, serving.body_seconds
    )


def _add_routes(
    app: FastAPI,
    follower: ChampionFollower,
    batcher: Batcher[Served],
    measurements: Measurements,
    serving: ServingSettings,
) -> None:
    errors: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer} for status in (400, 401, 413, 422, 429, 500, 503)
    }

    @app.post("/v1/predict", response_model=PredictAnswer, responses=errors)
    async def predict(asked: PredictRequest) -> Response:
        """Answer one text or many, all by the same version."""
        texts = asked.read_texts(serving)
        try:
            answer = await asyncio.wrap_future(batcher.submit(texts))
        except TooManyWaiting as error:
            raise Refusal(429, "too_many_waiting", str(error), _RETRY) from None
        except NotReady as error:
            raise Refusal(503, "not_ready", str(error), _RETRY) from None
        except ModelFailed as error:
            raise Refusal(500, "model_failed", str(error)) from None
        return _answer(
            {
                "model": answer.model.version.name,
                "model_version": answer.model.version.number,
                "predictions": [
                    {"label": label, "probability": probability}
                    for label, probability in zip(
                        name_labels(answer.probabilities), answer.probabilities, strict=True
                    )
                ],
            }
        )

    @app.get("/health", response_model_exclude_none=True)
    async def health() -> Health:
        """Tell that the service is alive."""
        return Health(status="alive")

    @app.get("/ready", responses={503: {"model": ErrorAnswer}}, response_model_exclude_none=True)
    async def ready() -> Health:
        """Tell whether a model is loaded, and what a person should look at."""
        warnings = follower.state.list_warnings()
        if follower.get_served() is None:
            message = " ".join(["No model is loaded yet.", *warnings])
            raise Refusal(503, "not_ready", message, _RETRY)
        return Health(status="ready", warnings=warnings or None)

    @app.get("/v1/model", responses={401: {"model": ErrorAnswer}})
    async def model() -> ModelAnswer:
        """Tell which version answers, since when and why."""
        return _describe(follower.name, follower.state)

    @app.get("/metrics", responses={401: {"model": ErrorAnswer}})
    async def metrics() -> Response:
        """Give the counters in Prometheus' text format."""
        return Response(measurements.render(), media_type="text/plain; version=0.0.4")


def _add_pages(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return Response(
            render_docs(app.openapi()),
            media_type="text/html; charset=utf-8",
            headers={"Content-Security-Policy": "default-src 'self' 'unsafe-inline'"},
        )

    @app.get("/", include_in_schema=False)
    async def start(request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return Response(status_code=303, headers={"Location": "docs"})
        return _answer(
            {
                "service": "sentiflow predictions",
                "predict": "POST /v1/predict",
                **{path.rpartition("/")[2]: f"GET {path}" for path in _WAYS},
            }
        )


def _shape_errors(app: FastAPI) -> None:
    @app.exception_handler(Refusal)
    async def refuse(_: Request, refusal: Refusal) -> Response:
        return _answer_error(refusal)

    @app.exception_handler(RequestValidationError)
    async def refuse_body(_: Request, error: RequestValidationError) -> Response:
        return _answer_error(explain(error.errors()))

    @app.exception_handler(HTTPException)
    async def refuse_request(_: Request, error: HTTPException) -> Response:
        code = _CODES.get(error.status_code, "error")
        headers = dict(error.headers or {})
        detail = _NO_BODY if error.status_code == 400 else str(error.detail)
        return _answer_error(Refusal(error.status_code, code, detail, headers))


def _describe(name: str, state: State) -> ModelAnswer:
    served, failure = state.served, state.failure
    tags = served.version.tags if served else {}
    if state.unreachable_since is not None:
        registry = f"unreachable since {state.unreachable_since.isoformat(timespec='seconds')}"
    elif state.last_answer is None:
        registry = "no answer yet"
    else:
        registry = "reachable" if state.has_champion else "reachable, names no champion"
    if state.ledger_silent_since is not None:
        ledger = f"unreachable since {state.ledger_silent_since.isoformat(timespec='seconds')}"
    else:
        ledger = "reachable" if state.has_ledger else "no answer yet"
    return ModelAnswer(
        model=name,
        model_version=served.version.number if served else None,
        run_id=served.version.run_id if served else None,
        served_since=served.since.isoformat(timespec="seconds") if served else None,
        loaded_from=served.loaded_from if served else None,
        night=tags.get("sentiflow.night"),
        outcome=tags.get(OUTCOME_TAG),
        decision=tags.get("sentiflow.decision"),
        registry=registry,
        ledger=ledger,
        warnings=state.list_warnings(),
        failed_version=failure.version.number if failure else None,
        failure=failure.reason if failure else None,
    )


def _answer(content: dict[str, Any]) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


def _answer_error(refusal: Refusal) -> Response:
    return Response(
        refusal.as_json(), refusal.status, refusal.headers, media_type="application/json"
    )
