"""Lay out Great Expectations' rendered checks as one HTML page that needs no network.

GX's own page loads its styles and scripts from seven other sites; without them it is a bare
list. This page holds the same sections, with the few styles that they need written into it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from sentiflow.pages import render_page

_TEMPLATE: Final = Path(__file__).with_name("templates") / "docs_page.html"


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
    values = {"title": title, "verdict": verdict, "sentences": sentences, "tables": tables}
    return render_page(_TEMPLATE, values)
