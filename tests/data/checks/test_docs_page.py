"""The page around Great Expectations' tables."""

from sentiflow.data.checks.docs_page import lay_out_page


def test_the_page_holds_title_verdict_sentences_and_tables_in_this_order() -> None:
    page = lay_out_page("The title", "The verdict.", ["One.", "Two."], {"Heading": "<table>1"})
    places = [
        page.index(part)
        for part in (
            "<h1>The title</h1>",
            "<p>The verdict.</p>",
            "<li>One.</li>",
            "<li>Two.</li>",
            "<h2>Heading</h2>\n<table>1",
        )
    ]
    assert places == sorted(places)


def test_plain_text_is_escaped() -> None:
    page = lay_out_page("a<b", "c<d", ["e<f"], {"g<h": ""})
    for escaped in ("a&lt;b", "c&lt;d", "e&lt;f", "g&lt;h"):
        assert escaped in page
    for raw in ("a<b", "c<d", "e<f", "g<h"):
        assert raw not in page


def test_the_page_needs_no_network_and_no_script() -> None:
    page = lay_out_page("t", "v", ["s"], {"h": "<table></table>"})
    for part in ("http", "//", "<script", "<link", "@import", "url("):
        assert part not in page


def test_a_page_without_sentences_has_no_empty_list() -> None:
    assert "<ul>" not in lay_out_page("t", "v", [], {})
