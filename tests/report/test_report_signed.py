"""Reviewed reports: what HTML and PDF say of the review, and that a report without one stays as it was."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from html import escape

import pytest
from pypdf import PdfReader

from marrowscope.report.html import TEMPLATES, render_html
from marrowscope.report.pdf import render_pdf
from marrowscope.report.signature import COMMENT_FIELDS, Identifiers, Review, Work
from marrowscope.report.signed import headline, review_view, work_words

HEAD = "Reviewed and signed by Dr. Ada Beispiel, Consultant haematologist, 27 November 2026, 10:14 UTC, version 1"
HOSTILE = "<b>&\"'</b> #[] $x$ *bold* _it_ `raw` @ref \\ #panic()"


def words_of_html(page: str) -> str:
    body = page[page.index("<body>") : page.index("<script>")]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body))


def words_of_pdf(document: bytes) -> str:
    return re.sub(r"\s+", " ", " ".join(page.extract_text() for page in PdfReader(io.BytesIO(document)).pages))


@pytest.fixture(scope="module")
def bare(content_of):
    """A content of one cell without pictures of evidence: quick to set."""
    return replace(content_of("one"), evidence=None)


@pytest.fixture(scope="module")
def outputs(signed_content):
    return words_of_html(render_html(signed_content)), words_of_pdf(render_pdf(signed_content))


def test_both_outputs_show_all_that_was_entered(signed_content, outputs):
    view = review_view(signed_content)
    told = [HEAD, view.work, *(fact.value for fact in (*view.identifiers, *view.signature))]
    told += [*"\n".join(fact.value for fact in view.comments).split("\n"), *view.conclusion.split("\n")]
    told += ["KM-2026-0304, 2 May 2026: nucleated differential count", signed_content.pack_sha256, "c4" * 32]
    for text in outputs:
        for words in told:
            assert words in text
        assert text.count("Research use only") == 1
        assert "Reviewed by" not in text


def test_the_head_says_who_signed_before_any_number(outputs):
    for text in outputs:
        assert text.index(HEAD) < text.index("4711-88") < text.index("Cells counted")


def test_the_statement_tells_what_nobody_looked_at(signed_content):
    words = work_words(signed_content.review.work)
    assert words == (
        "312 of 520 cells were looked at by a person; 41 were given another type, 3 that the program had missed were "
        "added and 2 were deleted. The other 208 cells have the type that the pack gave. 17 cells are still unsure."
    )
    assert work_words(Work(cells=520, looked_at=520)) == (
        "All of the 520 cells were looked at by a person. No cell is left unsure."
    )
    assert work_words(Work(cells=2, looked_at=0, unsure=1)) == (
        "None of the 2 cells was looked at by a person. The other 2 cells have the type that the pack gave. "
        "1 cell is still unsure."
    )
    assert work_words(Work(cells=148, looked_at=0, by_one=148)).startswith(
        "None of the 148 cells was looked at by both observers; 148 by one of two observers alone. "
    )
    assert work_words(Work(cells=9, looked_at=5, by_one=2)).startswith(
        "5 of 9 cells were looked at by a person; 2 by one of two observers alone. "
    )
    assert work_words(Work(cells=9, looked_at=8, deleted=1)).startswith(
        "8 of 9 cells were looked at by a person; 1 was deleted. The other 1 cell has the type"
    )


def test_what_was_entered_is_shown_and_never_obeyed(bare, signed_content):
    def hostile(place: str) -> str:
        return f"{place} {HOSTILE}"

    review = replace(
        signed_content.review,
        signature=replace(
            signed_content.review.signature,
            name=hostile("name"),
            role=hostile("role"),
            reason=hostile("why"),
            version=2,
        ),
        comments={field: hostile(field) for field in COMMENT_FIELDS},
        conclusion=hostile("conclusion"),
        identifiers=Identifiers(*(hostile(name) for name in ("patient", "id")), specimen_id=hostile("specimen")),
        earlier=replace(signed_content.review.earlier, label=hostile("earlier"), title=hostile("title")),
        observers=(hostile("observer"),),
    )
    content = replace(bare, review=review)
    page, document = render_html(content), words_of_pdf(render_pdf(content))
    assert "<b>&" not in page
    escaped = escape(HOSTILE).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    places = ("name", "role", "why", "conclusion", "patient", "id", "specimen", "earlier", "title", "observer")
    for place in (*places, *COMMENT_FIELDS):
        assert f"{place} {escaped}" in page
        assert hostile(place) in document


def test_an_amendment_says_which_version_it_replaces_and_why(bare, signed_content):
    review = signed_content.review
    review = replace(review, signature=replace(review.signature, version=3, reason="Smear 2 was of another patient."))
    content = replace(bare, review=review)
    for text in (words_of_html(render_html(content)), words_of_pdf(render_pdf(content))):
        assert "version 3 Amends version 2, which it replaces. Reason: Smear 2 was of another patient." in text


def test_a_draft_is_called_one_and_names_nobody(bare):
    content = replace(bare, review=Review(Work(1, 0)))
    assert headline(content.review) == "Under review: this draft is not signed"
    for text in (words_of_html(render_html(content)), words_of_pdf(render_pdf(content))):
        assert "this draft is not signed" in text
        assert "signed by nobody" in text.lower()
        assert "Reviewed and signed" not in text


def test_a_type_that_either_result_could_not_assess_is_no_zero_beside_the_other(content_of, signed_content):
    earlier = replace(signed_content.review.earlier, percentages={"blast": 3.0, "plasma_cell": None, "mast_cell": 0.1})
    content = replace(content_of("partial"), review=replace(signed_content.review, earlier=earlier))
    rows = {row.title: row for row in review_view(content).earlier.rows}
    assert (rows["Blast"].before, rows["Blast"].now) == ("3.0", "not assessable")
    assert (rows["Plasma cell"].before, rows["Plasma cell"].now) == ("not assessable", "not assessable")
    assert rows["Lymphocyte"].before == "–"


def test_a_comment_of_many_pages_loses_nothing(bare, signed_content):
    lines = [f"line {number} of a long comment" for number in range(150)]
    content = replace(bare, review=replace(signed_content.review, comments={"Dysplasia": "\n".join(lines)}))
    text = words_of_pdf(render_pdf(content))
    assert all(line in text for line in lines)
    assert HEAD in text


def test_a_report_without_a_review_holds_nothing_of_one(content_of):
    page = render_html(content_of("normal"))
    assert (TEMPLATES / "signed.css").read_text(encoding="utf-8").splitlines()[0] not in page
    assert "Review and signature" not in page
    assert '<div class="line"><span>Reviewed by</span><i></i></div>' in page


def test_the_same_review_gives_the_same_bytes(bare, signed_content):
    content = replace(bare, review=signed_content.review)
    assert render_html(content) == render_html(content)
    assert render_pdf(content) == render_pdf(content)
