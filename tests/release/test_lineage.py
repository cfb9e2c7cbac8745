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
