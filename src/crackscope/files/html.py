"""Tables as HTML: how a result shows itself in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["html_table"]


def html_table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay texts out in a table, without style of its own; each text is escaped.

    Args:
        caption: The line above the table.
        columns: Titles of the columns.
        rows: Cells of each row; the first names the row.

    Example:
        >>> html_table("a & b", ["Label", "n"], [["crack", "7"]]).removeprefix("<table><caption>a &amp; b</caption>")
        '<thead><tr><th>Label</th><th>n</th></tr></thead><tbody><tr><th>crack</th><td>7</td></tr></tbody></table>'
    """
    head = "".join(f"<th>{escape(title)}</th>" for title in columns)
    body = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for name, *cells in rows
    )
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
