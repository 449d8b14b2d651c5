"""A slide held against its labels: who is asked for, who is missed, what a detection without a label means."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest
import shapely

from marrowscope.evaluation.judging import Boxes, JudgedSlide, common_name, judge_slide
from marrowscope.evaluation.summary import ENOUGH_SLIDES, summarise
from marrowscope.geometry import Spacing

UM = Spacing.square(0.25)
COUNTED = shapely.box(0, 0, 1000, 1000)
CLASSES = ("blast", "lymphocyte", "proerythroblast", "platelet")


def boxes(*corners: tuple[float, float]) -> np.ndarray:
    """Boxes of 40 pixels with their corners here."""
    return np.array([(x, y, x + 40, y + 40) for x, y in corners], dtype=float).reshape(-1, 4)


def judge(complete: shapely.Polygon | None, **changes: object) -> JudgedSlide:
    """Found: blast on a blast, lymphocyte on a blast, one without a label, a platelet without a label.

    Labelled: those two, a missed lymphocyte, one across the border, one outside, and a basophil.
    """
    found = boxes((100, 100), (200, 100), (300, 100), (400, 100), (500, 500))
    labelled = boxes((102, 100), (200, 103), (600, 600), (985, 500), (1500, 500), (500, 500))
    options = {"classes": CLASSES, "pooled": {}, "printed": {}} | changes
    return judge_slide(
        "slide",
        Boxes(
            found,
            ["blast", "lymphocyte", "lymphocyte", "platelet", "blast"],
            score=np.array([0.9, 0.8, 0.7, 0.6, 0.9]),
            certainty=np.array([1.0, 0.5, 1.0, 1.0, 1.0]),
            unsure=np.array([False, True, False, False, False]),
        ),
        Boxes(labelled, ["blast", "blast", "lymphocyte", "blast", "blast", "basophil"]),
        COUNTED,
        complete,
        UM,
        **options,  # type: ignore[arg-type]
    )


def test_only_labels_well_inside_the_counted_regions_are_asked_for() -> None:
    slide = judge(None)
    assert slide.cells.label.tolist() == [0, 1, 2, 5, -1]
    assert slide.cells.truth == ("blast", "blast", "lymphocyte", "basophil", None)
    assert slide.cells.called == ("blast", "lymphocyte", None, "blast", "lymphocyte")
    assert (slide.asked, slide.missed, slide.unlabelled, slide.outside, slide.border) == (4, 1, 1, 2, 0)
    assert slide.cells.iou[0] == pytest.approx(38 / 42)
    assert isnan(slide.cells.iou[2])
    assert slide.pictures == ()
    assert slide.differential == {}
    edge = judge_slide(
        "edge", Boxes(boxes(), []), Boxes(boxes((975, 500)), ["blast"]), COUNTED, None, UM, classes=CLASSES, pooled={},
        printed={},
    )  # fmt: skip
    assert (edge.asked, edge.border) == (0, 1)


@pytest.mark.parametrize("complete", [None, COUNTED, shapely.box(0, 0, 250, 1000), shapely.box(0, 0, 1, 1)])
def test_every_label_and_every_detection_has_one_fate(complete: shapely.Polygon | None) -> None:
    slide = judge(complete)
    assert slide.met + slide.missed + slide.outside + slide.border == 6
    assert slide.met + slide.unlabelled + slide.passed.total == 5


def test_detections_are_passed_over_for_a_reason() -> None:
    platelet = judge(COUNTED).passed
    assert (platelet.outside, platelet.border, platelet.no_cells) == (0, 0, 1)
    left = judge(shapely.box(0, 0, 250, 1000)).passed
    assert (left.outside, left.border, left.no_cells) == (3, 0, 0)
    edge = judge_slide(
        "edge", Boxes(boxes((975, 500)), ["blast"]), Boxes(boxes((975, 500)), ["blast"]), COUNTED, None, UM,
        classes=CLASSES, pooled={}, printed={},
    )  # fmt: skip
    assert (edge.met, edge.passed.border) == (0, 1)


def test_complete_truth_judges_its_areas_only_and_gives_differentials() -> None:
    left = judge(shapely.box(0, 0, 250, 1000))
    assert (left.asked, left.unlabelled) == (2, 0)
    assert left.differential["blast"].true == 100
    assert left.differential["blast"].predicted == 50
    whole = judge(COUNTED)
    pairs = whole.differential
    assert whole.true_total == 4
    assert (pairs["blast"].true, pairs["blast"].predicted) == (50, 50)
    assert pairs["lymphocyte"].true == 25
    assert pairs["basophil"].true == 25
    assert isnan(pairs["basophil"].predicted)  # the pack has no such class
    assert (pairs["proerythroblast"].true, pairs["proerythroblast"].predicted) == (0, 0)
    printed = judge(COUNTED, printed={"blast": (51.0, 40.0, 60.0)})
    assert (printed.differential["blast"].predicted, printed.differential["blast"].low) == (51.0, 40.0)
    part = judge(shapely.box(0, 0, 450, 1000), printed={"blast": (51.0, 40.0, 60.0)})
    assert part.differential["blast"].predicted != 51.0


def test_names_that_the_pack_pools_are_judged_as_the_pool() -> None:
    assert common_name("promonocyte", ("monocyte",), {"promonocyte": "monocyte"}) == "monocyte"
    assert common_name("proerythroblast", ("erythroblast",), {}) == "erythroblast"
    assert common_name("proerythroblast", ("proerythroblast", "erythroblast"), {}) == "proerythroblast"
    assert common_name("basophil", CLASSES, {}) == "basophil"
    unstaged = judge_slide(
        "slide", Boxes(boxes((0, 100)), ["proerythroblast"]), Boxes(boxes((0, 100)), ["erythroblast"]), COUNTED,
        COUNTED, UM, classes=CLASSES, pooled={}, printed={"proerythroblast": (100.0, 20.0, 100.0)},
    )  # fmt: skip
    assert unstaged.cells.called == ("erythroblast",)
    assert unstaged.differential["erythroblast"].predicted == 100


def test_summary_counts_unlabelled_detections_only_when_every_slide_is_complete() -> None:
    complete, partial = judge(COUNTED), judge(None)
    alone = summarise([complete], CLASSES)
    assert alone.strict.complete
    assert (alone.strict["lymphocyte"].precision.count, alone.strict["lymphocyte"].precision.total) == (0, 2)
    assert alone.strict.unseen == ("basophil",)
    assert alone.strict.absent == ("proerythroblast", "platelet")
    assert alone.unsure.count == 1
    assert (alone.right_when_sure.count, alone.right_when_sure.total) == (1, 2)
    assert alone.detection[0].ap50.n == 4
    assert alone.unit == "squares"
    both = summarise([complete, partial], CLASSES, cells=[5, 9], seconds=[1.0, 2.0])
    assert not both.strict.complete
    assert both.strict.left_out == 2
    assert (both.complete_slides, both.detection[0].ap50.n) == (1, 4)
    assert both.time.seconds.n == 2
    none = summarise([partial], CLASSES)
    assert none.detection == ()
    assert none.differential == ()
    assert none.kappa.n == 3


def test_a_type_that_the_pack_cannot_name_has_no_error_of_the_differential() -> None:
    """Half of one slide are basophils, on the others is none: nobody counted them there either, it is not 0 points."""
    slides = [
        judge_slide(
            name,
            Boxes(boxes((100, 100), (200, 100)), ["blast", "lymphocyte"]),
            Boxes(boxes((100, 100), (200, 100)), types),
            COUNTED,
            COUNTED,
            UM,
            classes=CLASSES,
            pooled={},
            printed={},
        )
        for name, types in (
            ("a", ["blast", "basophil"]),
            ("b", ["blast", "blast"]),
            ("c", ["lymphocyte", "erythroblast"]),  # without its stage: the stages are counted as one type here
        )
    ]
    errors = {error.type: error for error in summarise(slides, CLASSES).differential}
    found = {name: error.n for name, error in errors.items()}
    assert found == {"blast": 3, "lymphocyte": 3, "basophil": 0, "proerythroblast": 2, "erythroblast": 1}
    assert isnan(errors["basophil"].mean_difference.value)
    assert errors["proerythroblast"].mean_difference.value == 0  # the pack knows it and counted none
    assert errors["erythroblast"].mean_difference.value == -50


def test_many_slides_are_redrawn_as_slides() -> None:
    slides = [judge(COUNTED)] * ENOUGH_SLIDES
    summary = summarise(slides, CLASSES)
    assert summary.unit == "slides"
    assert summary.differential[0].n == ENOUGH_SLIDES
