"""The report of a count: pages for people, tables for programs."""

from marrowscope.report.content import ReportContent, SlideFacts
from marrowscope.report.writing import write_report

__all__ = ["ReportContent", "SlideFacts", "write_report"]
