"""Many slides into one folder: each on its own, each whole or not at all, a summary at the end.

Slides are independent of each other: a broken one does not stop the others, and each could run on another machine.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from marrowscope.cases import pool_case
from marrowscope.checkpoint import Checkpoint
from marrowscope.differential.result import Differential
from marrowscope.errors import MarrowscopeError, OutputError
from marrowscope.files import write_json
from marrowscope.options import CountOptions, Progress, silent
from marrowscope.packs.loading import Pack
from marrowscope.pipeline import count_slide
from marrowscope.regions import save_regions
from marrowscope.report.content import ReportContent
from marrowscope.report.writing import WRITERS, write_report
from marrowscope.runs import fingerprint, output_names, pseudonym, read_run, slide_identity
from marrowscope.slides import open_slide
from marrowscope.stored import read_content

CASE_FILES = ("differential.json", "differential.csv", "report.html", "report.pdf")
"""What is written for a case; its cells stay in the folders of its smears, in the pixels of their slides."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one slide: a report in ``folder``, or an error.

    ``earlier`` says that the folder already held the answer to this very question.
    """

    label: str
    folder: Path
    content: ReportContent | None = None
    seconds: float = 0.0
    earlier: bool = False
    error: str | None = None

    @property
    def differential(self) -> Differential | None:
        return None if self.content is None else self.content.differential

    def summary(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "slide": self.label,
            "folder": str(self.folder),
            "error": self.error,
            "earlier": self.earlier,
            "seconds": round(self.seconds, 3),
            "differential": None if self.differential is None else self.differential.model_dump(mode="json"),
        }


def count_slides(
    slides: Sequence[Path],
    output: Path,
    pack: Pack,
    options: CountOptions | None = None,
    *,
    spacing: float | None = None,
    pseudonymous: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> list[Outcome]:
    """Count each slide into a folder of ``output``; errors are in the outcomes, in the order of the slides."""
    labels = output_names(slides)
    if pseudonymous:
        labels = [pseudonym(label) for label in labels]
    outcomes = []
    for number, (slide, label) in enumerate(zip(slides, labels, strict=True), start=1):
        place = f"{number}/{len(slides)} " if len(slides) > 1 else ""

        def report(stage: str, done: float, words: str = "", place: str = place) -> None:
            progress(place + stage, done, words)

        try:
            outcome = count_file(
                slide, output / label, pack, options, spacing=spacing, label=label, force=force, progress=report
            )
        except MarrowscopeError as error:
            outcome = Outcome(label, output / label, error=_unnamed(str(error), slide, label, pseudonymous))
        except Exception as error:  # noqa: BLE001 - a defect that one slide shows must not lose the others; exit code 1
            if not pseudonymous:  # a traceback shows paths
                traceback.print_exc()
            outcome = Outcome(label, output / label, error=f"unforeseen {type(error).__name__}: please report it")
        outcomes.append(outcome)
    return outcomes


def count_file(
    path: Path,
    folder: Path,
    pack: Pack,
    options: CountOptions | None = None,
    *,
    spacing: float | None = None,
    label: str | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Outcome:
    """Count one slide file into ``folder``.

    ``run.json`` comes last, so a folder with it is complete. The same question again is answered from the folder,
    unless ``force`` is set. Raises ``OutputError`` when the folder belongs to another slide.
    """
    started = perf_counter()
    options = options or CountOptions()
    label = label or path.stem
    with open_slide(path, spacing) as slide:
        identity = slide_identity(path)
        asked = fingerprint(identity, pack.sha256, options.question() | {"spacing": spacing, "label": label})
        earlier = read_run(folder)
        if earlier is not None and not force:
            if earlier.get("slide_sha256") != identity:
                raise OutputError(
                    f"{folder} holds the results of another slide: choose another folder with -o, or replace them "
                    "with --force"
                )
            if earlier.get("fingerprint") == asked and (stored := read_content(folder, slide, pack)) is not None:
                return Outcome(label, folder, stored, perf_counter() - started, earlier=True)
        source = "given" if spacing is not None else "file"
        checkpoint = Checkpoint(folder / ".counting.parquet", asked)
        content = count_slide(
            slide, pack, options, label=label, spacing_source=source, checkpoint=checkpoint, progress=progress
        )
        progress("writing the report", 0.0, "")
        before_report = perf_counter()
        start_folder(folder)
        save_regions(content.finding, folder / "regions.geojson", slide)
    write_report(content, folder)
    now = perf_counter()
    seconds = content.run["seconds"] | {"report": round(now - before_report, 4), "total": round(now - started, 4)}
    checkpoint.remove()
    write_json(
        folder / "run.json",
        {**content.run, "slide": label, "slide_sha256": identity, "fingerprint": asked, "seconds": seconds},
    )
    return Outcome(label, folder, content, perf_counter() - started)


def count_case(
    name: str, outcomes: Sequence[Outcome], output: Path, pack: Pack, options: CountOptions | None = None
) -> Outcome:
    """Pool the smears that were counted into ``output/name``: report and differential; the cells stay with the smears.

    Raises ``MarrowscopeError`` for fewer than two counted smears, ``OutputError`` when the folder is a smear's.
    """
    started = perf_counter()
    if not name.strip(". ") or Path(name).name != name:
        raise OutputError(f"the case {name!r} cannot be the name of a folder: give --case a name without / or \\")
    folder = output / name
    if folder in [outcome.folder for outcome in outcomes]:
        raise OutputError(
            f"the case {name!r} would take the folder of the slide of that name: give --case another name"
        )
    smears = [outcome.content for outcome in outcomes if outcome.content is not None]
    content = pool_case(name, smears, pack, options)
    start_folder(folder)
    for file_name in CASE_FILES:
        WRITERS[file_name](content, folder / file_name)
    write_json(folder / "run.json", {**content.run, "case": name, "smears": [smear.slide.label for smear in smears]})
    return Outcome(name, folder, content, perf_counter() - started)


def start_folder(folder: Path) -> None:
    """Make the folder; without an earlier ``run.json`` it is not complete until the new one comes."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.json").unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write into {folder} ({error.strerror}): choose another folder with -o") from error


def _unnamed(message: str, slide: Path, label: str, pseudonymous: bool) -> str:
    if not pseudonymous:
        return message
    for name in (str(slide.resolve()), str(slide), slide.name, slide.stem):
        message = message.replace(name, label)
    return message
