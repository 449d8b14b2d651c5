"""``senthilkumar-2023``: ALL against healthy cells by three networks, on two sets singly and jointly, two stains.

Shares of val and test are those of its 1,867 and 2,586 of 15,114 cells.
"""

from __future__ import annotations

from marrowscope.studies.cell_studies.papers import find_paper
from marrowscope.studies.cell_studies.scales import scales_of
from marrowscope.studies.cell_studies.study import CellStudy
from marrowscope.studies.study import About

STUDY = CellStudy(
    ABOUT=About(
        name="senthilkumar-2023",
        paper=find_paper("senthilkumar-2023").citation,
        data="C-NMC 2019 (marrowscope data get c-nmc) and a second set of the same classes (--data twice), or any set",
        scales=scales_of(smoke=2),
    ),
    val=0.124,
    test=0.171,
    stains=("none", "reinhard"),
    several=True,
)
