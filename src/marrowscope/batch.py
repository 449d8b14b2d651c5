"""Many slides into one folder: each on its own, each whole or not at all, a summary at the end.

Slides are independent of each other: a broken one does not stop the others, and each could run on another machine.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from time import perf_counter
from typing import Any

from marrowscope.cases import pool_case
from marrowscope.checkpoint import Checkpoint
from marrowscope.differential.result import Differential
from marrowscope.errors import MarrowscopeError, OutputError
from marrowscope.files import write_json
from marrowscope.options import CountOptions, Progress, silent
from marrowscope.packs.loading import Pack
from marrowscope.pipeline import count_slide, run_facts
from marrowscope.regions import save_regions
from marrowscope.report.content import ReportContent
from marrowscope.report.writing import WRITERS, write_report
from marrowscope.runs import fingerprint, output_names, pseudonym, read_run, slide_identity, slide_name
from marrowscope.slides import open_slide, require_spacing
from marrowscope.stored import read_content

CASE_FILES = ("differential.json", "differential.csv", "report.html", "report.pdf")
"""What is written for a case; its cells stay in the folders of its smears, in the pixels of their slides."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one slide or case: a report in ``folder``, or an error.

    ``earlier`` says that the folder already held the answer to this very question. ``content`` holds
    pictures and is kept for the smears of a case only.
    """

    label: str
    folder: Path
    differential: Differential | None = None
    seconds: float = 0.0
    earlier: bool = False
    error: str | None = None
    slide_sha256: str | None = None
    content: ReportContent | None = None

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
    case: str | None = None,
    spacing: float | None = None,
    pseudonymous: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> list[Outcome]:
    """Count each slide into a folder of ``output``; errors are in the outcomes, in the order of the slides.

    With ``case`` the slides are pooled as smears of that case, and its outcome comes last. Raises ``OutputError`` when
    the name of the case cannot be that of a folder of its own, ``PackError`` for a pack without a detector.
    """
    _ = pack.contract.counts_with  # one refusal, not one a slide
    labels = output_names(slides)
    if pseudonymous:
        labels = [pseudonym(label) for label in labels]
        case = pseudonym(case) if case is not None else None
    if case is not None:
        if len(slides) < 2:
            raise OutputError(f"the case {case!r} has one smear; --case pools two slides or more: leave it out")
        check_case_folder(case, labels, output)
    hidden = [*slides, *([Path(options.region)] if options and options.region_words == "file" else [])]
    outcomes = []
    for number, (slide, label) in enumerate(zip(slides, labels, strict=True), start=1):
        place = f"{number}/{len(slides)} " if len(slides) > 1 else ""

        def report(stage: str, done: float, words: str = "", place: str = place) -> None:
            progress(place + stage, done, words)

        folder = output / label
        try:
            outcome = count_file(
                slide,
                folder,
                pack,
                options,
                spacing=spacing,
                label=label,
                pseudonymous=pseudonymous,
                force=force,
                progress=report,
            )
        except MarrowscopeError as error:
            message = without_names(str(error), hidden, label) if pseudonymous else str(error)
            outcome = Outcome(label, folder, error=message)
        except Exception as error:  # noqa: BLE001 - a defect that one slide shows must not lose the others; exit code 1
            if not pseudonymous:  # a traceback shows paths
                traceback.print_exc()
            outcome = Outcome(label, folder, error=f"unforeseen {type(error).__name__}: please report it")
        outcomes.append(outcome if case is not None else replace(outcome, content=None))
    if case is not None:
        outcomes.append(count_case(case, outcomes, output, pack, options))
    return outcomes


def count_file(
    path: Path,
    folder: Path,
    pack: Pack,
    options: CountOptions | None = None,
    *,
    spacing: float | None = None,
    label: str | None = None,
    pseudonymous: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> Outcome:
    """Count one slide file into ``folder``.

    ``run.json`` comes last, so a folder with it is complete. It says where slide and pack lie, for the
    review, unless the run is ``pseudonymous``. The same question again is answered from the folder,
    unless ``force`` is set. Raises ``OutputError`` when the folder belongs to another slide or cannot be written.
    """
    started = perf_counter()
    options = options or CountOptions()
    label, pack = label or slide_name(path), pack.for_specimen(options.specimen)
    with open_slide(path, spacing) as slide:
        require_spacing(slide)
        identity = slide_identity(path)
        asked = fingerprint(identity, pack.sha256, options.question() | {"spacing": spacing, "label": label})
        earlier = read_run(folder)
        if earlier is not None and not force:
            if earlier.get("slide_sha256") != identity:
                raise OutputError(
                    f"{folder} holds the results of another slide or case: choose another folder with -o, or replace "
                    "them with --force"
                )
            if earlier.get("fingerprint") != asked:
                raise OutputError(
                    f"{folder} holds an earlier count of this slide, made otherwise "
                    f"({_differs(earlier, pack, options)}): choose another folder with -o, or replace it with --force"
                )
            if (stored := read_content(folder, slide, pack)) is not None:
                seconds = perf_counter() - started
                return Outcome(label, folder, stored.differential, seconds, True, None, identity, stored)
        source = "given" if spacing is not None else "file"
        checkpoint = Checkpoint(folder / ".counting.parquet", asked)
        with writable(folder):
            content = count_slide(
                slide, pack, options, label=label, spacing_source=source, checkpoint=checkpoint, progress=progress
            )
        content = replace(content, run={**content.run, "fingerprint": asked})
        progress("writing the report", 0.0, "")
        before_report = perf_counter()
        clear(folder)
        save_regions(content.finding, folder / "regions.geojson", slide)
    write_report(content, folder)
    now = perf_counter()
    seconds = content.run["seconds"] | {"report": round(now - before_report, 4), "total": round(now - started, 4)}
    facts: dict[str, Any] = {"slide": label, "slide_sha256": identity, "fingerprint": asked, "seconds": seconds}
    if not pseudonymous:
        facts |= {"file": str(path.resolve()), "pack_folder": str(pack.folder.resolve())}
    write_json(folder / "run.json", {**content.run, **facts})
    checkpoint.remove()
    return Outcome(label, folder, content.differential, perf_counter() - started, False, None, identity, content)


def _differs(earlier: Mapping[str, Any], pack: Pack, options: CountOptions) -> str:
    """In what an earlier run differs from what is asked now, in words."""
    was, now = earlier.get("options", {}), options.question() | {"region": options.region_words}
    found = [f"{name.replace('_', ' ')} {was.get(name)}" for name in now if was.get(name) != now[name]]
    if earlier.get("pack", {}).get("sha256") != pack.sha256:
        found.insert(0, f"pack {earlier.get('pack', {}).get('name', 'unknown')}, of other content")
    return ", ".join(found) or "another version, spacing or label"


def count_case(
    name: str, smears: Sequence[Outcome], output: Path, pack: Pack, options: CountOptions | None = None
) -> Outcome:
    """Pool the smears that were counted into ``output/name``: report and differential; the cells stay with the smears.

    What keeps a case from being pooled is in the outcome: a smear that failed, the same slide twice, fewer than two.
    """
    started = perf_counter()
    options = options or CountOptions()
    folder = output / name
    try:
        pack = pack.for_specimen(options.specimen)
        if failed := [smear.label for smear in smears if smear.content is None]:
            raise MarrowscopeError(f"not pooled, as {', '.join(failed)} could not be counted: mend or leave it out")
        if len({smear.slide_sha256 for smear in smears}) < len(smears):
            raise MarrowscopeError("not pooled, as the same slide was given twice: give each smear once")
        content = pool_case(name, [smear.content for smear in smears if smear.content is not None], pack, options)
        with writable(folder):
            clear(folder)
        for file_name in CASE_FILES:
            WRITERS[file_name](content, folder / file_name)
        facts = run_facts(pack, options, {"total": perf_counter() - started})
        write_json(folder / "run.json", {**facts, "case": name, "smears": [smear.label for smear in smears]})
    except MarrowscopeError as error:
        return Outcome(name, folder, error=str(error))
    return Outcome(name, folder, content.differential, perf_counter() - started, content=content)


def check_case_folder(name: str, labels: Sequence[str], output: Path) -> None:
    """Raise ``OutputError`` unless the case gets a folder of its own: no path, no slide's name or results."""
    if not name.strip(". ") or Path(name).name != name or "\\" in name:
        raise OutputError(f"the case {name!r} cannot be the name of a folder: give --case a name without / or \\")
    if name in labels:
        raise OutputError(
            f"the case {name!r} would take the folder of the slide of that name: give --case another name"
        )
    if (output / name / "cells.parquet").exists():
        raise OutputError(f"{output / name} holds the results of a slide: give --case another name")


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Make the folder and try it before the work; take it away again when the work fails and left nothing in it."""
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"cannot write into {folder} ({error.strerror}): choose another folder with -o") from error
    try:
        yield
    except BaseException:
        if made:
            with suppress(OSError):  # not empty: a checkpoint is worth keeping
                folder.rmdir()
        raise


def clear(folder: Path) -> None:
    """Take away earlier results, ``run.json`` first: none may stand beside new ones that were made otherwise."""
    for name in ("run.json", "regions.geojson", *WRITERS):
        (folder / name).unlink(missing_ok=True)


def without_names(message: str, paths: Sequence[Path], label: str) -> str:
    """The message with the names of these files replaced: whole paths anywhere, bare names where a word ends."""
    words = []
    for path in paths:
        words += [re.escape(str(path.resolve())), re.escape(str(path))]
        words += [rf"(?<!\w){re.escape(bare)}(?!\w)" for bare in (path.name, path.stem) if bare]
    return re.sub("|".join(sorted(set(words), key=len, reverse=True)), label, message)
