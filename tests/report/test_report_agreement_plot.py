"""Bland-Altman plots: every slide is a point inside the frame, the lines stand where the numbers are."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from marrowscope.evaluation.differential_error import bland_altman
from marrowscope.report.agreement_plot import HEIGHT, WIDTH, agreement_plot


def places(svg: str, name: str) -> list[float]:
    return [float(y) for y in re.findall(rf'class="{name}" d="M[\d.]+ ([\d.]+)H', svg)]


def test_points_and_lines() -> None:
    svg = agreement_plot(bland_altman([5, 10, 20, 40], [6, 9, 22, 43]), "Blast")
    root = ET.fromstring(svg)
    dots = [node for node in root if node.get("class") == "dot"]
    assert len(dots) == 4
    for dot in dots:
        assert 0 < float(dot.get("cx", "-1")) < WIDTH
        assert 0 < float(dot.get("cy", "-1")) < HEIGHT
    (bias,), (zero,), limits = places(svg, "bias"), places(svg, "zero"), places(svg, "limit")
    assert bias < zero  # a positive bias lies above nothing
    assert sum(limits) / 2 == pytest.approx(bias, abs=0.2)
    assert "+1.2" in svg


def test_no_spread_and_no_difference_can_be_drawn() -> None:
    svg = agreement_plot(bland_altman([0, 0, 0], [0, 0, 0]), "Mast cell")
    assert "nan" not in svg
    assert "0.0" in svg
    assert "\N{MINUS SIGN}0.0" not in svg
    ET.fromstring(svg)
