"""The pages of the review, one file a page, in NiceGUI; scripts and styles are in ``static``, words in ``texts``."""

from __future__ import annotations

from marrowscope.review.pages.cases import add_cases_page
from marrowscope.review.pages.frame import Desk
from marrowscope.review.pages.gallery import add_gallery_page
from marrowscope.review.pages.report import add_report_pages
from marrowscope.review.pages.slide import add_slide_page
from marrowscope.review.pages.try_page import add_try_page


def add_pages(desk: Desk) -> None:
    """Register every page."""
    add_cases_page(desk)
    add_report_pages(desk)
    add_try_page(desk)
    add_gallery_page(desk)
    add_slide_page(desk)
