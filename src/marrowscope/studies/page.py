"""The page of a study: tables and figures in Markdown for the repository and as one HTML file that needs no network."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from textwrap import indent

from marrowscope.files import whole_file
from marrowscope.studies.numbers import NOT_RUN, NOTHING

SILENT = frozenset({"", NOTHING, NOT_RUN, "none", "not given"})
"""Cells that say neither a word nor a number."""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text; ``notes`` stand below it, one line each. Raises ``ValueError`` for a row of another length."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.head):
                raise ValueError(f"{self.title}: expected {len(self.head)} cells a row, found {len(row)}: {row}")

    @property
    def words(self) -> tuple[bool, ...]:
        """Which columns hold words, and stand on the left: the first, and those with more words than numbers."""
        found = [True]
        for place in range(1, len(self.head)):
            told = [row[place] for row in self.rows if row[place] not in SILENT]
            numbers = sum(sum(map(str.isdigit, cell)) > sum(map(str.isalpha, cell)) for cell in told)
            found.append(2 * numbers < len(told))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Figure:
    """An SVG picture; ``name`` is its file beside the Markdown page, without ending."""

    title: str
    name: str
    svg: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Photograph:
    """A JPEG picture, shown ``width`` px wide where there is room; ``alt`` is for who does not see it."""

    title: str
    name: str
    jpeg: bytes
    width: int
    alt: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """Paragraphs under a heading."""

    title: str
    paragraphs: tuple[str, ...]


Block = Table | Figure | Photograph | Text


@dataclass(frozen=True, slots=True)
class Page:
    """What is written: a title, what the data are, and the blocks in order."""

    title: str
    intro: tuple[str, ...]
    command: str
    blocks: tuple[Block, ...]


def write_page(page: Page, path: Path) -> list[Path]:
    """Write ``NAME.md``, ``NAME.html`` and, in the folder ``NAME``, one SVG a figure and one JPEG a photograph; each
    file whole or not at all.
    """
    written = [path, path.with_suffix(".html")]
    for block in page.blocks:
        if isinstance(block, Figure):
            written.append(path.parent / path.stem / f"{block.name}.svg")
            _write(written[-1], block.svg.encode())
        elif isinstance(block, Photograph):
            written.append(path.parent / path.stem / f"{block.name}.jpg")
            _write(written[-1], block.jpeg)
    _write(path, markdown(page, path.stem).encode())
    _write(written[1], html(page).encode())
    return written


def markdown(page: Page, folder: str) -> str:
    """The page as Markdown; figures are linked from ``folder``."""
    lines = [f"# {page.title}", "", *_spaced(page.intro), indent(page.command, "    "), ""]
    for block in page.blocks:
        lines += [f"## {block.title}", ""]
        match block:
            case Table():
                lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in (block.head,)]
                lines += ["|" + "".join("---|" if words else "---:|" for words in block.words)]
                lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in block.rows]
                lines += ["", *_spaced(block.notes)]
            case Figure():
                lines += [f"![{_cell(block.title)}]({folder}/{block.name}.svg)", "", *_spaced(block.notes)]
            case Photograph():
                lines += [f"![{_cell(block.alt)}]({folder}/{block.name}.jpg)", "", *_spaced(block.notes)]
            case Text():
                lines += _spaced(block.paragraphs)
    return "\n".join(lines).rstrip() + "\n"


_STYLE = """
@page{size:A4 landscape;margin:12mm}
body{font:15px/1.5 system-ui,sans-serif;max-width:88rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}
table{border-collapse:collapse;font-size:12px;line-height:1.35;display:block;overflow-x:auto}
th,td{padding:.2rem .45rem;border-bottom:1px solid #ddd;text-align:right;vertical-align:top}
th{vertical-align:bottom}
.words{text-align:left}
th:first-child,td:first-child{min-width:11rem}
.whole{white-space:nowrap}
pre{background:#f4f4f4;padding:.6rem;white-space:pre-wrap;overflow-wrap:anywhere}
.note{font-size:13px;color:#444}
svg,img{max-width:100%;height:auto}
@media print{
body{font-size:12px;max-width:none;margin:0;padding:0}
table{display:table;font-size:9px}
th,td{padding:.15rem .3rem}
.note{font-size:10px}
h2{break-after:avoid}
tr,svg,img{break-inside:avoid}
svg,img{max-height:165mm}
img{width:auto}
}
"""


def html(page: Page) -> str:
    """The page as one HTML file: no script, and no picture or font from elsewhere."""
    body = [f"<h1>{escape(page.title)}</h1>", *(f"<p>{escape(words)}</p>" for words in page.intro)]
    body.append(f"<pre>{escape(page.command)}</pre>")
    for block in page.blocks:
        body.append(f"<h2>{escape(block.title)}</h2>")
        match block:
            case Table():
                sides = [' class="words"' if words else "" for words in block.words]
                head = "".join(f"<th{side}>{escape(cell)}</th>" for cell, side in zip(block.head, sides, strict=True))
                rows = (
                    "".join(f"<td{side}>{_breakable(cell)}</td>" for cell, side in zip(row, sides, strict=True))
                    for row in block.rows
                )
                body.append(
                    f"<table><thead><tr>{head}</tr></thead><tbody><tr>{'</tr><tr>'.join(rows)}</tr></tbody></table>"
                )
                body += [f'<p class="note">{escape(note)}</p>' for note in block.notes]
            case Figure():
                body += [block.svg, *(f'<p class="note">{escape(note)}</p>' for note in block.notes)]
            case Photograph():
                source = f"data:image/jpeg;base64,{b64encode(block.jpeg).decode('ascii')}"
                body.append(f'<img src="{source}" width="{block.width}" alt="{escape(block.alt)}">')
                body += [f'<p class="note">{escape(note)}</p>' for note in block.notes]
            case Text():
                body += [f"<p>{escape(words)}</p>" for words in block.paragraphs]
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{escape(page.title)}</title><style>{_STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body>"
        "</html>\n"
    )


_WHOLE = re.compile(r"\N{MINUS SIGN}?[\d.,]+ (?:± [\d.]+;?|\([^()]*\))")


def _breakable(cell: str) -> str:
    """A cell as HTML that breaks between numbers and never inside an interval."""
    return _WHOLE.sub(lambda found: f'<span class="whole">{found[0]}</span>', escape(cell))


def _spaced(paragraphs: Sequence[str]) -> list[str]:
    return [line for words in paragraphs for line in (words, "")]


def _cell(words: str) -> str:
    return words.replace("|", "\\|").replace("\n", " ")


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as beside:
        beside.write_bytes(content)
