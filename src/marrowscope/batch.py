"""Many slides into one folder: each on its own, each whole or not at all, a summary at the end.

Slides are independent of each other: a broken one does not stop the others, and each could run on another machine.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from marrowscope.differential.result import Differential
from marrowscope.errors import MarrowscopeError, OutputError
from marrowscope.files import write_json
from marrowscope.options import CountOptions, Progress, silent
from marrowscope.packs.loading import Pack
from marrowscope.pipeline import count_slide
from marrowscope.regions import save_regions
from marrowscope.report import write_report
from marrowscope.runs import fingerprint, output_names, pseudonym, read_run, slide_identity
from marrowscope.slides import open_slide


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one slide: a differential in ``folder``, or an error.

    ``earlier`` says that the folder already held the answer to this very question.
    """

    label: str
    folder: Path
    differential: Differential | None = None
    seconds: float = 0.0
    earlier: bool = False
    error: str | None = None

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
    labels = [pseudonym(name) for name in output_names(slides)] if pseudonymous else output_names(slides)
    outcomes = []
    for slide, label in zip(slides, labels, strict=True):
        try:
            outcome = count_file(
                slide, output / label, pack, options, spacing=spacing, label=label, force=force, progress=progress
            )
        except MarrowscopeError as error:
            message = str(error).replace(str(slide), label).replace(slide.stem, label) if pseudonymous else str(error)
            outcome = Outcome(label, output / label, error=message)
        except Exception as error:  # noqa: BLE001 - a defect that one slide shows must not lose the others; exit code 1
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
    """Count one slide file into ``folder`` (the list of files: ARCHITECTURE.md, "Files of a run").

    ``run.json`` comes last, so a folder with it is complete. The same question again is answered from the folder,
    unless ``force`` is set. Raises ``OutputError`` when the folder belongs to another slide.
    """
    started = perf_counter()
    options = options or CountOptions()
    label = label or path.stem
    with closing(open_slide(path, spacing)) as slide:
        identity = slide_identity(path)
        asked = fingerprint(identity, pack.sha256, options.question() | {"spacing": spacing, "label": label})
        earlier = read_run(folder)
        if earlier is not None and not force:
            if earlier.get("fingerprint") == asked and (stored := _stored(folder)) is not None:
                return Outcome(label, folder, stored, perf_counter() - started, earlier=True)
            if earlier.get("slide_sha256") != identity:
                raise OutputError(
                    f"{folder} holds the results of another slide: choose another folder with -o, or replace them "
                    "with --force"
                )
        source = "given" if spacing is not None else "file"
        content = count_slide(slide, pack, options, label=label, spacing_source=source, progress=progress)
        progress("report", 0.0, "")
        (folder / "run.json").unlink(missing_ok=True)
        save_regions(content.finding, folder / "regions.geojson", slide)
    before_report = perf_counter()
    write_report(content, folder)
    seconds = dict(content.run["seconds"]) | {"report": round(perf_counter() - before_report, 4)}
    seconds["total"] = round(perf_counter() - started, 4)
    run = dict(content.run) | {
        "slide": label,
        "slide_sha256": identity,
        "fingerprint": asked,
        "seconds": seconds,
    }
    write_json(folder / "run.json", run)
    return Outcome(label, folder, content.differential, perf_counter() - started)


def _stored(folder: Path) -> Differential | None:
    try:
        return Differential.model_validate_json((folder / "differential.json").read_bytes())
    except (OSError, ValueError):
        return None
