"""Write what people and files chose into Markdown, so that it shows as it is and does nothing.

Prefect's pages and MLflow's notes are Markdown, and Markdown takes HTML: a reason, a name or a
path that goes in unescaped can be a picture, a link or a script on somebody's page.
"""

from __future__ import annotations

import re
from typing import Final

# What begins or ends anything within a line; "(" and "!" do so only beside a bracket.
_INLINE: Final = re.compile(r"[\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_])")
# What makes a line more than a paragraph: a heading, a list, a quotation, a rule, a table.
# Escaped by backslashes, because Prefect's page shows entities of numbers as they are written.
_AT_START: Final = re.compile(r"^(?=[#+=:-])|^\d+(?=[.)](\s|$))")
_ENTITIES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})
# Signs that do not show, and those that turn the order of others around.
_HIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
# A scheme and what follows it would become a link in renderers that look for addresses.
_ADDRESS: Final = re.compile(r"(?<=[A-Za-z0-9])(?=://)|(?<=www)(?=\.)", re.IGNORECASE)


def escape_markdown(text: object) -> str:
    r"""Return a text as one line of Markdown that shows it and is nothing else.

    >>> escape_markdown("[win](javascript:x) <b>|")
    '\\[win\\](javascript:x) &lt;b&gt;\\|'
    >>> escape_markdown("data.max_rejected_share is 0.1")
    'data.max_rejected_share is 0.1'
    """
    line = " ".join(_HIDDEN.sub(" ", str(text)).split())
    line = _INLINE.sub(r"\\\g<0>", line).translate(_ENTITIES)
    line = _ADDRESS.sub(r"\\", line)
    return _AT_START.sub(r"\g<0>\\", line, count=1)


def fence_markdown(text: str) -> str:
    """Return a text of several lines as a block of code that it cannot end itself."""
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"
