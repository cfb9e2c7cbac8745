import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiflow.model.batches import pad_batch, plan_epoch, plan_in_order, stream_batches
from sentiflow.model.tokenization import TokenIds


def make_ids(rows: list[list[int]]) -> TokenIds:
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return TokenIds(np.array([value for row in rows for value in row], np.int32), offsets)


@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=300),
    st.integers(1, 40),
    st.integers(0, 5),
    st.integers(0, 5),
)
def test_an_epoch_holds_every_review_once_in_an_order_of_its_own(
    lengths: list[int], batch_size: int, seed: int, epoch: int
) -> None:
    plan = plan_epoch(np.array(lengths), batch_size, seed, epoch)
    assert sorted(np.concatenate(plan).tolist()) == list(range(len(lengths)))
    assert max(map(len, plan)) <= batch_size
    again = plan_epoch(np.array(lengths), batch_size, seed, epoch)
    assert all(np.array_equal(one, other) for one, other in zip(plan, again, strict=True))


def test_another_epoch_or_seed_is_another_order() -> None:
    lengths = np.arange(200)
    orders = {
        np.concatenate(plan_epoch(lengths, 10, seed, epoch)).tobytes()
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_batches_of_like_length_need_little_padding() -> None:
    lengths = np.random.default_rng(1).integers(1, 250, 5_000)
    for plan in (plan_epoch(lengths, 32, 0, 0), plan_in_order(lengths, 32)):
        padded = sum(len(batch) * lengths[batch].max() for batch in plan)
        assert padded < 1.15 * lengths.sum()


@given(
    st.lists(st.lists(st.integers(1, 9), max_size=6), min_size=1, max_size=8),
    st.none() | st.integers(1, 8),
)
def test_padding_is_what_the_slow_way_gives(rows: list[list[int]], width: int | None) -> None:
    positions = np.arange(len(rows))[::-1]
    padded = pad_batch(make_ids(rows), positions, width)
    columns = width or max(1, *map(len, rows), 1)
    expected = [(rows[at] + [0] * columns)[:columns] for at in positions]
    assert padded.tolist() == expected


def test_labels_stay_with_their_reviews() -> None:
    rows = [[n + 1] * (n % 5 + 1) for n in range(50)]
    labels = np.array([n % 2 for n in range(50)], np.int8)
    plan = plan_epoch(np.array([len(row) for row in rows]), 8, 3, 0)
    seen = {}
    for token_ids, batch_labels in stream_batches(make_ids(rows), labels, plan):
        for row, label in zip(token_ids.numpy(), batch_labels.numpy(), strict=True):
            seen[int(row[0]) - 1] = int(label)
    assert seen == {n: n % 2 for n in range(50)}


@pytest.mark.parametrize("width", [3, 12])
def test_a_fixed_width_pads_or_cuts_every_batch(width: int) -> None:
    ids = make_ids([[1] * 5, [2] * 10])
    batches = list(stream_batches(ids, np.zeros(2, np.int8), [np.array([0]), np.array([1])], width))
    assert [tuple(token_ids.shape) for token_ids, _ in batches] == [(1, width)] * 2
