"""Count the long sentences of README and docs, and list them.

    python tools/plain_words.py
    python tools/plain_words.py docs/gate.md --words 25

A sentence of more than 30 words is long. Tables, code, headings and HTML are left out. A piece of code within a
sentence counts as one word. Exit 1: more than 5 % of all sentences are long.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORDS = 30
SHARE = 0.05
"""Greatest share of the sentences that may have more than `WORDS` words."""

_FENCE = re.compile(r"^ *(```|~~~)")
_BULLET = re.compile(r"^ *(?:[-*+]|\d+\.) +")
_LEFT_OUT = re.compile(r"^ *(?:\||#|<|!\[|\[[^\]]+\]: )")
_INLINE = (
    (re.compile(r"<!--.*?-->|</?[a-zA-Z][^>]*>"), ""),
    (re.compile(r"!\[[^\]]*\]\([^)]*\)"), ""),
    (re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)"), "Code"),
    (re.compile(r"\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"[*_]{1,3}(?=\S)|(?<=\S)[*_]{1,3}"), ""),
)
"""Marks within a line of Markdown, and the text that a reader sees in their place."""

_ABBREVIATIONS = {"e.g.", "i.e.", "etc.", "vs.", "cf.", "ca.", "al.", "approx.", "fig.", "no.", "p.", "pp.", "dr."}
_INITIAL = re.compile(r"[^\W\d_]\.")
_END = re.compile(r"[.!?]+[\"'”’)\]]*$")


def blocks(markdown: str) -> Iterator[str]:
    """Paragraphs and list items of a page, each on one line, without tables, code, headings and HTML."""
    lines: list[str] = []
    fenced = listed = False
    for line in [*markdown.splitlines(), ""]:
        if _FENCE.match(line):
            fenced = not fenced
        bullet = _BULLET.match(line)
        code = line.startswith("    ") and not lines and not listed
        if fenced or not line.strip() or bullet or _LEFT_OUT.match(line) or _FENCE.match(line) or code:
            if lines:
                yield " ".join(lines)
            lines = [line[bullet.end() :]] if bullet and not fenced and not code else []
        else:
            lines.append(line.strip())
        if line.strip():
            listed = bool(bullet) or (listed and line.startswith(" "))
    if lines:
        yield " ".join(lines)


def sentences(block: str) -> list[str]:
    """Sentences of a paragraph. Abbreviations, initials, decimals and file names do not end one."""
    for pattern, seen in _INLINE:
        block = pattern.sub(seen, block)
    found: list[list[str]] = [[]]
    for word in block.split():
        found[-1].append(word)
        bare = word.lstrip("(\"'“‘[")
        if _END.search(word) and not (bare.lower() in _ABBREVIATIONS or _INITIAL.fullmatch(bare) or bare == "..."):
            found.append([])
    return [" ".join(words) for words in found if n_words(" ".join(words))]


def n_words(sentence: str) -> int:
    """Number of words: signs that stand alone, such as a dash, are none."""
    return sum(any(letter.isalnum() for letter in word) for word in sentence.split())


def sentences_of(files: Iterable[Path]) -> list[tuple[Path, str]]:
    """Every sentence of some pages, with the page that it stands on."""
    return [
        (file, sentence)
        for file in files
        for block in blocks(file.read_text(encoding="utf-8"))
        for sentence in sentences(block)
    ]


def pages() -> list[Path]:
    """README and all pages of docs."""
    return sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def main() -> int:
    """Count and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="pages to read (default: README.md and docs/**/*.md)")
    parser.add_argument("--words", type=int, default=WORDS, help="a sentence with more words is long (default: 30)")
    given = parser.parse_args()
    every = sentences_of(given.files or pages())
    long = [(file, sentence) for file, sentence in every if n_words(sentence) > given.words]
    for file, sentence in long:
        print(f"{file.name}, {n_words(sentence)} words: {sentence}")
    for file in dict.fromkeys(file for file, _ in every):
        own, all_own = (sum(file == other for other, _ in some) for some in (long, every))
        print(f"{own:4} of {all_own:4} sentences long  {file.name}")
    share = len(long) / max(len(every), 1)
    print(f"{len(long)} of {len(every)} sentences have more than {given.words} words: {share:.1%}")
    return int(share > SHARE)


if __name__ == "__main__":
    raise SystemExit(main())
