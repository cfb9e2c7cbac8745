import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression

from sentiflow.errors import SentiflowError
from sentiflow.model.tokenization import TokenIds
from sentiflow.model.wide import INNER_FOLDS, WideBranch, WideFit, fit_wide, make_keys
from sentiflow.model.wide_layers import NgramBranch
from sentiflow.settings import WideSettings

VOCABULARY = 14
SETTINGS = WideSettings(min_documents=3, regularizations=(3.0, 10.0))


def make_rows(count: int, seed: int) -> tuple[list[list[int]], np.ndarray]:
    """Rows of ids 1 (unknown) to 13; the pair 5 6 speaks for, 6 5 against."""
    draw = np.random.default_rng(seed)
    rows, labels = [], []
    for _ in range(count):
        row = draw.integers(1, VOCABULARY, draw.integers(0, 12)).tolist()
        label = int(draw.integers(0, 2))
        rows.append([*row, *((5, 6) if label else (6, 5))] if draw.random() < 0.6 else row)
        labels.append(label)
    return rows, np.array(labels, np.int8)


def join(rows: list[list[int]]) -> TokenIds:
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return TokenIds(np.array([value for row in rows for value in row], np.int32), offsets)


TRAIN, TRAIN_LABELS = make_rows(300, 1)
VALIDATION, VALIDATION_LABELS = make_rows(80, 2)
FOLDS = np.arange(len(TRAIN)) % INNER_FOLDS


def fit(labels: np.ndarray = TRAIN_LABELS, settings: WideSettings = SETTINGS) -> WideFit:
    return fit_wide(
        join(TRAIN), labels, join(VALIDATION), VALIDATION_LABELS, FOLDS, VOCABULARY, settings
    )


@pytest.fixture(scope="module")
def fitted() -> WideFit:
    return fit()


def ask_oracle(rows: list[list[int]], c: float) -> tuple[np.ndarray, dict[str, float]]:
    """The same model by scikit-learn on words: log-odds of rows, and weight · idf by n-gram."""
    texts, asked = ([" ".join(map(str, row)) for row in some] for some in (TRAIN, rows))
    counter = CountVectorizer(ngram_range=(1, 3), min_df=3, token_pattern=r"\S+")
    counter.fit(texts)
    words = [ngram for ngram in counter.vocabulary_ if "1" not in ngram.split()]
    counter = CountVectorizer(ngram_range=(1, 3), token_pattern=r"\S+", vocabulary=words)
    counts = counter.transform(texts)
    weigher = TfidfTransformer(sublinear_tf=True).fit(counts)
    documents = [
        1 + (counts[label == TRAIN_LABELS] > 0).sum(axis=0).A1.astype(float) for label in (1, 0)
    ]
    ratio = np.abs(np.log(documents[0] / documents[0].sum() * documents[1].sum() / documents[1]))
    model = LogisticRegression(C=c, solver="newton-cg", tol=1e-8)
    model.fit(weigher.transform(counts).multiply(ratio + 0.1).tocsr(), TRAIN_LABELS)
    asked_inputs = weigher.transform(counter.transform(asked)).multiply(ratio + 0.1).tocsr()
    weights = model.coef_[0] * (ratio + 0.1) * weigher.idf_
    return model.decision_function(asked_inputs), dict(zip(words, weights, strict=True))


def test_the_wide_branch_says_what_scikit_learn_says_on_words(fitted: WideFit) -> None:
    expected, _ = ask_oracle(VALIDATION, fitted.notes["C"])
    np.testing.assert_allclose(fitted.validation_logits, expected, atol=2e-3)
    assert fitted.validation_logits.std() > 0.5


def test_validation_loss_chooses_the_regularization(fitted: WideFit) -> None:
    losses = {}
    for c in SETTINGS.regularizations:
        logits, _ = ask_oracle(VALIDATION, c)
        losses[c] = np.logaddexp(0, np.where(VALIDATION_LABELS == 1, -logits, logits)).mean()
    assert fitted.notes["C"] == min(losses, key=losses.__getitem__)
    assert fitted.notes["validation_log_loss"] == pytest.approx(min(losses.values()), abs=1e-3)


def test_channels_are_a_words_own_weight_and_its_share_of_longer_ngrams(fitted: WideFit) -> None:
    _, weights = ask_oracle(VALIDATION, fitted.notes["C"])
    at = 0
    for row in VALIDATION:
        expected = np.zeros((len(row), 2))
        for size in (1, 2, 3):
            for start in range(len(row) - size + 1):
                ngram = " ".join(map(str, row[start : start + size]))
                share = weights.get(ngram, 0.0) / size
                expected[start : start + size, int(size > 1)] += share
        shown = fitted.validation_channels[at : at + len(row)] * fitted.branch.scales
        np.testing.assert_allclose(shown, expected, atol=2e-3)
        at += len(row)
    assert at == len(fitted.validation_channels)


def test_a_training_rows_channels_do_not_know_its_label() -> None:
    one_c = SETTINGS.model_copy(update={"regularizations": (3.0,)})
    changed = TRAIN_LABELS.copy()
    changed[FOLDS == 2] = 1 - changed[FOLDS == 2]
    before, after = fit(settings=one_c), fit(changed, one_c)
    is_out = np.repeat(FOLDS == 2, [len(row) for row in TRAIN])
    unscaled = [some.train_channels * some.branch.scales for some in (before, after)]
    np.testing.assert_allclose(unscaled[0][is_out], unscaled[1][is_out], atol=1e-4)
    assert np.abs(unscaled[0][~is_out] - unscaled[1][~is_out]).max() > 0.5
    np.testing.assert_allclose(before.train_channels.std(axis=0), 1, rtol=1e-3)


@pytest.fixture(scope="module")
def layer(fitted: WideFit) -> NgramBranch:
    layer = NgramBranch(len(fitted.branch.keys), 3, VOCABULARY)
    layer.assign(fitted.branch)
    return layer


def pad(rows: list[list[int]]) -> np.ndarray:
    padded = np.zeros((len(rows), max(map(len, rows), default=0)), np.int64)
    for at, row in enumerate(rows):
        padded[at, : len(row)] = row
    return padded


def test_the_graph_answers_as_the_fit_does(fitted: WideFit, layer: NgramBranch) -> None:
    logits, channels = layer(pad(VALIDATION))
    np.testing.assert_allclose(logits, fitted.validation_logits, atol=2e-6)
    shown = channels.numpy()[pad(VALIDATION) > 0]
    np.testing.assert_allclose(shown, fitted.validation_channels, atol=2e-6)


@hypothesis_settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(1, VOCABULARY - 1), max_size=15), min_size=1, max_size=6))
def test_a_row_is_answered_alike_alone_and_among_others(
    layer: NgramBranch, rows: list[list[int]]
) -> None:
    together, channels = layer(pad(rows))
    for at, row in enumerate(rows):
        alone, own = layer(pad([row]))
        np.testing.assert_allclose(together[at], alone[0], atol=1e-5)
        np.testing.assert_allclose(channels[at, : len(row)], own[0], atol=1e-6)
        assert not channels[at, len(row) :].numpy().any()


def test_texts_without_ngrams_get_the_bias(fitted: WideFit, layer: NgramBranch) -> None:
    for rows in ([[]], [[1, 1]], [[], [1]]):
        logits, _ = layer(pad(rows))
        np.testing.assert_allclose(logits, fitted.branch.bias, rtol=1e-6)


def test_a_branch_comes_back_from_disk(fitted: WideFit, tmp_path) -> None:
    fitted.branch.save(tmp_path / "branch.npz")
    again = WideBranch.load(tmp_path / "branch.npz")
    for name, value in vars(fitted.branch).items():
        np.testing.assert_array_equal(getattr(again, name), value)


def test_fits_repeat_to_the_bit(fitted: WideFit) -> None:
    again = fit()
    np.testing.assert_array_equal(again.branch.weights, fitted.branch.weights)
    np.testing.assert_array_equal(again.train_channels, fitted.train_channels)


@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=3), st.integers(40_001, 1_000_000))
def test_no_two_ngrams_share_a_key(ngram: list[int], vocabulary_size: int) -> None:
    (key,) = make_keys(np.array(ngram, np.int32), len(ngram), vocabulary_size).tolist()
    back = []
    while key:
        key, last = divmod(key, vocabulary_size)
        back.insert(0, last)
    assert back == ngram


def test_the_most_frequent_ngrams_are_kept_and_the_rest_is_told() -> None:
    kept = fit(settings=SETTINGS.model_copy(update={"max_ngrams": 20}))
    assert kept.notes["ngrams"] == 20
    assert kept.notes["ngrams_found"] > 100
    documents: dict[int, int] = {}
    for row in TRAIN:
        keys = {
            int(key)
            for size in (1, 2, 3)
            for at in range(len(row) - size + 1)
            if 1 not in row[at : at + size]
            for key in make_keys(np.array(row[at : at + size], np.int32), size, VOCABULARY)
        }
        for key in keys:
            documents[key] = documents.get(key, 0) + 1
    least = min(documents[key] for key in kept.branch.keys.tolist())
    assert least >= sorted(documents.values(), reverse=True)[19]


def test_at_most_max_rows_are_fitted_and_channels_are_there_for_all() -> None:
    some = fit(settings=SETTINGS.model_copy(update={"max_rows": 100}))
    assert (some.notes["rows"], some.notes["rows_available"]) == (100, 300)
    assert len(some.train_channels) == sum(map(len, TRAIN))


@pytest.mark.parametrize(
    ("labels", "settings", "message"),
    [
        (np.zeros(300, np.int8), SETTINGS, "both classes"),
        (TRAIN_LABELS, WideSettings(min_documents=400), "wide.min_documents"),
    ],
)
def test_what_cannot_be_fitted_is_told(labels, settings: WideSettings, message: str) -> None:
    with pytest.raises(SentiflowError, match=message):
        fit(labels, settings)
