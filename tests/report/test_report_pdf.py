"""The PDF: pages, words, bytes that repeat, names that do no harm."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from pypdf import PdfReader

from marrowscope.report.pdf import render_pdf
from marrowscope.report.view import COMMENT_FIELDS


def pages_of(document: bytes) -> list[str]:
    """Text of each page, with single spaces."""
    return [re.sub(r"\s+", " ", page.extract_text()) for page in PdfReader(io.BytesIO(document)).pages]


@pytest.mark.parametrize("shape", ["normal", "partial", "aml", "empty", "one", "strip", "tower"])
def test_every_shape_of_content_fits_on_two_to_four_pages_and_one_of_explanations(content_of, shape):
    content = content_of(shape)
    bare = pages_of(render_pdf(replace(content, evidence=None)))
    pages = pages_of(render_pdf(content))
    assert 2 <= len(bare) <= 4
    assert len(pages) <= len(bare) + 1
    assert content.differential.title in pages[0]
    assert content.slide.label in pages[0]
    text = " ".join(pages)
    assert text.count("Research use only") == 1
    assert ("PHANTOM: generated slide" in pages[0]) == content.pack.phantom
    for heading in (*COMMENT_FIELDS, "Conclusion", "Reviewed by", "Signature", content.pack_sha256):
        assert heading in text


def test_the_table_is_on_the_first_page_with_every_row(content_of):
    content = content_of("normal")
    first = pages_of(render_pdf(content))[0]
    for row in content.differential.rows:
        assert row.title in first
        if row.assessable:
            assert f"{row.low:.1f}–{row.high:.1f}" in first
    assert first.count("not assessable") >= 2


def test_the_document_is_a4_tagged_and_archivable(content_of):
    reader = PdfReader(io.BytesIO(render_pdf(content_of("normal"))))
    assert [round(float(side)) for side in reader.pages[0].mediabox[2:]] == [595, 842]
    assert reader.trailer["/Root"]["/MarkInfo"]["/Marked"]
    metadata = reader.trailer["/Root"]["/Metadata"].get_object().get_data()
    assert b"pdfaid" in metadata
    assert reader.metadata.title.startswith("Nucleated differential count")


def test_the_same_content_gives_the_same_bytes(content_of):
    assert render_pdf(content_of("aml")) == render_pdf(content_of("aml"))


@pytest.mark.parametrize(
    "label",
    [
        "#[] $x$ *bold* _it_ `raw` @ref <label> \\ // /* ~ #panic()",
        '"); #read("/etc/passwd")',
        "<script>alert(1)</script>",
        "</text></svg>",
    ],
)
def test_signs_that_typst_would_obey_are_only_shown(content_of, label):
    content = content_of("one")
    first = pages_of(render_pdf(replace(content, slide=replace(content.slide, label=label), case=label)))[0]
    assert label in first


@pytest.mark.parametrize(
    "label", ["骨髓 スライド", "\N{DROP OF BLOOD}", "a\x00b", "undecodable \udcff", "two\nlines", ""]
)
def test_names_beyond_the_fonts_still_give_a_report(content_of, label):
    content = content_of("one")
    pages = pages_of(render_pdf(replace(content, slide=replace(content.slide, label=label))))
    assert "Nucleated differential count" in pages[0]


def test_letters_that_no_font_has_are_said_to_be_unreadable(content_of):
    content = content_of("normal")
    document = render_pdf(replace(content, slide=replace(content.slide, label="\U00014400\U00014401")))
    # With such a font on this machine the page is an archive's; without one it says so.
    assert (b"pdfaid" in document) != ("UNREADABLE LETTERS" in pages_of(document)[0])


def test_a_long_name_stays_on_the_page(content_of):
    content = content_of("long name")
    reader = PdfReader(io.BytesIO(render_pdf(content)))
    places: list[float] = []

    def visit(text, user, matrix, font, size):
        if text.strip():
            places.append(matrix[4] * user[0] + matrix[5] * user[2] + user[4])

    reader.pages[0].extract_text(visitor_text=visit)
    assert max(places) < 595 - 30


def test_a_run_without_a_time_gives_a_report_without_a_date(content_of):
    content = replace(content_of("one"), run={})
    text = " ".join(pages_of(render_pdf(content)))
    assert "Date of the count" not in text
