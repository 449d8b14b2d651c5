"""The region model as a job of the study: folds of whole slides, gone on with, and read by the report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from marrowscope.errors import DataError
from marrowscope.phantom.cohort import Cohort
from marrowscope.studies.wang_2022.regions import read_regions
from marrowscope.studies.wang_2022.regions_job import cross_validate, plan_regions
from marrowscope.studies.wang_2022.scales import SCALES


def arguments(cohort: Cohort, folds: int = 2) -> dict[str, object]:
    slides = {slide.name: str(slide.path) for slide in cohort.slides}
    return {"slides": slides, "recipe": "tiny_trails", "folds": folds, "seed": 1, "data_words": "phantoms of a test"}


def test_every_slide_is_tested_once_and_finished_folds_stay(cohort: Cohort, tmp_path: Path) -> None:
    folder = tmp_path / "jobs" / "regions"
    facts = cross_validate(folder, **arguments(cohort))  # type: ignore[arg-type]
    assert facts == {"slides": 6, "folds": 2, "without_object": []}
    folds = [json.loads(path.read_text())["slides"] for path in sorted(folder.glob("fold-*/found.json"))]
    names = [one["name"] for fold in folds for one in fold]
    assert sorted(names) == sorted(slide.name for slide in cohort.slides)
    assert sorted(path.stem for path in (folder / "pictures").iterdir()) == sorted(names)
    result = read_regions(tmp_path)
    assert result is not None
    assert (len(result.objects), len(result.slides), set(result.detected)) == (2, 2, set(names))
    assert "phantoms of a test" in result.words

    # A fold that is done is read, not learnt again: here it found all that is true.
    done = folder / "fold-0" / "found.json"
    perfect = [one | {"boxes": one["true"], "scores": [1.0] * len(one["true"]), "mm2": 7.0} for one in folds[0]]
    done.write_text(json.dumps({"slides": perfect}))
    cross_validate(folder, **arguments(cohort))  # type: ignore[arg-type]
    again = read_regions(tmp_path)
    assert again is not None
    assert again.objects[0].iou == again.slides[0].iou == again.slides[0].recall == 1.0
    assert again.detected[perfect[0]["name"]] == (len(perfect[0]["true"]), 7.0)
    assert again.objects[1] == result.objects[1]


def test_too_few_slides_and_a_slide_without_truth(cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found 6 units for 10 folds"):
        cross_validate(tmp_path / "a", **arguments(cohort, folds=10))  # type: ignore[arg-type]
    alone = tmp_path / "alone.tif"
    alone.write_bytes(cohort.slides[0].path.read_bytes())
    given = arguments(cohort) | {"slides": {"alone": str(alone), cohort.slides[1].name: str(cohort.slides[1].path)}}
    with pytest.raises(DataError, match=r"no truth beside alone\.tif"):
        cross_validate(tmp_path / "b", **given)  # type: ignore[arg-type]


def test_only_data_with_truth_and_slides_have_the_job() -> None:
    data = SimpleNamespace(truth=object(), slides={"a": Path("a.tif")}, identity="x", words="phantoms")
    job, *more = plan_regions(data, SCALES["smoke"], None)  # type: ignore[arg-type]
    assert not more
    assert job.name == "regions"
    other = plan_regions(data, replace(SCALES["smoke"], region_recipe="trails"), None)[0]  # type: ignore[arg-type]
    assert job.fingerprint != other.fingerprint
    assert plan_regions(SimpleNamespace(truth=None, slides={}), SCALES["smoke"], None) == []  # type: ignore[arg-type]
