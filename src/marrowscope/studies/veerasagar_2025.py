"""``veerasagar-2025``: EfficientNetB0 and VGG16 on seven marrow classes, parted 90/10 class by class.

Ninety to ten class by class, as it says; a tenth of the training part validates, which it does not say.
"""

from __future__ import annotations

from marrowscope.studies.cell_studies.papers import find_paper
from marrowscope.studies.cell_studies.scales import scales_of
from marrowscope.studies.cell_studies.study import CellStudy
from marrowscope.studies.study import About

STUDY = CellStudy(
    ABOUT=About(
        name="veerasagar-2025",
        paper=find_paper("veerasagar-2025").citation,
        data="any set of cells; its own seven classes are in no public set",
        scales=scales_of(smoke=1.1),
    ),
    val=0.09,
    test=0.1,
    by_class=True,
)
