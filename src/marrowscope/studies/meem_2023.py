"""``meem-2023``: InceptionResNetV2 on a fifth of the 21 MLL classes.

It gives no split; its figures are of a validation part.
"""

from __future__ import annotations

from marrowscope.studies.cell_studies.papers import find_paper
from marrowscope.studies.cell_studies.scales import scales_of
from marrowscope.studies.cell_studies.study import CellStudy
from marrowscope.studies.study import About

STUDY = CellStudy(
    ABOUT=About(
        name="meem-2023",
        paper=find_paper("meem-2023").citation,
        data="MLL (marrowscope data get mll), or any set of cells",
        scales=scales_of(smoke=1.6),
    ),
    val=0.2,
    test=0.1,
    share_of_mll=0.2,
)
