"""A page of HTML, read without a browser."""

from __future__ import annotations

import html.parser


class ReadPage(html.parser.HTMLParser):
    """Contents of a page: text, words, tags, addresses. A page that is not well formed fails.

    Attributes:
        tags: Every tag, as it is opened.
        fetched: Addresses that a browser would fetch, or go to.
        n_images: Pictures, each of which says in words what it shows.
        text: What can be read, without styles.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.n_images = 0
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.fetched += [value for name in ("src", "href") if (value := given.get(name)) is not None]
        if tag == "img":
            self.n_images += 1
            assert given.get("alt")
        if tag not in ("meta", "img", "br", "link"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += "" if "style" in self._open else data
