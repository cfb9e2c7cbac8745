"""Lay out Great Expectations' rendered checks as one HTML page that needs no network.

GX's own page loads its styles and scripts from seven other sites; without them it is a bare
list. This page holds the same sections, with the few styles that they need written into it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --good: #18794e; --bad: #c62a2f; }
@media (prefers-color-scheme: dark) { :root { --good: #4cc38a; --bad: #ff8b8b; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 2rem 0 .4rem; }
.table-responsive { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; overflow-wrap: anywhere; }
th, td { border-bottom: 1px solid var(--line); }
th:first-child { width: 4rem; }
th:last-child { width: 8rem; }
td:last-child, th:last-child { text-align: right; font-variant-numeric: tabular-nums; }
.text-success, .text-danger { font-style: normal; font-weight: 600; }
.text-success { color: var(--good); }
.text-danger { color: var(--bad); }
.text-success::before { content: "passed"; }
.text-danger::before { content: "failed"; }
"""


def lay_out_page(
    title: str, verdict: str, sentences: Sequence[str], tables: Mapping[str, str]
) -> str:
    """Return a complete HTML page.

    Args:
        title: plain text of the heading.
        verdict: a plain sentence to stand below it.
        sentences: plain sentences, listed below the verdict.
        tables: HTML tables by their plain heading, as GX's component view gives them.

    Returns:
        A page without a script and without an address of any other page.
    """
    listed = "\n".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            "</head>",
            "<body>",
            f"<h1>{escape(title)}</h1>",
            f"<p>{escape(verdict)}</p>",
            f"<ul>\n{listed}\n</ul>" if sentences else "",
            *(f"<h2>{escape(heading)}</h2>\n{table}" for heading, table in tables.items()),
            "<p>Checked and rendered by Great Expectations.</p>",
            "</body>",
            "</html>",
            "",
        ]
    )
