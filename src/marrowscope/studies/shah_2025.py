"""``shah-2025``: eight networks on seven classes around hairy-cell leukaemia, 1,000 cells a class.

It gives no split: what the set gives, else 70/15/15, by patient where patients are known.
"""

from __future__ import annotations

from marrowscope.studies.cell_studies.papers import find_paper
from marrowscope.studies.cell_studies.scales import scales_of
from marrowscope.studies.cell_studies.study import CellStudy
from marrowscope.studies.study import About

STUDY = CellStudy(
    ABOUT=About(
        name="shah-2025",
        paper=find_paper("shah-2025").citation,
        data="MLL (marrowscope data get mll), its seven classes BAS EOS HAC LYT MON NGB NGS, or any set of cells",
        scales=scales_of(smoke=1.2),
    ),
    val=0.15,
    test=0.15,
    per_class=1000,
)
