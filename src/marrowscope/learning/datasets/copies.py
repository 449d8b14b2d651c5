"""Findings about pictures that are there more than once: leaks, contradicting labels, duplicates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from marrowscope.learning.datasets.findings import Finding, Likeness, Severity
from marrowscope.learning.datasets.gathering import Listed
from marrowscope.learning.datasets.inspecting import Inspected
from marrowscope.learning.datasets.pairs import find_pairs

WORDS = {
    "exact": "the same pixels",
    "twin": "the same picture, resized, squashed, recoloured or compressed anew",
    "turned": "the same picture turned or mirrored",
    "overlap": "overlapping crops of one place",
}
"""How two pictures show the same, surest first."""

_SQUASH = 1.03

_ADVICE = {
    "exact": "keep one of each",
    "twin": "keep one of each, the one of the best quality",
    "turned": "keep one of each; training turns pictures itself",
    "overlap": "keep such pictures in one split",
}

Alike = tuple[int, int, Likeness]


def find_likenesses(
    pictures: Sequence[Listed],
    inspected: Sequence[Inspected],
    progress: Callable[[float], None] = lambda share: None,
) -> list[Alike]:
    """All pairs of pictures that show the same, as indices ``i < j`` and how."""
    first_of: dict[bytes, int] = {}
    found: dict[tuple[int, int], tuple[str, float]] = {}
    for index, one in enumerate(inspected):
        if one.problem is None and (first := first_of.setdefault(one.digest, index)) != index:
            found[first, index] = "exact", 1.0
    usable = [(index, one.sketch) for index, one in enumerate(inspected) if one.sketch is not None]
    for pair in find_pairs([one for _, one in usable], progress):
        i, j = usable[pair.first][0], usable[pair.second][0]
        exact = inspected[i].digest == inspected[j].digest
        found[i, j] = ("exact", 1.0) if exact else (pair.kind, pair.likeness)
    return [
        (i, j, Likeness(pictures[i].name, pictures[j].name, how, sure)) for (i, j), (how, sure) in sorted(found.items())
    ]


def leaks(pictures: Sequence[Listed], alike: Sequence[Alike]) -> list[Finding]:
    """Pictures that show the same in different splits."""
    between: dict[tuple[str, str], list[Alike]] = defaultdict(list)
    for i, j, likeness in alike:
        first, second = pictures[i], pictures[j]
        if first.split and second.split and first.split != second.split:
            judged, other = sorted((first, second), key=lambda one: ("test", "val", "train").index(str(one.split)))
            between[f"{judged.set_name} {judged.split}", f"{other.set_name} {other.split}"].append((i, j, likeness))
    findings = []
    for (judged_part, other_part), group in between.items():
        judged_pictures = {i for a, b, _ in group for i in (a, b) if _part(pictures[i]) == judged_part}
        findings.append(
            Finding(
                "error",
                "leak",
                len(judged_pictures),
                f"pictures of {judged_part} are also in {other_part} ({_kinds(group)})",
                f"drop the copies from {other_part}, or results on {judged_part} are too good",
                items=tuple(sorted(pictures[i].name for i in judged_pictures)),
                pairs=tuple(likeness for *_, likeness in group),
            )
        )
    return findings


def conflicts(pictures: Sequence[Listed], alike: Sequence[Alike]) -> list[Finding]:
    """Pictures that are the same but not called the same."""
    group = [
        (i, j, likeness)
        for i, j, likeness in alike
        if likeness.how != "overlap" and len({pictures[i].label, pictures[j].label, None}) == 3
    ]
    if not group:
        return []
    labels: dict[str, int] = defaultdict(int)
    for i, j, _ in group:
        labels[" / ".join(sorted((str(pictures[i].label), str(pictures[j].label))))] += 1
    most = ", ".join(f"{words} {n}" for words, n in sorted(labels.items(), key=lambda item: -item[1])[:4])
    return [
        Finding(
            "error",
            "label-conflict",
            len(group),
            f"pairs of copies have different labels ({most})",
            "look at them (-o FILE.html), decide on one label, or drop both",
            items=tuple(f"{one.first} | {one.second}" for *_, one in group),
            pairs=tuple(one for *_, one in group),
        )
    ]


def duplicates(pictures: Sequence[Listed], alike: Sequence[Alike]) -> list[Finding]:
    """Copies within a set and between sets, by kind, whether or not they leak."""
    groups: dict[tuple[str, str, str], list[Alike]] = defaultdict(list)
    for i, j, likeness in alike:
        first, second = sorted((pictures[i].set_name, pictures[j].set_name))
        groups[likeness.how, first, second].append((i, j, likeness))
    findings = []
    for (how, first, second), group in groups.items():
        concerned = {i for a, b, _ in group for i in (a, b) if pictures[i].set_name == second}
        if first == second:
            words = f"pairs within {first}: {WORDS[how]}"
            count, items = len(group), tuple(f"{one.first} | {one.second}" for *_, one in group)
        else:
            words = f"pictures of {second} are in {first}: {WORDS[how]}"
            count, items = len(concerned), tuple(sorted(pictures[i].name for i in concerned))
        pairs = tuple(one for *_, one in group)
        severity: Severity = "note" if how == "overlap" else "warning"
        findings.append(Finding(severity, f"{how}-copies", count, words, _ADVICE[how], items, pairs))
    return findings


def squashed(pictures: Sequence[Listed], inspected: Sequence[Inspected], alike: Sequence[Alike]) -> list[Finding]:
    """Copies whose sides are in another proportion than those of their originals."""
    group = []
    for i, j, likeness in alike:
        (a, b), (c, d) = inspected[i].size, inspected[j].size
        upright = max(a * d / (b * c), b * c / (a * d))
        across = max(a * c / (b * d), b * d / (a * c))
        ratio = {"twin": upright, "turned": min(upright, across)}.get(likeness.how, 1.0)
        if ratio > _SQUASH:
            group.append((i, j, likeness))
    if not group:
        return []
    return [
        Finding(
            "warning",
            "squashed",
            len(group),
            "pairs of copies differ in the proportion of their sides: one of each is squashed",
            "drop the squashed ones: their cells have no true shape and no one spacing",
            items=tuple(f"{one.first} | {one.second}" for *_, one in group),
            pairs=tuple(one for *_, one in group),
        )
    ]


def _part(picture: Listed) -> str:
    return f"{picture.set_name} {picture.split}"


def _kinds(group: Sequence[Alike]) -> str:
    counts = {how: sum(likeness.how == how for *_, likeness in group) for how in WORDS}
    names = {"exact": "exact", "twin": "near", "turned": "turned", "overlap": "overlapping"}
    return ", ".join(f"{n} {names[how]}" for how, n in counts.items() if n)
