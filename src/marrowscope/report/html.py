"""``report.html``: one file that needs no network, no fonts and no script to be read.

Its content security policy forbids everything that does not lie in the file itself; the one small script (sorting the
gallery) is allowed by its hash. Names and notes are escaped by the template engine.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from marrowscope.files import whole_file
from marrowscope.report.bars import axis_labels
from marrowscope.report.content import ReportContent
from marrowscope.report.gallery import BAR_UM
from marrowscope.report.page import report_page
from marrowscope.report.pictures import KINDS, legend_mark
from marrowscope.report.view import COMMENT_FIELDS

TEMPLATES = Path(__file__).with_name("templates")


def write_html(content: ReportContent, path: Path) -> None:
    """Write ``report.html``. Raises ``OutputError`` when it cannot be written."""
    page = render_html(content)
    with whole_file(path) as beside:
        beside.write_bytes(page.encode())


def environment() -> Environment:
    """The template engine: it escapes every value, and a missing one is an error."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_html(content: ReportContent) -> str:
    """The page as text."""
    page = report_page(content)
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            page=page,
            axis=axis_labels(page.table.axis),
            legend=[(legend_mark(kind), KINDS[kind]) for kind in page.overview.shows],
            bar_um=BAR_UM,
            comment_fields=COMMENT_FIELDS,
            style=_style("report.css", *(["signed.css"] if page.review else [])),
            script=script,
            script_hash=b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        )
    )


def _style(*names: str) -> str:
    """Style sheets of the templates in one: a page carries only what it uses."""
    return "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)
