"""Is a folder of pictures fit to learn from? Everything that can be seen without a model.

:func:`check_data` looks at every file once and asks: can it be read, is it there twice, does it leak from one split
into another, is a class empty, do labels contradict each other, do boxes lie in their pictures, are classes in balance,
and is the spacing what it is said to be (from the size of red cells, :mod:`marrowscope.slides.red_cells`)?
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from marrowscope.geometry import RED_CELL_UM
from marrowscope.learning.datasets.copies import conflicts, duplicates, find_likenesses, leaks, squashed
from marrowscope.learning.datasets.findings import CheckReport, ClassCount, Finding, Severity, SizeGroup, in_order
from marrowscope.learning.datasets.gathering import Gathered, Listed, gather
from marrowscope.learning.datasets.inspecting import Inspected, inspect_all, read_reduced
from marrowscope.learning.datasets.pictures import PICTURES
from marrowscope.slides.red_cells import TOLERANCE, red_cell_diameter_in

SMALLEST_SIDE = 32
"""Pictures with a shorter side, in pixels, show no cell well enough to name it."""

LARGEST_ASPECT = 4.0

ODD_SIZE = 3.0
"""A picture whose side is so many times off the median of its set is odd."""

RAREST_SHARE = 0.01
IMBALANCE = 20.0
"""Largest over smallest class from which an imbalance is said."""

SPACING_RATIO = 1.25
"""Largest over smallest spacing within a set from which its pictures need resampling."""

BORDER = 1.0
"""Boxes may pass the picture's border by so many pixels: VOC counts from 1, and tools round."""

MEASURED_PICTURES = 48
_LEAST_GROUP = 8
_MOST_GROUPS = 24

Progress = Callable[[str, float], None]
"""Told the stage and the share of the whole that is done."""


def check_data(
    folders: Sequence[Path], spacing: float | None = None, progress: Progress = lambda stage, done: None
) -> CheckReport:
    """Check all pictures below ``folders``; ``spacing`` states their um per pixel, if it is known and the same.

    Raises :class:`marrowscope.errors.DataError` where there is no picture, or a table cannot be read.
    """
    gathered = gather(folders)
    pictures = gathered.pictures
    inspected = inspect_all([one.path for one in pictures], lambda done: progress("reading", 0.6 * done))
    alike = find_likenesses(pictures, inspected, lambda done: progress("comparing", 0.6 + 0.35 * done))
    progress("measuring red cells", 0.95)
    sizes = size_groups(pictures, inspected)
    classes = count_classes(pictures)
    findings = [
        *_unusable(gathered, inspected),
        *leaks(pictures, alike),
        *conflicts(pictures, alike),
        *_bad_boxes(pictures, inspected),
        *_spacings(sizes, spacing),
        *duplicates(pictures, alike),
        *squashed(pictures, inspected, alike),
        *_odd_sizes(pictures, inspected),
        *_imbalance(classes),
    ]
    progress("done", 1.0)
    return CheckReport(
        sets=dict(Counter(one.set_name for one in pictures)),
        findings=in_order(findings),
        classes=tuple(classes),
        sizes=tuple(sizes),
    )


def count_classes(pictures: Sequence[Listed]) -> list[ClassCount]:
    """Classes of every labelled set, most frequent first."""
    by_set: dict[str, Counter[str]] = defaultdict(Counter)
    by_split: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for one in pictures:
        if one.label is not None:
            by_set[one.set_name][one.label] += 1
            if one.split:
                by_split[one.set_name, one.label][one.split] += 1
    return [
        ClassCount(set_name, label, n, n / counts.total(), dict(by_split[set_name, label]))
        for set_name, counts in by_set.items()
        for label, n in counts.most_common()
    ]


def size_groups(pictures: Sequence[Listed], inspected: Sequence[Inspected]) -> list[SizeGroup]:
    """Pictures of one set and size, largest groups first; red cells are measured in groups of eight or more."""
    groups: dict[tuple[str, tuple[int, int]], list[Path]] = defaultdict(list)
    for one, seen in zip(pictures, inspected, strict=True):
        if seen.problem is None:
            groups[one.set_name, seen.size].append(one.path)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    found = []
    for number, ((set_name, size), paths) in enumerate(ordered):
        pixels = _red_cell(paths, size) if len(paths) >= _LEAST_GROUP and number < _MOST_GROUPS else None
        found.append(SizeGroup(set_name, size, len(paths), pixels, pixels and RED_CELL_UM / pixels))
    return found


def _red_cell(paths: Sequence[Path], size: tuple[int, int]) -> float | None:
    """Diameter in the file's own pixels, from pictures spread evenly over the group."""
    chosen = np.unique(np.linspace(0, len(paths) - 1, MEASURED_PICTURES).astype(int))
    read = [read_reduced(paths[i])[0] for i in chosen]
    diameter = red_cell_diameter_in(read)
    return diameter and diameter * size[0] / read[0].shape[1]


def _unusable(gathered: Gathered, inspected: Sequence[Inspected]) -> list[Finding]:
    problems: dict[str, list[str]] = defaultdict(list)
    for one, seen in zip(gathered.pictures, inspected, strict=True):
        if seen.problem is not None:
            problems[seen.problem].append(one.name)
    advice = "fetch the files again, or remove them and their rows from the tables"
    findings = [
        Finding("error", "unreadable", len(names), f"files: {problem}", advice, tuple(names))
        for problem, names in problems.items()
    ]
    if gathered.missing:
        words = "files are listed in a table but not there"
        findings.append(Finding("error", "missing", len(gathered.missing), words, advice, gathered.missing))
    if empty := gathered.empty:
        words = "class folders hold no picture" if len(empty) > 1 else "class folder holds no picture"
        advice = f"put its pictures there (files that end in {', '.join(sorted(PICTURES))}), or remove it"
        findings.append(Finding("warning", "empty-class", len(empty), words, advice, empty))
    return findings


def _bad_boxes(pictures: Sequence[Listed], inspected: Sequence[Inspected]) -> list[Finding]:
    outside, empty, twice = Counter[str](), Counter[str](), Counter[str]()
    for one, seen in zip(pictures, inspected, strict=True):
        if one.boxes is None or seen.problem is not None:
            continue
        boxes = one.boxes
        flat = ~((boxes[:, 2:] - boxes[:, :2]) > 0).all(axis=1)  # not a number counts as flat, too
        past = (boxes[:, :2] < -BORDER).any(axis=1) | (boxes[:, 2:] > np.array(seen.size) + BORDER).any(axis=1)
        empty[one.name] += int(flat.sum())
        outside[one.name] += int((past & ~flat).sum())
        twice[one.name] += len(boxes) - len(np.unique(boxes, axis=0))
    rows: tuple[tuple[Severity, str, Counter[str], str, str], ...] = (
        (
            "error",
            "box-outside",
            outside,
            "boxes reach out of their pictures",
            "clip them, or see at what size they were drawn",
        ),
        ("error", "box-empty", empty, "boxes have no area", "remove them or swap their corners"),
        ("warning", "box-twice", twice, "boxes are there more than once", "drop the repeated rows"),
    )
    return [
        Finding(severity, kind, counts.total(), words, advice, tuple(name for name, n in counts.items() if n))
        for severity, kind, counts, words, advice in rows
        if counts.total()
    ]


def _odd_sizes(pictures: Sequence[Listed], inspected: Sequence[Inspected]) -> list[Finding]:
    by_set: dict[str, list[tuple[str, tuple[int, int]]]] = defaultdict(list)
    for one, seen in zip(pictures, inspected, strict=True):
        if seen.problem is None:
            by_set[one.set_name].append((one.name, seen.size))
    tiny: list[str] = []
    odd: list[str] = []
    for members in by_set.values():
        usual = float(np.median([max(size) for _, size in members]))
        for name, size in members:
            if min(size) < SMALLEST_SIDE:
                tiny.append(name)
            elif max(size) > LARGEST_ASPECT * min(size) or not 1 / ODD_SIZE <= max(size) / usual <= ODD_SIZE:
                odd.append(name)
    few = f"pictures are less than {SMALLEST_SIDE} px high or wide"
    far = f"pictures are {ODD_SIZE:g} times off the size of their set, or {LARGEST_ASPECT:g} times as long as wide"
    return [
        Finding("warning", kind, len(names), words, advice, tuple(names))
        for kind, names, words, advice in (
            ("tiny", tiny, few, "drop them: no cell can be named at that size"),
            ("odd-size", odd, far, "look at them: often thumbnails, screenshots or whole fields among cells"),
        )
        if names
    ]


def _imbalance(classes: Sequence[ClassCount]) -> list[Finding]:
    findings = []
    for set_name in dict.fromkeys(one.set_name for one in classes):
        ours = [one for one in classes if one.set_name == set_name]
        ratio = ours[0].count / ours[-1].count
        rare = tuple(one.label for one in ours if one.share < RAREST_SHARE)
        if ratio > IMBALANCE or rare:
            smallest = f"{ours[-1].label}, n = {ours[-1].count}"
            words = f"classes of {set_name} are rare: the largest is {ratio:.0f} times the smallest ({smallest})"
            advice = "draw classes evenly in training, and give intervals with every score"
            findings.append(Finding("warning", "imbalance", len(rare) or 1, words, advice, rare or (ours[-1].label,)))
        splits = {split for one in ours for split in one.splits}
        absent = tuple(f"{one.label} ({split})" for one in ours for split in sorted(splits) if split not in one.splits)
        if absent:
            words = f"classes of {set_name} are absent from a split"
            findings.append(Finding("warning", "absent-class", len(absent), words, "split by class", absent))
    return findings


def _spacings(sizes: Sequence[SizeGroup], stated: float | None) -> list[Finding]:
    findings = []
    measured = [one for one in sizes if one.spacing is not None and one.red_cell is not None]
    for one in measured:
        if (
            stated is not None
            and one.red_cell is not None
            and not 1 / TOLERANCE <= stated * one.red_cell / RED_CELL_UM <= TOLERANCE
        ):
            words = (
                f"pictures of {one.set_name} ({one.size[0]} x {one.size[1]}): red cells would measure "
                f"{stated * one.red_cell:.1f} um at {stated:g} um per pixel, expected {RED_CELL_UM:g}"
            )
            findings.append(
                Finding("error", "spacing", one.count, words, f"about {one.spacing:.2g} um per pixel would fit")
            )
    for set_name in dict.fromkeys(one.set_name for one in measured):
        ours = sorted((one for one in measured if one.set_name == set_name), key=lambda one: one.spacing or 0)
        low, high = ours[0].spacing or 1, ours[-1].spacing or 1
        if high / low > SPACING_RATIO:
            words = (
                f"sizes of picture in {set_name} differ in spacing: {low:.2g} to {high:.2g} um per pixel by red cells"
            )
            items = tuple(
                f"{one.size[0]} x {one.size[1]}: about {one.spacing:.2g} um/px, n = {one.count}" for one in ours
            )
            findings.append(
                Finding(
                    "warning", "mixed-spacing", len(ours), words, "resample each to one spacing before training", items
                )
            )
    return findings
