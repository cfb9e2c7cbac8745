import pytest

from sentiflow.gate.odd_texts import make_odd_texts

TEXTS = make_odd_texts()


def test_there_are_a_thousand_and_always_the_same() -> None:
    assert len(TEXTS) == 1_000
    assert make_odd_texts() == TEXTS
    assert make_odd_texts(seed=1) != TEXTS
    assert [len(make_odd_texts(count)) for count in (0, 1, 3, 50)] == [0, 1, 3, 50]


@pytest.mark.parametrize(
    "is_odd",
    [
        lambda text: text == "",
        lambda text: 1 < len(text) < 9 and text.isalpha() and text.isascii(),
        lambda text: len(text.split()) == 10_000,
        lambda text: "\u200d" in text,
        lambda text: "\U0001f1e9" in text,
        lambda text: "\u0627" in text,
        lambda text: "<script>" in text,
        lambda text: "\x00" in text,
        lambda text: any("\ud800" <= character <= "\udfff" for character in text),
        lambda text: any("\u0300" <= character <= "\u036f" for character in text),
        lambda text: len(text) > 4_000 and " " not in text,
        lambda text: text != "" and set(text) <= set("0123456789.,"),
        lambda text: text != "" and text.strip() == "",
        lambda text: "\ufeff" in text,
        lambda text: any("\ue000" <= character <= "\uf8ff" for character in text),
        lambda text: "DROP TABLE" in text,
    ],
)
def test_every_family_is_among_them(is_odd: object) -> None:
    assert sum(map(is_odd, TEXTS)) >= 1


def test_together_they_are_answered_in_seconds() -> None:
    assert sum(map(len, TEXTS)) < 2_000_000
