"""The figures of Wang et al. 2022 (Medical Image Analysis 75: 102270), as printed, and its averages recomputed.

Rows are named as in the taxonomy, with ``erythroblast`` for the row that pools the four stages. ``None`` is a dash or
an empty cell of the printed table. The paper leaves open how a detection is matched to a labelled cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from marrowscope.taxonomy import WANG_2022_TYPES, stages_of

POOLED = "erythroblast"
ROWS: tuple[str, ...] = (*WANG_2022_TYPES[:8], POOLED, *WANG_2022_TYPES[8:])
"""The seventeen rows of Tables 1 to 3, in their order: sixteen types and the pooled erythroblasts."""


@dataclass(frozen=True, slots=True)
class Printed:
    """Recall and accuracy of one row, with the standard deviation over the folds where one is printed."""

    recall: float
    accuracy: float
    recall_sd: float | None = None
    accuracy_sd: float | None = None


Column = Mapping[str, Printed]


def _column(values: str, rows: tuple[str, ...] = ROWS) -> Column:
    """``recall accuracy`` or ``recall recall_sd accuracy accuracy_sd`` a line, in the order of ``rows``."""
    lines = [[float(word) for word in line.split()] for line in values.strip().splitlines()]
    return {
        row: Printed(line[0], line[2], line[1], line[3]) if len(line) == 4 else Printed(*line)
        for row, line in zip(rows, lines, strict=True)
    }


TILE_WISE = _column("""
0.974 0.022 0.978 0.009
0.877 0.049 0.976 0.008
0.757 0.112 0.982 0.008
0.876 0.075 0.986 0.006
0.852 0.147 0.991 0.006
0.946 0.057 0.991 0.005
0.923 0.159 0.999 0.003
0.651 0.284 0.990 0.008
0.980 0.020 0.979 0.020
0.900 0.108 0.996 0.004
0.892 0.013 0.983 0.005
0.996 0.023 0.973 0.012
0.992 0.088 0.984 0.010
0.945 0.093 0.996 0.002
0.987 0.015 0.997 0.002
1 0 1 0.001
0.997 0.009 1 0.001
""")
"""Table 1, 10-fold cross-validation over tiles, first data set."""

LEAVE_ONE_OUT = _column("""
0.882 0.222 0.958 0.052
0.857 0.212 0.968 0.051
0.733 0.308 0.979 0.027
0.733 0.338 0.985 0.018
0.786 0.267 0.985 0.025
0.929 0.174 0.985 0.019
0.828 0.339 0.997 0.006
0.611 0.345 0.986 0.015
0.971 0.040 0.991 0.016
0.678 0.410 0.997 0.006
0.815 0.304 0.995 0.011
0.970 0.078 0.997 0.007
0.990 0.033 0.999 0.002
0.919 0.245 0.994 0.009
0.987 0.040 0.987 0.029
0.950 0.194 0.999 0.004
0.983 0.064 0.998 0.008
""")
"""Table 1, leaving one slide out, first data set."""

_CHANDRADEVAN_ROWS = (
    *("blast", "promyelocyte", "myelocyte", "metamyelocyte", "neutrophil", "eosinophil", "monocyte", POOLED),
    *("lymphocyte", "plasma_cell", "basophil", "unknown"),
)
CHANDRADEVAN = _column(
    """
0.850 0.974
0.870 0.963
0.820 0.972
0.840 0.971
0.900 0.988
0.940 0.993
0.690 0.973
0.860 0.979
0.680 0.970
0.890 0.990
0.890 0.988
0.920 0.928
""",
    _CHANDRADEVAN_ROWS,
)
"""Chandradevan et al. 2019 as quoted in Table 1: small pictures, regions by hand; ``neutrophil`` pools band and
segmented, ``unknown`` is "invalid/unknown"."""

YU = _column(
    """
0.815 0.956
0.854 0.984
0.708 0.969
0.847 0.968
0.876 0.974
0.987 0.990
0.825 0.982
0.971 0.984
0.750 0.927
0.818 0.987
0.666 0.877
""",
    tuple(row for row in _CHANDRADEVAN_ROWS if row != "plasma_cell"),
)
"""Yu et al. 2019 as quoted in Table 1."""

SECOND_TILE_WISE = _column("""
0.342 0.965
0.700 0.983
0.613 0.954
0.819 0.963
0.933 0.991
0.986 0.987
0.994 0.985
0.149 0.975
0.978 0.975
0.928 0.996
0.979 0.990
0.957 0.991
0.997 0.998
0.929 0.950
0.936 0.988
0.875 0.999
1 0.998
""")
"""Table 2, second data set, best model of the tile-wise folds."""

SECOND_LEAVE_ONE_OUT = _column("""
0.529 0.978
0.893 0.987
0.546 0.975
0.815 0.980
0.865 0.990
0.998 0.983
0.994 0.993
0.210 0.985
0.992 0.985
0.944 0.998
0.988 0.993
0.986 0.996
0.997 0.997
1 0.972
0.948 0.992
0.611 0.997
1 0.996
""")
"""Table 2, second data set, best model of the left-out slides."""

SECOND_CELLS: Mapping[str, int] = dict(
    zip(ROWS, (126, 147, 310, 265, 298, 341, 189, 89, 946, 109, 165, 278, 394, 54, 95, 14, 131), strict=True)
)
"""Table 2, annotated cells; the sixteen types add up to 3,005."""

DISEASED_SECOND_TILE_WISE = _column("""
0.309 0.958
0.714 0.986
0.598 0.965
0.772 0.970
0.915 0.990
0.983 0.982
1 0.98
0.144 0.979
0.978 0.975
0.939 0.996
0.994 0.988
0.960 0.989
0.996 0.997
0.900 0.948
0.910 0.983
0.750 0.998
1 0.997
""")
DISEASED_FIRST_TILE_WISE = _column("""
0.996 0.999
0.980 0.996
0.972 0.997
0.938 1
1 1
0.955 0.998
0.958 1
0.929 0.998
0.995 0.998
1 1
1 1
0.975 0.998
1 1
0.900 1
0.990 0.994
1 1
0.964 0.999
""")
DISEASED_SECOND_LEAVE_ONE_OUT = _column("""
0.491 0.971
0.932 0.993
0.555 0.987
0.738 0.984
0.854 0.990
0.997 0.978
1 0.991
0.233 0.989
0.989 0.982
0.917 0.998
0.982 0.992
0.980 0.970
0.996 0.996
1 0.972
0.927 0.989
0.417 0.996
1 0.996
""")
DISEASED_FIRST_LEAVE_ONE_OUT = _column("""
0.969 0.988
0.923 0.989
0.809 0.990
0.952 0.998
0.819 0.998
0.939 0.996
0.866 0.999
0.641 0.996
0.991 0.997
1 1
0.984 1
0.998 0.998
1 0.999
0.875 0.998
0.986 0.992
1 1
0.979 0.999
""")
"""Table 3, slides with a disease only."""

AVERAGES: Mapping[str, Printed] = {
    "tile-wise": Printed(0.905, 0.989, 0.078, 0.006),
    "leave-one-out": Printed(0.878, 0.988, 0.093, 0.009),
    "chandradevan": Printed(0.846, 0.974),
    "yu": Printed(0.829, 0.964),
    "second tile-wise": Printed(0.750, 0.983),
    "second leave-one-out": Printed(0.842, 0.988),
    "diseased second tile-wise": Printed(0.758, 0.985),
    "diseased first tile-wise": Printed(0.975, 0.999),
    "diseased second leave-one-out": Printed(0.824, 0.988),
    "diseased first leave-one-out": Printed(0.924, 0.996),
}
"""The rows "Average" of Tables 1 to 3, as printed."""

COLUMNS: Mapping[str, Column] = {
    "tile-wise": TILE_WISE,
    "leave-one-out": LEAVE_ONE_OUT,
    "chandradevan": CHANDRADEVAN,
    "yu": YU,
    "second tile-wise": SECOND_TILE_WISE,
    "second leave-one-out": SECOND_LEAVE_ONE_OUT,
    "diseased second tile-wise": DISEASED_SECOND_TILE_WISE,
    "diseased first tile-wise": DISEASED_FIRST_TILE_WISE,
    "diseased second leave-one-out": DISEASED_SECOND_LEAVE_ONE_OUT,
    "diseased first leave-one-out": DISEASED_FIRST_LEAVE_ONE_OUT,
}


def mean_of(column: Column, *, rows: str = "types") -> Printed:
    """The unweighted mean of a column over its sixteen ``types`` (ours), its thirteen ``pooled`` rows or ``all`` rows.

    ``types`` leaves the pooled erythroblasts out, ``pooled`` their four stages.
    """
    left_out = {"types": {POOLED}, "pooled": set(stages_of(POOLED)), "all": set()}[rows]
    kept = [printed for row, printed in column.items() if row not in left_out]
    return Printed(fmean(p.recall for p in kept), fmean(p.accuracy for p in kept))


@dataclass(frozen=True, slots=True)
class PrintedRegions:
    """A row of Table 4, means over ten folds; the four-digit values are those of section 4.3.4."""

    recall: float
    precision: float
    accuracy: float
    iou: float
    recall_sd: float
    iou_sd: float


REGIONS: Mapping[str, PrintedRegions] = {
    "object": PrintedRegions(0.93, 1.0, 0.93, 0.7518, 0.1135, 0.1852),
    "slide": PrintedRegions(1.0, 1.0, 1.0, 0.7428, 0.0, 0.1357),
}
"""Table 4. Printed there as 0.93 ± 0.11 and 0.75 ± 0.19 by object, 1 ± 0 and 0.74 ± 0.14 by slide."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """A column of Table 5 with the time for 500 cells of section 4.4."""

    processor: str
    memory: str
    accelerator: str
    slide_seconds: float
    seconds_500: float


HARDWARE: tuple[Hardware, ...] = (
    Hardware("Intel Xeon Gold 6148", "512 GB", "NVIDIA TITAN RTX x 4", 44, 10.16),
    Hardware("Intel Core i9-7900x", "128 GB", "NVIDIA GeForce GTX 1080 Ti x 2", 94, 22.51),
)
TRANSFER_SECONDS: Mapping[str, float] = {"remote NAS": 42, "local disk": 6}
CHANDRADEVAN_SECONDS_500 = 162.0
"""Chandradevan et al. 2019, 500 cells, as quoted in section 4.4."""


@dataclass(frozen=True, slots=True)
class PrintedKappa:
    """A row of Table 6; ``cells`` from section 4.5."""

    kappa: float
    words: str
    cells: int


KAPPA: Mapping[str, PrintedKappa] = {
    "observer 1, twice": PrintedKappa(0.745, "good", 602),
    "observer 2, twice": PrintedKappa(0.897, "good", 602),
    "observer 1 and 2": PrintedKappa(0.794, "good", 620),
    "model and observer 1": PrintedKappa(0.918, "very good", 2154),
    "model and observer 2": PrintedKappa(0.931, "very good", 2154),
}

FIRST_CELLS: Mapping[str, int] = {
    "blast": 2197,
    "promyelocyte": 872,
    "myelocyte": 825,
    "metamyelocyte": 688,
    "band_neutrophil": 542,
    "segmented_neutrophil": 1201,
    "eosinophil": 267,
    "basophil": 16,
    "monocyte": 365,
    "proerythroblast": 89,
    "basophilic_erythroblast": 379,
    "polychromatic_erythroblast": 1195,
    "orthochromatic_erythroblast": 804,
    "lymphocyte": 427,
    "plasma_cell": 1262,
    "mitotic_cell": 75,
    "megakaryocyte": 300,
    "other": 26,
    "smudge": 896,
}
"""Fig. 6, annotated cells of the first data set; they add up to 12,426."""

FIRST_DIAGNOSES: Mapping[str, int] = {"normal": 12, "aml": 6, "mds": 1, "cmml": 1, "all": 3, "mm": 4}
SECOND_DIAGNOSES: Mapping[str, int] = {"normal": 3, "mm": 2, "aml": 2, "cmml": 1, "cml": 1, "mds": 1}
