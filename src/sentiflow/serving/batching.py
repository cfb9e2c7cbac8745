"""Join the texts of concurrent requests into batches that one worker thread answers.

Nothing waits for company: the worker takes what is queued when it is free, so a lone request
is answered at once and batches grow only as fast as requests come in.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from sentiflow.errors import SentiflowError

logger = logging.getLogger(__name__)


class Model(Protocol):
    """Whatever answers texts."""

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return P(positive) of n texts; shape (n,), dtype float32."""
        ...


AnyModel = TypeVar("AnyModel", bound=Model)


class TooManyWaiting(SentiflowError):
    """More texts wait already than may wait."""


class NotReady(SentiflowError):
    """There is no model yet, or the service is ending."""


class ModelFailed(SentiflowError):
    """The model did not answer these texts."""


@dataclass(frozen=True)
class Answer(Generic[AnyModel]):
    """What one model said to all texts of one request.

    Attributes:
        model: the model that answered.
        probabilities: P(positive) of each text, in their order; float32 values.
    """

    model: AnyModel
    probabilities: list[float]


@dataclass(frozen=True)
class _Request(Generic[AnyModel]):
    texts: Sequence[str]
    future: Future[Answer[AnyModel]] = field(default_factory=Future)


class Batcher(Generic[AnyModel]):
    """Answers requests in batches, each by one model from start to end."""

    def __init__(
        self,
        parse_model: Callable[[], AnyModel | None],
        max_batch: int,
        max_waiting: int,
        on_batch: Callable[[int, float], None],
    ) -> None:
        """Start the worker thread.

        Args:
            parse_model: gives the model to answer with; asked once for every batch.
            max_batch: most texts joined from several requests. A larger request is never
                split: it is a batch of its own.
            max_waiting: most texts that may wait; an empty queue takes any one request.
            on_batch: told the texts of each batch and the seconds it took.
        """
        self._find_model = parse_model
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._on_batch = on_batch
        self._changed = threading.Condition()
        self._requests: deque[_Request[AnyModel]] = deque()
        self._is_closed = False
        self.waiting = 0
        self._worker = threading.Thread(target=self._work, name="sentiflow-batches", daemon=True)
        self._worker.start()

    def submit(self, texts: Sequence[str]) -> Future[Answer[AnyModel]]:
        """Queue one request's texts; the future holds the answer, or ModelFailed or NotReady.

        Raises:
            TooManyWaiting: too many texts wait already.
            NotReady: the batcher is closed.
        """
        request: _Request[AnyModel] = _Request(texts)
        with self._changed:
            if self._is_closed:
                raise NotReady("The service is ending. Ask another one.")
            if self.waiting and self.waiting + len(texts) > self._max_waiting:
                raise TooManyWaiting(
                    f"At most {self._max_waiting} texts may wait. Received: {self.waiting} wait "
                    f"and {len(texts)} came. Ask again in a moment."
                )
            self._requests.append(request)
            self.waiting += len(texts)
            self._changed.notify()
        return request.future

    def close(self) -> None:
        """Take no more requests and return when those that wait are answered."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._worker.join()

    def _work(self) -> None:
        while (batch := self._take_batch()) is not None:
            if batch:
                self._answer(batch)

    def _take_batch(self) -> list[_Request[AnyModel]] | None:
        """Wait for requests and take as many as fit; None means that the batcher is closed."""
        with self._changed:
            while not self._requests:
                if self._is_closed:
                    return None
                self._changed.wait()
            batch = [self._requests.popleft()]
            size = len(batch[0].texts)
            while self._requests and size + len(self._requests[0].texts) <= self._max_batch:
                batch.append(self._requests.popleft())
                size += len(batch[-1].texts)
            self.waiting -= size
        # Whoever gave up waiting is left out.
        return [request for request in batch if request.future.set_running_or_notify_cancel()]

    def _answer(self, batch: Sequence[_Request[AnyModel]]) -> None:
        model = self._find_model()
        if model is None:
            for request in batch:
                request.future.set_exception(NotReady("No model is loaded yet. Ask again later."))
            return
        texts = [text for request in batch for text in request.texts]
        started = time.perf_counter()
        try:
            probabilities = model.predict(texts)
            if len(probabilities) != len(texts) or not np.isfinite(probabilities).all():
                raise ModelFailed("Every text must get a finite probability.")
        except Exception as error:
            # Any fault of the model must end its request only, never the worker.
            self._answer_one_by_one(batch, error)
            return
        self._on_batch(len(texts), time.perf_counter() - started)
        values = probabilities.tolist()
        start = 0
        for request in batch:
            end = start + len(request.texts)
            request.future.set_result(Answer(model, values[start:end]))
            start = end

    def _answer_one_by_one(self, batch: Sequence[_Request[AnyModel]], error: Exception) -> None:
        """Answer each request alone, so that a text that the model fails on spoils only its own."""
        if len(batch) > 1:
            for request in batch:
                self._answer([request])
            return
        # The error's own words may hold a review; where it came from does not.
        where = "".join(traceback.format_tb(error.__traceback__)[-3:])
        logger.error("The model failed: %s\n%s", type(error).__name__, where)
        batch[0].future.set_exception(ModelFailed("The model failed on these texts."))
