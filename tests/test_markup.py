"""That what people and files chose shows as it is on pages of Markdown, and does nothing."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import mistune
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from flows import score
from sentiflow.data.checks.docs_page import lay_out_page
from sentiflow.markup import escape_markdown, fence_markdown
from sentiflow.notices.messages import compose_notices
from sentiflow.release.state import Event
from sentiflow.release.story import tell_stories
from sentiflow.reporting.record import NightRecord
from sentiflow.reporting.summary import format_markdown
from sentiflow.serving.scoring import Scored
from sentiflow.settings import NoticeSettings

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</code><script>alert(1)</script>",
    "[win](javascript:alert(1))",
    "![pixel](https://evil.example/a.png)",
    "<https://evil.example>",
    "https://evil.example/?a=1 and www.evil.example",
    "a | b\n|---|---|\n| c | d |",
    "\n\n# A heading\n\n- a list\n\n> quoted",
    "`` ` `` ``` code",
    "&lt;b&gt; &#60;b&#62; &amp;",
    "[a]: javascript:alert(1)\n[a]",
    "**bold** _slanted_ ~~gone~~ __x__",
    "1. one\n2. two",
    "--- \n===",
    "\\[x](y) \\",
    "reviews_2024_final.jsonl, data.max_rejected_share=0.1",
    "\u202egnp.exe\x00 \ud83d\ude00",
]
RENDERERS = {
    "markdown-it": MarkdownIt("gfm-like", {"html": True, "linkify": False}).render,
    "mistune": mistune.create_markdown(escape=False, plugins=["table", "strikethrough", "url"]),
}


class _Page(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not attrs or tag in ("th", "td", "meta", "html"), (tag, attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def fold(text: str) -> str:
    shown = re.sub("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]", " ", text)
    return " ".join(shown.split())


chosen = st.one_of(
    st.sampled_from(HOSTILE), st.text(max_size=40), st.text("<>[]()!`*_~|\\#-+=&;:.1a \n")
)


@pytest.mark.parametrize("renderer", RENDERERS)
@given(text=chosen)
@example(text=HOSTILE[0])
def test_a_text_shows_as_it_is_and_is_nothing_else(renderer: str, text: str) -> None:
    page = _Page(str(RENDERERS[renderer](f"Before.\n\n- It: {escape_markdown(text)}\n")))
    assert page.tags == ["p", "ul", "li"], page.tags
    assert fold(page.text) == fold(f"Before. It: {text}")


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("text", HOSTILE)
def test_at_the_start_of_a_line_too(renderer: str, text: str) -> None:
    page = _Page(str(RENDERERS[renderer](escape_markdown(text))))
    assert page.tags == ["p"]
    assert fold(page.text) == fold(text)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_findings_cannot_end_their_block_of_code(renderer: str) -> None:
    text = "\n".join(["````", *HOSTILE, "```", "<b>"])
    assert _Page(str(RENDERERS[renderer](fence_markdown(text)))).tags == ["pre", "code"]


def make_record(text: str) -> NightRecord:
    return NightRecord(
        night="2026-11-24", model=text, outcome="promoted", reasons=[text], warnings=[text],
        version=4, champion_version=4, no_champion=text,
        rows=dict.fromkeys(
            ("read", "quarantined", "superseded", "left_out", "train", "validation", "test"), 1
        ),
        metrics={"accuracy": 0.9}, baselines={text: {"accuracy": 0.8}}, seconds={"total": 1.0},
    )  # fmt: skip


ALLOWED = {
    "h1",
    "h2",
    "ul",
    "li",
    "p",
    "strong",
    "code",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
}


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("text", HOSTILE)
def test_summaries_and_stories_hold_no_tag_of_somebody_elses(
    renderer: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = Event(
        model=text, sequence=1, time=datetime(2026, 1, 1, tzinfo=UTC), kind="promoted", actor=text,
        reason=text, lineage="abc", to_version=4, details={"night": text},
    )  # fmt: skip
    kept: list[str] = []
    monkeypatch.setattr(
        score, "create_markdown_artifact", lambda **given: kept.append(given["markdown"])
    )
    score.publish(text, 4, Scored(9, 8, 1, text, 0, 1.0, 8.0, text))
    stories = [story.description for story in tell_stories([event]).values()]
    plain = {tag: _count(tag, renderer, "plain") for tag in ALLOWED}
    page = _Page(str(RENDERERS[renderer](format_markdown(make_record(text)))))
    assert {tag: page.tags.count(tag) for tag in ALLOWED} == plain
    assert set(page.tags) <= ALLOWED
    for markdown in [*kept, *stories]:
        assert set(_Page(str(RENDERERS[renderer](markdown))).tags) <= ALLOWED
        assert fold(text) in fold(_Page(str(RENDERERS[renderer](markdown))).text)


def _count(tag: str, renderer: str, text: str) -> int:
    return _Page(str(RENDERERS[renderer](format_markdown(make_record(text))))).tags.count(tag)


@pytest.mark.parametrize("text", HOSTILE)
def test_the_page_of_data_checks_holds_none_either(text: str) -> None:
    page = _Page(lay_out_page(text, text, [text], {text: "<table></table>"}))
    assert not {"script", "img", "a", "b"} & set(page.tags)
    assert fold(text) in fold(page.text)


def test_a_notice_mentions_and_links_nobody_in_its_title_either() -> None:
    record = make_record("<!channel> <https://evil.example|here>")
    (notice,) = compose_notices(record, NoticeSettings())
    assert "<" not in notice.text
    assert "<" not in notice.title
