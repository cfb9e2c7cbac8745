"""Plain models: against scikit-learn's own pipeline, chosen on validation, blind to test rows."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from sentiflow.errors import SentiflowError
from sentiflow.model.baseline import fit_majority, fit_tfidf_logreg
from sentiflow.model.evaluation import score
from sentiflow.settings import BaselineSettings

GRID = BaselineSettings(regularizations=(0.1, 1.0, 10.0), min_document_counts=(1, 2))
SEED = 20181


def make_rows(count, seed):
    """Texts of twelve words of which some lean to one label; no word decides alone."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 0.6).astype(np.int8)
    neutral = [f"thing{number}" for number in range(60)]
    leaning = {1: ["lovely", "great", "warm", "fresh"], 0: ["stale", "rude", "cold", "slow"]}
    texts = []
    for label in labels:
        words = [*rng.choice(neutral, 9), *rng.choice(leaning[label], 2)]
        words.append(rng.choice(leaning[1 - label]))
        texts.append(" ".join(rng.permutation(words)))
    return texts, labels


TRAIN = make_rows(300, seed=1)
VALIDATION = make_rows(80, seed=2)
TEST = make_rows(80, seed=3)


@pytest.fixture(scope="module")
def fitted():
    return fit_tfidf_logreg(*TRAIN, *VALIDATION, TEST[0], GRID, SEED)


def test_majority_answers_with_the_share_of_positives():
    baseline = fit_majority(np.array([1, 1, 1, 0], dtype=np.int8), n_test=3)
    assert baseline.name == "majority"
    assert baseline.probabilities.dtype == np.float32
    np.testing.assert_array_equal(baseline.probabilities, [0.75, 0.75, 0.75])
    assert baseline.notes == {"train_rows": 4, "positive_share": 0.75}


def test_majority_of_nothing_is_refused():
    with pytest.raises(SentiflowError, match="n at least 1"):
        fit_majority(np.array([], dtype=np.int8), n_test=3)


def test_both_models_of_words_beat_the_majority(fitted):
    majority = score(TEST[1], fit_majority(TRAIN[1], len(TEST[1])).probabilities)
    assert majority.roc_auc == 0.5
    for baseline in fitted:
        metrics = score(TEST[1], baseline.probabilities)
        assert metrics.roc_auc > 0.85, baseline.name
        assert metrics.accuracy > majority.accuracy, baseline.name
        assert metrics.log_loss < majority.log_loss, baseline.name
    assert score(TEST[1], fitted[0].probabilities).accuracy > majority.accuracy + 0.1


def test_the_two_baselines_have_names_types_and_notes_for_json(fitted):
    assert [baseline.name for baseline in fitted] == ["tfidf_logreg", "tfidf_logreg_default"]
    for baseline in fitted:
        assert baseline.probabilities.dtype == np.float32
        assert baseline.probabilities.shape == (len(TEST[0]),)
        assert json.loads(json.dumps(baseline.notes, allow_nan=False)) == baseline.notes
        assert baseline.notes["train_rows"] == baseline.notes["train_rows_available"] == 300
        assert baseline.notes["sampled"] is False
        assert baseline.notes["converged"] is True


def test_the_default_is_what_scikit_learn_gives_as_it_comes(fitted):
    vectorizer = TfidfVectorizer(ngram_range=(1, 2))
    model = LogisticRegression(C=1).fit(vectorizer.fit_transform(TRAIN[0]), TRAIN[1])
    expected = model.predict_proba(vectorizer.transform(TEST[0]))[:, 1]
    np.testing.assert_allclose(fitted[1].probabilities, expected, atol=1e-6)
    assert fitted[1].notes["C"] == 1.0
    assert fitted[1].notes["ngrams"] == len(vectorizer.vocabulary_)


def test_every_grid_point_is_what_scikit_learn_gives_when_it_counts_again(fitted):
    validation_texts, validation_labels = VALIDATION
    grid = fitted[0].notes["grid"]
    assert [(point["min_df"], point["C"]) for point in grid] == [
        (min_df, c) for min_df in (1, 2) for c in (0.1, 1.0, 10.0)
    ]
    for point in grid:
        vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=point["min_df"])
        model = LogisticRegression(C=point["C"], tol=1e-8, max_iter=1000)
        model.fit(vectorizer.fit_transform(TRAIN[0]), TRAIN[1])
        metrics = score(
            validation_labels, model.predict_proba(vectorizer.transform(validation_texts))[:, 1]
        )
        assert point["ngrams"] == len(vectorizer.vocabulary_)
        assert point["validation_log_loss"] == pytest.approx(metrics.log_loss, abs=1e-4)
        assert point["validation_accuracy"] == metrics.accuracy
        if (point["C"], point["min_df"]) == (fitted[0].notes["C"], fitted[0].notes["min_df"]):
            np.testing.assert_allclose(
                fitted[0].probabilities,
                model.predict_proba(vectorizer.transform(TEST[0]))[:, 1],
                atol=1e-3,
            )


def test_the_point_with_the_lowest_validation_log_loss_is_taken(fitted):
    notes = fitted[0].notes
    best = min(notes["grid"], key=lambda point: point["validation_log_loss"])
    assert {name: notes[name] for name in best} == best
    assert notes["chosen_by"] == "validation_log_loss"


def test_log_loss_chooses_even_where_accuracy_would_choose_otherwise():
    # On mislabelled rows a model that is very sure loses much, though it is right more often.
    mislabelled = VALIDATION[1].copy()
    mislabelled[::6] = 1 - mislabelled[::6]
    two = BaselineSettings(regularizations=(1.0, 1_000.0), min_document_counts=(2,))
    tuned, _ = fit_tfidf_logreg(*TRAIN, VALIDATION[0], mislabelled, TEST[0], two, SEED)
    timid, bold = tuned.notes["grid"]
    assert bold["validation_accuracy"] > timid["validation_accuracy"]
    assert bold["validation_log_loss"] > timid["validation_log_loss"]
    assert tuned.notes["C"] == timid["C"] == 1.0


def test_validation_rows_of_another_kind_lead_to_another_choice(fitted):
    texts, labels = VALIDATION
    misled, default = fit_tfidf_logreg(*TRAIN, texts, 1 - labels, TEST[0], GRID, SEED)
    # Against inverted labels the most timid model loses least.
    assert misled.notes["C"] == 0.1
    assert fitted[0].notes["C"] > 0.1
    # Validation rows choose; they do not teach.
    np.testing.assert_array_equal(default.probabilities, fitted[1].probabilities)


def test_test_rows_do_not_influence_the_fit(fitted):
    texts = [*TEST[0][:40], *(["lovely rude unheard"] * 500)]
    changed = fit_tfidf_logreg(*TRAIN, *VALIDATION, texts, GRID, SEED)
    for before, after in zip(fitted, changed, strict=True):
        np.testing.assert_array_equal(after.probabilities[:40], before.probabilities[:40])
        assert after.notes == before.notes


def test_the_same_call_gives_the_same_bits(fitted):
    again = fit_tfidf_logreg(*TRAIN, *VALIDATION, TEST[0], GRID, SEED)
    for before, after in zip(fitted, again, strict=True):
        np.testing.assert_array_equal(after.probabilities, before.probabilities)
        assert after.notes == before.notes


def test_a_point_does_not_depend_on_the_rest_of_the_grid(fitted):
    c, min_df = fitted[0].notes["C"], fitted[0].notes["min_df"]
    alone = BaselineSettings(regularizations=(c,), min_document_counts=(min_df,))
    tuned, _ = fit_tfidf_logreg(*TRAIN, *VALIDATION, TEST[0], alone, SEED)
    np.testing.assert_array_equal(tuned.probabilities, fitted[0].probabilities)


def test_a_column_of_a_frame_with_any_index_serves_as_texts(fitted):
    texts = pd.Series(TRAIN[0], index=np.arange(300)[::-1])
    tuned, _ = fit_tfidf_logreg(texts, TRAIN[1], *VALIDATION, TEST[0], GRID, SEED)
    np.testing.assert_array_equal(tuned.probabilities, fitted[0].probabilities)


def test_more_rows_than_allowed_are_sampled_and_this_is_said(fitted):
    few = GRID.model_copy(update={"max_rows": 120})
    for baseline in fit_tfidf_logreg(*TRAIN, *VALIDATION, TEST[0], few, SEED):
        assert baseline.notes["train_rows"] == 120
        assert baseline.notes["train_rows_available"] == 300
        assert baseline.notes["sampled"] is True


def test_the_sample_follows_from_seed_and_content_not_from_the_order_of_rows():
    few = GRID.model_copy(update={"max_rows": 120})
    order = np.random.default_rng(0).permutation(300)
    shuffled = [TRAIN[0][row] for row in order], TRAIN[1][order]

    def fit_default(train, seed):
        return fit_tfidf_logreg(*train, *VALIDATION, TEST[0], few, seed)[1].probabilities

    original = fit_default(TRAIN, SEED)
    np.testing.assert_allclose(fit_default(shuffled, SEED), original, atol=1e-5)
    assert np.abs(fit_default(TRAIN, SEED + 1) - original).max() > 1e-3


def test_document_counts_that_no_ngram_reaches_are_left_out_of_the_grid():
    sparse = BaselineSettings(regularizations=(1.0,), min_document_counts=(1, 1_000))
    tuned, _ = fit_tfidf_logreg(*TRAIN, *VALIDATION, TEST[0], sparse, SEED)
    assert [point["min_df"] for point in tuned.notes["grid"]] == [1]


@pytest.mark.parametrize(
    "settings",
    [
        GRID.model_copy(update={"min_document_counts": (1_000,)}),
        GRID.model_copy(update={"regularizations": ()}),
    ],
)
def test_a_grid_without_a_point_is_refused(settings):
    with pytest.raises(SentiflowError, match=r"needs a grid point.*min_document_counts=\(1"):
        fit_tfidf_logreg(*TRAIN, *VALIDATION, TEST[0], settings, SEED)


def test_one_class_among_the_training_rows_is_refused():
    with pytest.raises(SentiflowError, match=r"both classes.*300 rows, labels \[1\]"):
        fit_tfidf_logreg(TRAIN[0], np.ones(300, dtype=np.int8), *VALIDATION, TEST[0], GRID, SEED)


def test_training_texts_without_words_are_refused_without_showing_them():
    with pytest.raises(SentiflowError, match="2 texts without any"):
        fit_tfidf_logreg(["a", "!"], np.array([0, 1]), *VALIDATION, TEST[0], GRID, SEED)


def test_texts_of_unknown_words_get_an_answer(fitted):
    tuned, default = fit_tfidf_logreg(*TRAIN, *VALIDATION, ["", "unheard of"], GRID, SEED)
    for baseline in (tuned, default):
        assert baseline.probabilities[0] == baseline.probabilities[1]
        assert 0.5 < baseline.probabilities[0] < 0.8
