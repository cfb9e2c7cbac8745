import re
import tomllib
from pathlib import Path

import pytest

from sentiflow.errors import SettingsError
from sentiflow.settings import (
    LedgerSettings,
    NetworkSettings,
    Settings,
    TokenSettings,
    describe_settings,
    flatten_settings,
    list_keys,
    list_presets,
    load_settings,
    prepare_environment,
    read_home,
    resolve_ledger_url,
)

CONFIGS = Path(__file__).parents[1] / "configs"


def test_the_default_preset_is_the_defaults_and_names_every_key() -> None:
    written = tomllib.loads((CONFIGS / "default.toml").read_text())
    assert load_settings("default") == Settings()
    # None cannot be written in TOML: such keys are named in comments.
    named = set(flatten_settings(written))
    text = (CONFIGS / "default.toml").read_text()
    for key in set(list_keys()) - named:
        assert f"# {key.split('.')[-1]} =" in text, key


@pytest.mark.parametrize(
    "preset", ["default", "article-2018", "article-2018-verbatim", "rnn", "restaurants", "large"]
)
def test_every_preset_loads(preset: str) -> None:
    assert preset in list_presets()
    assert isinstance(load_settings(preset), Settings)


def test_the_articles_presets_are_the_articles_network() -> None:
    settings = load_settings("article-2018")
    assert settings.tokens == TokenSettings(vocabulary_size=2_500, length=879)
    assert settings.network == NetworkSettings(
        wide=False, cell="lstm", embedding=128, word_vectors="random", units=(196,),
        bidirectional=False,
        pooling="last", embedding_skip=False, word_dropout=0, embedding_dropout=0,
        input_dropout=0.2, recurrent_dropout=0.2, dropout=0,
    )  # fmt: skip
    assert (settings.training.epochs, settings.training.batch_size) == (1, 32)
    assert settings.data.positive_above == 3
    verbatim = load_settings("article-2018-verbatim")
    assert verbatim.training.pad_every_review_to == 879
    assert verbatim.network == settings.network


def test_later_sources_win(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[training]\nepochs = 5\nseed = 1\n")
    settings = load_settings(str(path), ["training.epochs=6", "training.epochs=7"])
    assert (settings.training.epochs, settings.training.seed) == (7, 1)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("network.units=[64, 32]", "network.units", (64, 32)),
        ("data.columns.text=Review", "data.columns.text", "Review"),
        ("data.columns.stars=none", "data.columns.stars", None),
        ("data.encoding=latin-1", "data.encoding", "latin-1"),
        ("network.bidirectional=false", "network.bidirectional", False),
        ("training.learning_rate=1e-2", "training.learning_rate", 0.01),
    ],
)
def test_overrides_take_toml_values_and_plain_words(override: str, key: str, value: object) -> None:
    settings = load_settings(None, [override, "data.columns.label=label"])
    held: object = settings
    for part in key.split("."):
        held = getattr(held, part)
    assert held == value


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.epoch=3", "training.epochs"),
        ("training.epochs=0", "training.epochs"),
        ("training.epochs=many", "training.epochs"),
        ("network.cell=transformer", "lstm"),
        ("training.epochs.deep=1", "training.epochs"),
        ("nothing", "group.key=value"),
        ("model.name=../etc", "model.name"),
        ("data.columns.stars=none", "data.columns"),
    ],
)
def test_a_mistake_is_named(override: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words.replace(".", r"\.")):
        load_settings(None, [override])


def test_an_optional_column_is_left_out_by_a_word_as_toml_has_none(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[data.columns]\ndate = "none"\nreview_id = " None "\nlabel = "x"\n')
    columns = load_settings(str(path)).data.columns
    assert (columns.date, columns.review_id, columns.label) == (None, None, "x")
    path.write_text('[data.columns]\ntext = "none"\n')
    assert load_settings(str(path)).data.columns.text == "none"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.labels=0/5", "0/4"),
        ('data.labels={positive=["a"]}', "negative"),
        ('data.labels={positive=["a"], negative=["A"]}', "one thing"),
        ("data.stars_scale=5", "1-10"),
        ("data.date_format=YYYY", "MM/DD"),
    ],
)
def test_a_notation_that_is_none_names_those_that_are(override: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        load_settings(None, [override])
    assert override.split("=")[0] in str(caught.value)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().training.epochs = 3


@pytest.mark.parametrize("content", [b"[training\n", b"\xff\xfe", b"[nothing]\na = 1\n"])
def test_a_broken_settings_file_is_a_settings_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"broken\.toml|nothing"):
        load_settings(str(path))


def test_settings_are_described_without_passwords_and_otherwise_as_they_are() -> None:
    overrides = (
        "ledger.url=postgresql://ledger:hunter2@db/ledger",
        "tracking.uri=https://ada:hunt/er2@mlflow",
        "network.units=[8, 4]",
    )
    settings = load_settings(None, overrides)
    described = describe_settings(settings)
    assert described["ledger"]["url"] == "postgresql://***@db/ledger"
    assert described["tracking"]["uri"] == "https://***@mlflow"
    plain = settings.model_dump(mode="json")
    for group, key in (("ledger", "url"), ("tracking", "uri")):
        plain[group][key] = described[group][key]
    assert described == plain


@pytest.mark.parametrize(
    "override",
    ["ledger.url=['postgresql://u:hunter2@db/x']", "ledger.url postgresql://u:hunter2@db"],
)
def test_a_mistake_is_named_without_its_password(override: str) -> None:
    with pytest.raises(SettingsError, match="postgresql") as caught:
        load_settings(None, [override])
    assert "hunter2" not in str(caught.value)


def test_the_ledgers_address_may_come_from_a_file(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SENTIFLOW_LEDGER_URL", raising=False)
    monkeypatch.delenv("SENTIFLOW_LEDGER_URL_FILE", raising=False)
    assert resolve_ledger_url(LedgerSettings(), home) == f"sqlite:///{home}/ledger.db"
    monkeypatch.setenv("SENTIFLOW_LEDGER_URL", "postgresql://variable/x")
    assert resolve_ledger_url(LedgerSettings(), home) == "postgresql://variable/x"
    (tmp_path / "secret").write_text("postgresql://file/x\n")
    monkeypatch.setenv("SENTIFLOW_LEDGER_URL_FILE", str(tmp_path / "secret"))
    assert resolve_ledger_url(LedgerSettings(), home) == "postgresql://file/x"
    settings = LedgerSettings(url="sqlite:////x.db")
    assert resolve_ledger_url(settings, home) == "sqlite:////x.db"


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("/proc/nope", "No such file"), ("a-file", "it is a file"), ("a-file/below", "Not a dir"),
        ("~nobody-of-this-name/home", "home directory"), ("a-circle", "loop"), ("x" * 300, "long"),
    ],
)  # fmt: skip
def test_a_home_that_cannot_be_one_is_told_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a-file").touch()
    Path("a-circle").symlink_to("a-circle")
    monkeypatch.setenv("SENTIFLOW_HOME", place)
    with pytest.raises(SettingsError, match="SENTIFLOW_HOME must be a folder") as caught:
        prepare_environment(read_home())
    assert reason in str(caught.value)
    assert Path(place).name in str(caught.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("traning.epochs=3", "training.epochs"),
        ("training.epoch=3", "training.epochs"),
        ("traning.epoch=3", "training.epochs"),
        ("epochs=3", "training.epochs"),
        ("Training.Epochs=3", "training.epochs"),
        ("training-epochs=3", "training.epochs"),
        ("data.colums.text=x", "data.columns.text"),
        ("columns.text=x", "data.columns.text"),
        ("margin=0.1", "gate.margin"),
        ("host=x", "serving.host or servers.host"),
        ("training=3", "training.epochs"),
    ],
)
def test_a_name_that_is_none_is_answered_with_the_one_that_was_meant(
    written: str, meant: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(meant)):
        load_settings(None, [written])


def test_a_name_that_is_like_none_gets_no_guess() -> None:
    with pytest.raises(SettingsError, match=r"no setting abacus\. See configs"):
        load_settings(None, ["abacus=3"])
