import pytest

from sentiflow.errors import LineageError
from sentiflow.release.lineage import check_lineage, describe_lineage
from sentiflow.settings import Settings, load_settings


def lineage(*overrides: str, is_sample: bool = False):
    return describe_lineage(load_settings(None, overrides), is_sample)


def test_the_sample_is_always_a_model_of_its_own() -> None:
    assert lineage("model.name=production", is_sample=True).name == "sentiflow-sample"


def test_a_category_is_a_model_of_its_own() -> None:
    assert lineage("data.category=Hair Salons & Spas").name == "sentiflow-hair-salons-spas"
    assert lineage().name == "sentiflow"


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("data.positive_above=4", "data.positive_above"),
        ("data.neutral=leave_out", "data.neutral"),
        ("split.test_share=0.2", "split.test_share"),
        ("split.validation_share=0.2", "split.validation_share"),
        ("data.columns.label=label", "data.target"),
        ("data.stars_scale=0-4", "data.stars_scale"),
    ],
)
def test_a_changed_key_is_refused_by_name(override: str, key: str) -> None:
    registered = lineage().as_tags()
    with pytest.raises(LineageError, match=key.replace(".", r"\.")):
        check_lineage(lineage(override), registered)
    assert lineage(override).digest != lineage().digest


@pytest.mark.parametrize("override", ["training.epochs=1", "network.cell=gru", "tokens.length=9"])
def test_models_of_another_shape_may_be_compared(override: str) -> None:
    check_lineage(lineage(override), lineage().as_tags())
    assert lineage(override).digest == lineage().digest


def test_a_name_that_is_not_registered_yet_has_no_lineage_to_differ_from() -> None:
    check_lineage(describe_lineage(Settings(), is_sample=False), {})
    check_lineage(describe_lineage(Settings(), is_sample=False), {"someone": "else"})


LABELLED = "data.columns.label=label"
OWN = 'data.labels={positive=["Good", 2], negative=["bad"]}'


@pytest.mark.parametrize("labels", ["data.labels=0/4", "data.labels=-1/0/1", OWN])
def test_other_labels_are_another_lineage_there_and_back(labels: str) -> None:
    usual, other = lineage(LABELLED), lineage(LABELLED, labels)
    assert usual.digest != other.digest
    for tonight, before in ((usual, other), (other, usual)):
        with pytest.raises(LineageError, match=r"data\.labels"):
            check_lineage(tonight, before.as_tags())
    check_lineage(other, other.as_tags())


def test_the_same_labels_in_another_order_are_the_same_lineage() -> None:
    again = 'data.labels={negative=["BAD "], positive=["2.0", "good"]}'
    assert lineage(LABELLED, OWN).digest == lineage(LABELLED, again).digest


def test_labels_play_no_part_beside_stars_nor_a_scale_beside_labels() -> None:
    assert lineage("data.labels=0/4").digest == lineage().digest
    assert lineage(LABELLED, "data.stars_scale=0-4").digest == lineage(LABELLED).digest


def test_a_model_from_before_labels_and_scales_could_be_set_is_continued() -> None:
    # Tags and digests as commit b0e1101 wrote them.
    before = {
        "sentiflow.lineage.data.category": "",
        "sentiflow.lineage.data.neutral": "keep",
        "sentiflow.lineage.data.positive_above": "3",
        "sentiflow.lineage.data.target": "stars",
        "sentiflow.lineage.normalizer": "1",
        "sentiflow.lineage.split.test_share": "0.15",
        "sentiflow.lineage.split.validation_share": "0.1",
    }
    check_lineage(lineage(), {"sentiflow.lineage": "873af1668ee1b081", **before})
    assert lineage().digest == "873af1668ee1b081"
    labelled = {**before, "sentiflow.lineage.data.target": "label"}
    check_lineage(lineage(LABELLED), labelled)
    assert lineage(LABELLED).digest == "b2b9c2e9491e1da7"
    with pytest.raises(LineageError, match=r"data\.stars_scale is 0-4 and was 1-5"):
        check_lineage(lineage("data.stars_scale=0-4"), before)
