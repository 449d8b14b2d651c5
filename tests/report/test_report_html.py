"""The HTML page: what it says, that it needs nothing from outside, that nothing in it can act."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from marrowscope.report.html import TEMPLATES, render_html
from marrowscope.report.view import COMMENT_FIELDS
from marrowscope.taxonomy import CELL_TYPES

SHAPES = ("normal", "partial", "aml", "empty", "one", "long name", "strip", "tower")
VOID = {"meta", "img", "input", "br", "link", "hr"}


class Page(HTMLParser):
    """Collects text and attributes, and checks that every element is closed in its turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if not self._open or self._open[-1] not in ("style", "script"):
            self.words.append(data)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_content_gives_a_well_formed_page(content_of, shape):
    content = content_of(shape)
    page = render_html(content)
    text = Page(page).text
    assert len(page) < 3_000_000
    assert content.differential.title in text
    assert content.slide.label in text
    assert text.count("Research use only") == 1
    assert ("PHANTOM: generated slide, for demonstration and tests" in text) == content.pack.phantom
    for heading in (*COMMENT_FIELDS, "Conclusion", "Reviewed by", "Signature"):
        assert heading in text


def test_nothing_comes_from_outside(content_of):
    page = Page(render_html(content_of("normal")))
    assert {tag for tag, _, _ in page.attributes}.isdisjoint({"link", "iframe", "object", "base"})
    for tag, name, value in page.attributes:
        if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
            assert value.startswith("data:image/jpeg;base64,"), (tag, name)
    css = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    assert "url(" not in css
    assert "@import" not in css


def test_the_policy_of_the_page_forbids_all_but_its_own_script(content_of):
    page = render_html(content_of("normal"))
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(value for _, name, value in Page(page).attributes if name == "content" and "default-src" in value)
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


HOSTILE = "<script>alert(1)</script>&\"'><img src=x onerror=alert(1)>"


def test_names_and_notes_are_escaped(content_of):
    content = content_of("one")
    finding = replace(content.finding, notes=(HOSTILE,))
    slide = replace(content.slide, label=HOSTILE, properties={"stain": HOSTILE, "scanner": HOSTILE})
    differential = content.differential.model_copy(update={"stopped": HOSTILE, "notes": (HOSTILE,)})
    hostile = replace(
        content, slide=slide, finding=finding, differential=differential, case=HOSTILE, quality=(HOSTILE,)
    )
    page = render_html(hostile)
    assert page.count("<script>") == 1
    assert "<img src=x" not in page
    assert HOSTILE in Page(page).text


def test_only_the_label_names_the_slide(content_of):
    content = content_of("normal")
    page = Page(render_html(content))
    assert content.slide.properties["PatientName"] == "Doe"
    assert "Doe" not in page.text
    assert "/home/" not in page.text
    assert not any("Doe" in value for _, name, value in page.attributes if name != "src" and name != "href")


def test_a_region_file_is_not_named(content_of):
    content = content_of("one")
    run = dict(content.run) | {"options": {"cells": "all", "region": "/home/doe/doe-jane.geojson"}}
    text = Page(render_html(replace(content, run=run))).text
    assert "doe" not in text.lower()
    assert "region: from a file" in text


def rows_of(page: str) -> dict[str, str]:
    """Text of each row of the NDC table by the title of its type."""
    table = page[page.index('<table class="ndc">') : page.index("</table>")]
    rows = re.findall(r'<tr class="type.*?</tr>', table, re.DOTALL)
    texts = [Page(row).text.strip() for row in rows]
    titles = sorted((t.title for t in CELL_TYPES.values()), key=len, reverse=True)
    return {next(title for title in titles if text.startswith(title)): text for text in texts}


def test_what_the_pack_cannot_see_is_not_assessable_and_never_zero(content_of):
    content = content_of("partial")
    rows = rows_of(render_html(content))
    unseen = [row for row in content.differential.rows if not row.assessable]
    assert {"Blast", "Plasma cell"} <= {row.title for row in unseen}
    for row in unseen:
        assert "not assessable" in rows[row.title]
        assert "0.0" not in rows[row.title]


def test_the_table_holds_every_number_of_the_differential(content_of):
    content = content_of("normal")
    rows = rows_of(render_html(content))
    assert len(rows) == len(content.differential.rows)
    for row in content.differential.rows:
        if row.assessable:
            assert f" {row.count} " in rows[row.title]
            assert f"{row.percent_rounded:.1f}" in rows[row.title]
            assert f"{row.low:.1f}–{row.high:.1f}" in rows[row.title]


def test_rows_outside_the_reference_range_are_marked_but_not_in_a_partial_count(content_of):
    blasts = content_of("aml").differential.rows[0]
    assert blasts.low > blasts.reference_high
    assert "▲" in rows_of(render_html(content_of("aml")))["Blast"]
    partial = content_of("partial")
    metamyelocytes = next(row for row in partial.differential.rows if row.type == "metamyelocyte")
    assert metamyelocytes.low > metamyelocytes.reference_high
    assert "▲" not in render_html(partial)


def test_every_flag_is_a_sentence_with_its_verdict_in_words(content_of):
    content = content_of("aml")
    page = Page(render_html(content)).text.replace("\u202f", " ").replace("–", "-")
    for flag in content.differential.flags:
        assert flag.text.replace("–", "-") in page
    for word in {flag.verdict for flag in content.differential.flags}:
        assert word in page


def test_a_withheld_ratio_says_why_and_gives_no_number(content_of):
    content = content_of("partial")
    page = Page(render_html(content)).text
    figures = page[page.index("M:E ratio") : page.index("Flags")]
    assert "withheld" in figures
    assert "the differential is partial" in figures
    assert not re.search(r"\d\.\d\d", figures)


def test_the_gallery_begins_with_the_least_certain_of_each_type(content_of):
    content = content_of("normal")
    page = render_html(content)
    galleries = re.findall(r'<section class="gallery".*?</section>', page, re.DOTALL)
    assert len(galleries) == content.cells["type"].n_unique()
    for gallery in galleries:
        certainties = [float(value) for value in re.findall(r'data-certainty="([\d.]+)"', gallery)]
        assert 1 <= len(certainties) <= 12
        assert all(one <= next_one for one, next_one in pairwise(certainties))


def luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(scheme):
    css = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#\w{6})", part)) for part in css.split("@media screen and (prefers")[:2]
    )
    colours = light if scheme == "light" else light | dark
    pairs = [(ink, paper) for ink in ("ink", "soft", "accent") for paper in ("paper", "wash")]
    pairs += [(ink, "paper") for ink in ("alarm", "doubt", "calm", "notice")] + [("alarm-paper", "alarm")]
    for ink, paper in pairs:
        bright, dim = sorted((luminance(colours[ink]), luminance(colours[paper])), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, (scheme, ink, paper)


def test_the_same_content_gives_the_same_page(content_of):
    assert render_html(content_of("aml")) == render_html(content_of("aml"))
