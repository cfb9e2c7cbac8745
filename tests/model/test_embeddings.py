import numpy as np
import pytest

from sentiflow.model import embeddings
from sentiflow.model.embeddings import WINDOW, fit_word_vectors
from sentiflow.model.tokenization import TokenIds


def make_ids(rows: list[list[int]]) -> TokenIds:
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return TokenIds(np.array([value for row in rows for value in row], np.int32), offsets)


def test_neighbours_are_counted_as_the_slow_way_does() -> None:
    random = np.random.default_rng(0)
    rows = [random.integers(1, 9, random.integers(1, 12)).tolist() for _ in range(20)]
    expected = np.zeros((9, 9))
    for row in rows:
        for at, word in enumerate(row):
            for other in range(max(0, at - WINDOW), min(len(row), at + WINDOW + 1)):
                if other != at and word > 1 and row[other] > 1:
                    expected[word, row[other]] += 1 / abs(at - other)
    counted = embeddings._count_neighbours(make_ids(rows), 9).toarray()
    np.testing.assert_allclose(counted, expected, rtol=1e-5)


def test_words_with_the_same_neighbours_get_like_vectors() -> None:
    # 2 and 3 stand between 4 and 5; 6 and 7 between 8 and 9.
    random = np.random.default_rng(1)
    rows = []
    for _ in range(300):
        rows.append([4, int(random.choice([2, 3])), 5])
        rows.append([8, int(random.choice([6, 7])), 9])
    vectors = fit_word_vectors(make_ids(rows), 10, 4, seed=0)

    def likeness(one: int, other: int) -> float:
        a, b = vectors[one], vectors[other]
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert likeness(2, 3) > 0.9
    assert likeness(6, 7) > 0.9
    assert likeness(2, 6) < 0.5


@pytest.mark.parametrize("rows", [[[1, 1, 1]], [[2]], [[2, 1, 3]]])
def test_texts_without_neighbours_give_noise_and_no_error(rows: list[list[int]]) -> None:
    vectors = fit_word_vectors(make_ids(rows), 10, 4, seed=0)
    assert vectors.shape == (10, 4)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()


def test_the_same_seed_gives_the_same_vectors_and_the_spread_asked_for() -> None:
    random = np.random.default_rng(2)
    ids = make_ids([random.integers(2, 60, 30).tolist() for _ in range(80)])
    vectors = fit_word_vectors(ids, 60, 8, seed=3)
    assert np.array_equal(vectors, fit_word_vectors(ids, 60, 8, seed=3))
    assert np.sqrt(np.square(vectors[2:]).mean()) == pytest.approx(0.4, rel=0.01)
