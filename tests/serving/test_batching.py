from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiflow.serving.batching import Batcher, Model, ModelFailed, NotReady, TooManyWaiting


class LengthModel:
    """Answers a text with its length in thousandths, so that mixed-up answers show."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.gate.set()

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.entered.set()
        assert self.gate.wait(10)
        if "poison" in texts:
            raise RuntimeError(f"a fault that names the texts: {texts}")
        self.batches.append(len(texts))
        return np.array([len(text) / 1000 for text in texts], np.float32)


@contextmanager
def batch(
    parse_model: Callable[[], Model | None], max_batch: int = 8, max_waiting: int = 100
) -> Iterator[Batcher[Any]]:
    batcher: Batcher[Any] = Batcher(parse_model, max_batch, max_waiting, lambda *_: None)
    try:
        yield batcher
    finally:
        batcher.close()


@contextmanager
def busy(model: LengthModel, batcher: Batcher[Any]) -> Iterator[None]:
    """Keep the worker at a first text while the block queues others."""
    model.gate.clear()
    model.entered.clear()
    batcher.submit(["first"])
    assert model.entered.wait(10)
    yield
    model.gate.set()


def test_what_waits_is_joined_up_to_the_largest_batch() -> None:
    model = LengthModel()
    with batch(lambda: model, max_batch=8) as batcher:
        with busy(model, batcher):
            futures = [batcher.submit(["x" * size, "y"]) for size in range(9)]
        answers = [future.result(10).probabilities for future in futures]
    assert model.batches == [1, 8, 8, 2]
    assert answers == [pytest.approx([size / 1000, 0.001]) for size in range(9)]


def test_a_lone_request_does_not_wait_for_company() -> None:
    model = LengthModel()
    with batch(lambda: model) as batcher:
        assert batcher.submit(["four"]).result(10).probabilities == pytest.approx([0.004])
        assert batcher.submit(["fives"]).result(10).probabilities == pytest.approx([0.005])
    assert model.batches == [1, 1]


def test_a_request_larger_than_a_batch_is_never_split() -> None:
    model = LengthModel()
    with batch(lambda: model, max_batch=4) as batcher:
        with busy(model, batcher):
            futures = [batcher.submit(["a"] * size) for size in (2, 9, 2, 2)]
        assert [len(future.result(10).probabilities) for future in futures] == [2, 9, 2, 2]
    assert model.batches == [1, 2, 9, 4]


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=20),
    max_batch=st.integers(1, 10),
)
def test_every_text_gets_its_own_answer_whatever_the_sizes(
    sizes: list[int], max_batch: int
) -> None:
    model = LengthModel()
    requests = [["x" * (17 * place + n) for n in range(size)] for place, size in enumerate(sizes)]
    with batch(lambda: model, max_batch, max_waiting=1_000) as batcher:
        futures = [batcher.submit(texts) for texts in requests]
        for texts, future in zip(requests, futures, strict=True):
            expected = [len(text) / 1000 for text in texts]
            assert future.result(10).probabilities == pytest.approx(expected)
    assert sum(model.batches) == sum(sizes)
    assert all(size <= max_batch or size in sizes for size in model.batches)


def test_a_batch_is_answered_by_one_model_and_says_which() -> None:
    """The champion changes with every look; no answer may come from another model than named."""

    class Numbered:
        """Answers its own number."""

        def __init__(self, number: int) -> None:
            self.number = number

        def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
            return np.full(len(texts), self.number, np.float32)

    models = iter(range(10_000))
    with batch(lambda: Numbered(next(models)), max_batch=3) as batcher:
        futures = [batcher.submit(["text"] * (n % 5 + 1)) for n in range(30)]
        wait(futures, 10)
        for future in futures:
            answer = future.result()
            assert set(answer.probabilities) == {float(answer.model.number)}


def test_a_full_queue_refuses_and_takes_again_when_there_is_room() -> None:
    model = LengthModel()
    with batch(lambda: model, max_waiting=5) as batcher:
        with busy(model, batcher):
            kept = batcher.submit(["a"] * 3)
            with pytest.raises(TooManyWaiting, match="At most 5"):
                batcher.submit(["b"] * 3)
            also_kept = batcher.submit(["c"] * 2)
            assert batcher.waiting == 5
        assert len(kept.result(10).probabilities) == 3
        assert len(also_kept.result(10).probabilities) == 2
        assert batcher.waiting == 0
        assert len(batcher.submit(["d"] * 9).result(10).probabilities) == 9, "an empty queue"


def test_a_text_the_model_fails_on_spoils_its_own_request_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = LengthModel()
    with batch(lambda: model) as batcher:
        with busy(model, batcher):
            futures = [batcher.submit([text]) for text in ("a", "poison", "ccc")]
        assert futures[0].result(10).probabilities == pytest.approx([0.001])
        assert futures[2].result(10).probabilities == pytest.approx([0.003])
        with pytest.raises(ModelFailed):
            futures[1].result(10)
    assert "RuntimeError" in caplog.text
    assert "poison" not in caplog.text


@pytest.mark.parametrize("answer", [[np.nan], [np.inf], [0.1, 0.2]])
def test_what_is_no_probability_is_a_failure(answer: list[float]) -> None:
    class Broken:
        """Answers something else than one finite number a text."""

        def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
            return np.array(answer, np.float32)

    with batch(Broken) as batcher, pytest.raises(ModelFailed):
        batcher.submit(["text"]).result(10)


def test_without_a_model_there_is_no_answer() -> None:
    with batch(lambda: None) as batcher, pytest.raises(NotReady):
        batcher.submit(["text"]).result(10)


def test_closing_answers_what_waits_and_takes_no_more() -> None:
    model = LengthModel()
    batcher: Batcher[Any] = Batcher(lambda: model, 2, 100, lambda *_: None)
    with busy(model, batcher):
        futures = [batcher.submit(["a"]) for _ in range(5)]
    batcher.close()
    assert all(future.done() for future in futures)
    assert futures[4].result().probabilities == pytest.approx([0.001])
    with pytest.raises(NotReady, match="ending"):
        batcher.submit(["late"])


def test_whoever_gave_up_is_left_out_and_the_others_are_answered() -> None:
    model = LengthModel()
    with batch(lambda: model) as batcher:
        with busy(model, batcher):
            gone, stayed = batcher.submit(["a"] * 4), batcher.submit(["b"])
            assert gone.cancel()
        assert stayed.result(10).probabilities == pytest.approx([0.001])
        assert batcher.submit(["c"]).result(10).probabilities == pytest.approx([0.001])
    assert model.batches == [1, 1, 1]


def test_each_batch_is_reported_with_its_size_and_time() -> None:
    seen: list[tuple[int, float]] = []
    model = LengthModel()
    batcher: Batcher[Any] = Batcher(lambda: model, 8, 8, lambda *batch: seen.append(batch))
    batcher.submit(["a", "b"]).result(10)
    batcher.close()
    assert [size for size, _ in seen] == [2]
    assert 0 <= seen[0][1] < 10
