"""marrowscope: from a scanned bone-marrow smear to a reviewed, signed differential count."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from marrowscope.options import HowMany
    from marrowscope.report.content import ReportContent

__version__ = "0.1.0"


def count(
    slide: str | Path,
    output: str | Path | None = None,
    *,
    pack: str | Path = "blood-11",
    cells: HowMany = 500,
    spacing: float | None = None,
    region: str = "auto",
    seed: int = 0,
    specimen: str = "marrow",
) -> ReportContent:
    """Count one slide file; with ``output``, write the report and tables into ``output/SLIDE`` too.

    ``cells`` is a number, ``"all"`` or ``"precise"``; ``spacing`` is um per level-0 pixel where the file does not say;
    ``specimen`` is ``"marrow"``, ``"blood"`` or ``"any"``: which types the pack takes for common.
    The result's ``differential`` holds rows, intervals, ratios and flags, its ``cells`` one row a cell (Polars, level-0
    pixels). Raises the errors of :mod:`marrowscope.errors`.
    """
    from marrowscope.batch import count_file
    from marrowscope.options import CountOptions
    from marrowscope.packs import load_pack
    from marrowscope.pipeline import count_slide
    from marrowscope.runs import slide_name
    from marrowscope.slides import open_slide

    options = CountOptions(cells=cells, region=region, seed=seed, specimen=specimen)
    path, loaded = Path(slide), load_pack(pack)
    if output is not None:
        content = count_file(path, Path(output) / slide_name(path), loaded, options, spacing=spacing).content
        assert content is not None
        return content
    with open_slide(path, spacing) as opened:
        source = "file" if spacing is None else "given"
        return count_slide(opened, loaded, options, spacing_source=source)
