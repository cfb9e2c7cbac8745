"""What a reader yields, and how it says that something is no row.

Every reader yields, in file order, either a row with its approximate size in bytes or a
Rejection. A row is a tuple: file, line, then one value per wanted column, as read.
"""

from __future__ import annotations

from sentiflow.data.reading.json_rows import Row
from sentiflow.data.reviews import Rejection

Record = tuple[Row, int] | Rejection


def report_damage(file: str, line: int, damage: str, raw: str) -> Rejection:
    """Return the one rejection that stands for all that is missing behind a damage."""
    clause = " ".join(damage.split())[:200]
    reason = f"The file is truncated or damaged from here on ({clause}); rows before it count."
    return Rejection(file, line, "truncated_file", reason, None, raw)


def reject_long(file: str, line: int, length: int, raw: str) -> Rejection:
    """Return the rejection of a line that is too long to be held."""
    reason = f"The line or row has at least {length} bytes, more than data.max_line_bytes allows."
    return Rejection(file, line, "line_too_long", reason, None, raw)


def reject_undecodable(file: str, line: int, codec: str, raw: str) -> Rejection:
    """Return the rejection of a line with bytes that do not belong to the encoding."""
    reason = (
        f"The bytes are not {codec}: data.encoding must name the encoding of the file, "
        "such as utf-8, cp1252 or utf-16."
    )
    return Rejection(file, line, "not_decodable", reason, None, raw)
