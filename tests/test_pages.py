"""Pages are templates with values."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest

from sentiflow.pages import render_page


def write(folder: Path, text: str) -> Path:
    path = folder / "page.html"
    path.write_text(text)
    return path


def test_values_are_escaped_also_after_a_filter_and_safe_is_said_in_the_template(
    tmp_path: Path,
) -> None:
    page = write(tmp_path, "{{ a }} {{ a|twice }} {{ b|safe }}")
    values = {"a": "<i>", "b": "<table>"}
    filters = {"twice": lambda text: 2 * text}
    assert render_page(page, values, filters) == "&lt;i&gt; &lt;i&gt;&lt;i&gt; <table>"


def test_a_name_without_a_value_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(jinja2.UndefinedError):
        render_page(write(tmp_path, "{{ missing }}"), {})
