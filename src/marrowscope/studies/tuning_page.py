"""The page of a tuning: what was found, every trial, and its figures; Markdown and HTML, figures as SVG and PNG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marrowscope.errors import how_many
from marrowscope.evaluation.intervals import wilson
from marrowscope.evaluation.redrawing import LEAST
from marrowscope.learning.transfer.names import name_of
from marrowscope.studies.cell_studies.figures import write_pngs
from marrowscope.studies.cell_studies.plots import ABOVE, GAP_ACROSS, GAP_DOWN, HIGH, LEFT, WIDE, _ticks
from marrowscope.studies.page import Block, Figure, Page, Table, Text, write_page
from marrowscope.studies.svg import COLOURS, bars, drawing

if TYPE_CHECKING:
    from marrowscope.learning.transfer.tuning import Trial
    from marrowscope.learning.transfer.tuning_command import Tuning

WORDS = {
    "learning_rate": "learning rate",
    "batch": "batch",
    "optimiser": "optimiser",
    "weight_decay": "weight decay",
    "unfrozen": "stages that learn",
}
SCORE = "macro F1 on the validation cells"
INKS = {"complete": COLOURS[0], "stopped early": COLOURS[1], "failed": COLOURS[3]}
ROOM = 0.04
"""Room at either end of an axis, as a share of it; half a choice where there are choices."""


@dataclass(frozen=True, slots=True)
class _Axis:
    """``places`` of the trials and ``ticks`` with their names, in one unit; ``line``: a stepped line across."""

    title: str
    places: Sequence[float]
    ticks: Sequence[tuple[float, str]]
    line: Sequence[float] = ()
    choices: bool = False


def write_tuning_page(tuning: Tuning) -> Path:
    """Write ``tuning.md``, ``tuning.html`` and the figures in ``tuning/`` beside the study; the HTML file."""
    path = tuning.folder / "tuning.md"
    page = tuning_page(tuning)
    written = write_page(page, path)
    write_pngs(page, path)
    return written[1]


def tuning_page(tuning: Tuning) -> Page:
    """The page, whatever the number of trials."""
    facts, cells = tuning.facts, tuning.facts["cells"]
    what = f"{name_of(facts['network'])} by the recipe {facts['recipe']}, {how_many(facts['epochs'], 'epoch')}"
    learnt = f"Learned from {how_many(cells['train'], 'cell')}, judged on {how_many(cells['val'], 'validation cell')}"
    intro = (
        f"{what} at {facts['side']} px; start: {facts['start'].split(',')[0]}.",
        f"Cells: {facts['source']}; parted {facts['parted']}.",
        f"{learnt}. No trial had any of the {how_many(cells['test'], 'test cell')}.",
        *tuning.notes,
    )
    blocks: list[Block] = [_found(tuning)]
    if tuning.trials:
        blocks += [_history(tuning.trials), _importance(tuning), _values(tuning), _table(tuning)]
    return Page(f"Tuning {name_of(facts['network'])} by {facts['recipe']}", intro, facts["typed"], tuple(blocks))


def _found(tuning: Tuning) -> Text:
    best, trials, chosen = tuning.best, tuning.trials, tuning.best_trial
    states = [f"{sum(t.state == state for t in trials)} {state}" for state in INKS]
    counted = f"{how_many(len(trials), 'trial')}: {', '.join(states)}."
    if best is None or chosen is None:
        return Text("What was found", (f"{counted} None is complete, so that nothing is found yet.",))
    score = best["validation"]
    shown = score_words(score["macro_f1"], score["interval"])
    on = how_many(score["n"], "validation cell")
    paragraphs = [
        f"{counted} The best is trial {best['trial']}, with a macro F1 of {shown} on {on}: {_listed(chosen.values)}."
    ]
    own = next((t for t in trials if t.state == "complete" and t.values == tuning.facts["own"]), None)
    if own is not None and own.number == best["trial"]:
        paragraphs.append("These are the recipe's own values: none that were tried are better.")
    elif own is not None and own.macro_f1 is not None:
        low = score["interval"][0] if score["interval"] else None
        inside = low is not None and low <= own.macro_f1
        doubt = " That lies inside the interval of the best: these cells do not prove a difference." if inside else ""
        paragraphs.append(f"The recipe as it is reaches {own.macro_f1:.3f} ({_listed(own.values)}).{doubt}")
    if (apart := doubt_of(tuning)) is not None:
        paragraphs.append(apart)
    flatters = (
        "The best of many trials flatters itself on the cells that chose it. What it is worth is what this says of"
    )
    return Text("What was found", (*paragraphs, f"{flatters} the test cells: {best['command']}"))


def doubt_of(tuning: Tuning) -> str | None:
    """A sentence where the validation cells cannot tell the trials apart; None where they can, or nothing is found."""
    scores = {trial.macro_f1 for trial in tuning.trials if trial.state == "complete"}
    if tuning.best is None or (len(scores) != 1 and tuning.best["validation"]["interval"] is not None):
        return None
    score = tuning.best["validation"]
    n, faultless = score["n"], score["macro_f1"] == 1.0
    number = sum(trial.state == "complete" for trial in tuning.trials)
    if number < 2 and not faultless:
        return None
    alike = f"all {number} complete trials have the same score" if len(scores) == 1 < number else ""
    least = f"{n} right of {n} is what a network that is right on {wilson(n, n)[0]:.1%} of all cells reaches, too"
    why = "; ".join(words for words in (alike, least if faultless else "") if words)
    why = why or ("every redraw of them gives the best trial the same score" if n >= LEAST else "they are too few")
    return f"These cells cannot tell the trials apart: {why}. Keep the recipe, or give more validation cells (--val)."


def _history(trials: Sequence[Trial]) -> Figure:
    best, line = float("nan"), []
    for trial in trials:
        if trial.state == "complete" and trial.macro_f1 is not None and not trial.macro_f1 <= best:
            best = trial.macro_f1
        line.append(best)
    last = trials[-1].number
    step = max(1, ceil(last / 10))
    ticks = [(float(n), str(n)) for n in range(step if step > 1 else 1, last + 1, step)]
    axis = _Axis("trial", [float(trial.number) for trial in trials], ticks, line)
    svg = _dots([axis], trials, f"{SCORE}, trial by trial", wide=2 * WIDE + GAP_ACROSS)
    note = (
        "The line is the best so far. One that was stopped early stands at its score after its last epoch, one that "
        "failed at the foot."
    )
    return Figure("History", "history", svg, (note,))


def _importance(tuning: Tuning) -> Block:
    if not tuning.importance:
        words = "Too few complete trials, or all of one score: nothing can be said of which value matters."
        return Text("Importance", (words,))
    ranked = sorted(tuning.importance.items(), key=lambda one: -one[1])
    shares = [100 * share for _, share in ranked]
    names = [WORDS.get(name, name) for name, _ in ranked]
    complete = sum(trial.state == "complete" for trial in tuning.trials)
    note = (
        f"PED-ANOVA (Watanabe et al. 2023) over {how_many(complete, 'complete trial')}: how far the values of the best "
        "trials differ from those of all, in percent of the sum. With few trials it is a hint, no measurement."
    )
    svg = bars(names, {"importance": shares}, "importance of each value for the macro F1, percent")
    return Figure("Importance", "importance", svg, (note,))


def _values(tuning: Tuning) -> Figure:
    trials = [trial for trial in tuning.trials if trial.values]
    axes = [_axis(name, [trial.values[name] for trial in trials], tuning) for name in tuning.facts["own"]]
    svg = _dots(axes, trials, f"{SCORE} against each value")
    notes = ["Learning rate on a logarithmic axis; the others are moved a little sideways where they would hide."]
    if tuning.space.stages is not None:
        notes.append(f"Stages that learn: of the base's {tuning.space.stages}, the last first; 0 is the head alone.")
    return Figure("Each value", "values", svg, tuple(notes))


def _axis(name: str, values: Sequence[Any], tuning: Tuning) -> _Axis:
    space, title = tuning.space, WORDS.get(name, name)
    if name == "learning_rate":
        low, high = (log10(rate) for rate in space.rates)
        powers = range(ceil(low - 1e-9), floor(high + 1e-9) + 1)
        return _Axis(title, [log10(value) for value in values], [(float(p), f"1e{p}") for p in powers])
    if name == "unfrozen":
        stages = space.stages or 0
        step = max(1, ceil(stages / 7))
        return _Axis(title, _aside(values), [(float(n), str(n)) for n in range(0, stages + 1, step)])
    choices: Sequence[Any] = {"batch": space.batches, "optimiser": space.optimisers, "weight_decay": space.decays}[name]
    places = _aside([choices.index(value) for value in values])
    return _Axis(title, places, [(float(n), _short(choice)) for n, choice in enumerate(choices)], choices=True)


def _aside(places: Iterable[float]) -> list[float]:
    """Moved sideways by turns, so that equal ones are told apart."""
    return [place + (number * 3 % 7 - 3) * 0.04 for number, place in enumerate(places)]


def _table(tuning: Tuning) -> Table:
    names = list(tuning.facts["own"])
    ranked = sorted(tuning.trials, key=lambda t: (t.state != "complete", -(t.macro_f1 or 0.0), t.number))
    rows = tuple(
        (
            str(trial.number),
            trial.state + (f": {trial.why}" if trial.state == "failed" else ""),
            "" if trial.macro_f1 is None else score_words(trial.macro_f1, trial.interval),
            *(_short(trial.values.get(name, "")) for name in names),
            str(len(trial.curve)),
            f"{trial.seconds:.0f}",
        )
        for trial in ranked
    )
    head = ("trial", "state", SCORE, *(WORDS.get(name, name) for name in names), "epochs", "seconds")
    note = (
        "Intervals: 95 %, cells redrawn (patients where they are known); none where every redraw gives the same score. "
        "trials.csv holds the same to all digits."
    )
    return Table("Trials, the best first", head, rows, (note,))


def score_words(value: float, interval: Sequence[float] | None) -> str:
    """``0.912 (0.880 to 0.940)``."""
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{WORDS.get(name, name)} {_short(value)}" for name, value in values.items())


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _dots(axes: Sequence[_Axis], trials: Sequence[Trial], what: str, *, wide: float = WIDE) -> str:
    """A panel an axis, a dot a trial at its score; failed ones are crosses at the foot, the best has a ring."""
    scores = [trial.macro_f1 for trial in trials if trial.macro_f1 is not None]
    low, high = min(scores, default=0.0), max(scores, default=1.0)
    spread = max(high - low, 0.02)
    ys = (max(0.0, low - 0.12 * spread), high + 0.08 * spread)
    best = max((t for t in trials if t.state == "complete"), key=lambda t: t.macro_f1 or 0.0, default=None)
    parts = []
    for number, (state, ink) in enumerate(INKS.items()):
        x = LEFT + 120 * number
        parts.append(_mark(state, x + 5, 31, ink) + f'<text x="{x + 14}" y="35">{escape(state)}</text>')
    parts.append(_ring(LEFT + 365, 31) + f'<text x="{LEFT + 375}" y="35">best</text>')
    for number, axis in enumerate(axes):
        row, column = divmod(number, 3)
        left, top = LEFT + column * (WIDE + GAP_ACROSS), ABOVE + row * (HIGH + GAP_DOWN)
        parts.append(_panel(axis, trials, best, left, top, wide, ys))
    rows, columns = -(-len(axes) // 3), min(3, len(axes))
    height = ABOVE + rows * (HIGH + GAP_DOWN) - 20
    middle = ABOVE + (rows * (HIGH + GAP_DOWN) - GAP_DOWN) / 2
    turned = f'transform="rotate(-90 14 {middle:g})" text-anchor="middle"'
    parts.append(f'<text x="14" y="{middle:g}" {turned}>macro F1</text>')
    return drawing("".join(parts), LEFT + max(columns * (WIDE + GAP_ACROSS), wide + GAP_ACROSS, 440), height, what)


def _panel(
    axis: _Axis,
    trials: Sequence[Trial],
    best: Trial | None,
    left: float,
    top: float,
    wide: float,
    ys: tuple[float, float],
) -> str:
    known = [*axis.places, *(tick for tick, _ in axis.ticks)]
    first, last = min(known), max(known)
    room = 0.5 if axis.choices else ROOM * (last - first) or 1.0

    def across(place: float) -> float:
        return left + (place - first + room) / (last - first + 2 * room) * wide

    def up(score: float) -> float:
        return top + HIGH - (score - ys[0]) / (ys[1] - ys[0]) * HIGH

    parts = [f'<text x="{left}" y="{top - 7}" font-weight="bold">{escape(axis.title)}</text>']
    for tick in _ticks(*ys):
        parts.append(f'<path d="M{left} {up(tick):.1f}h{wide}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 5}" y="{up(tick) + 3:.1f}" text-anchor="end" font-size="9">{tick:g}</text>')
    for place, name in axis.ticks:
        x = f"{across(place):.1f}"
        parts.append(f'<path d="M{x} {top + HIGH}v4" stroke="#666"/>')
        parts.append(f'<text x="{x}" y="{top + HIGH + 15}" text-anchor="middle" font-size="9">{escape(name)}</text>')
    parts.append(f'<rect x="{left}" y="{top}" width="{wide}" height="{HIGH}" fill="none" stroke="#666"/>')
    steps = [(across(x), up(y)) for x, y in zip(axis.places, axis.line, strict=False) if y == y]
    if steps:
        path = f"M{steps[0][0]:.1f} {steps[0][1]:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in steps[1:])
        parts.append(f'<path d="{path}" fill="none" stroke="{COLOURS[2]}" stroke-width="1.6"/>')
    for place, trial in zip(axis.places, trials, strict=True):
        y = top + HIGH - 6 if trial.macro_f1 is None else up(trial.macro_f1)
        parts.append(_mark(trial.state, across(place), y, INKS[trial.state]))
        parts += [_ring(across(place), y)] if trial is best else []
    return "".join(parts)


def _mark(state: str, x: float, y: float, ink: str) -> str:
    if state == "failed":
        return f'<path d="M{x - 3:.1f} {y - 3:.1f}l6 6m0 -6l-6 6" stroke="{ink}" stroke-width="1.6"/>'
    fill = ink if state == "complete" else "#fff"
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{fill}" stroke="{ink}" stroke-width="1.4"/>'


def _ring(x: float, y: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6.5" fill="none" stroke="#1a1a1a" stroke-width="1.2"/>'
