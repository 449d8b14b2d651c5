"""``marrowscope doctor``: what is installed, what this machine offers, and a short count with a known answer."""

from __future__ import annotations

import importlib
import json
import os
import platform
import re
import sys
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from marrowscope import __version__
from marrowscope.errors import MarrowscopeError, PackError
from marrowscope.packs.loading import known_packs, load_pack, load_pack_folder

MODULES = {
    "opencv-python-headless": "cv2",
    "argon2-cffi": "argon2",
    "openslide-python": "openslide",
    "openslide-bin": "openslide_bin",
    "pillow": "PIL",
    "pyyaml": "yaml",
}
"""Modules whose name is not that of their distribution."""

EXTRAS = ("formats", "train", "department")
SELF_TEST_PACK = "phantom-16"
SELF_TEST_SEED = 11
LEAST_FOUND = 0.8
"""Share of the phantom's cells that a working installation finds at the least; in truth it is near 1."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """A count of a phantom field with known truth. ``seconds`` is opening the models and counting, no rendering."""

    cells: int
    found: int
    right_type: int
    seconds: float


@dataclass(slots=True)
class Examination:
    """What the doctor saw. ``problems`` are whole sentences that say what to type; empty means healthy."""

    versions: dict[str, str]
    system: str
    cores: int
    memory_gb: float | None
    providers: list[str] = field(default_factory=list)
    libraries: dict[str, str | None] = field(default_factory=dict)
    extras: dict[str, list[str]] = field(default_factory=dict)
    """Extra to the distributions that it would still need: none missing, it is installed."""
    packs: dict[str, str] = field(default_factory=dict)
    """Name to "ok" or to what is wrong with it."""
    self_test: SelfTest | None = None
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {"ok": not self.problems, **asdict(self)}


def command(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False) -> None:
    """Check this installation: versions, machine, extras, packs, and a short count with a known answer.

    Exits with 1 when something that counting needs is broken, and says what to type.
    """
    examination = examine()
    if as_json:
        typer.echo(json.dumps(examination.as_dict(), indent=2))
    else:
        show(examination, Console())
        for problem in examination.problems:
            typer.secho(f"marrowscope: {problem}", fg="red", err=True)
    if examination.problems:
        raise typer.Exit(1)


def examine() -> Examination:
    """Look at everything; never raises for what is broken, but writes it down."""
    seen = Examination(
        versions={"marrowscope": __version__, "python": platform.python_version()},
        system=f"{platform.system()} {platform.machine()}",
        cores=usable_cores(),
        memory_gb=memory_gb(),
    )
    _libraries(seen)
    seen.extras = {extra: missing for extra in EXTRAS if (missing := missing_for(extra)) is not None}
    _packs(seen)
    if not seen.problems:
        _self_test(seen)
    return seen


def _libraries(seen: Examination) -> None:
    """Import each library of the core: metadata alone would not notice a native part that cannot be loaded."""
    for name in _requirements(extra=None):
        try:
            importlib.import_module(MODULES.get(name, name.replace("-", "_")))
            seen.libraries[name] = version(name)
        except (ImportError, OSError, PackageNotFoundError) as error:
            seen.libraries[name] = None
            reason = str(error).splitlines()[0]
            seen.problems.append(f"{name} cannot be used ({reason}); type: pip install --force-reinstall {name}")
    if seen.libraries.get("onnxruntime"):
        seen.providers = list(importlib.import_module("onnxruntime").get_available_providers())


def missing_for(extra: str) -> list[str] | None:
    """Distributions that an extra still needs (nothing is imported); None when there is no such extra."""
    needed = _requirements(extra)
    return [name for name in needed if not _installed(name)] if needed else None


def _requirements(extra: str | None) -> list[str]:
    """Names of the distributions that the core, or one extra, asks for, from the installed metadata."""
    names = []
    for line in requires("marrowscope") or []:
        condition = re.search(r"""extra == ['"]([\w-]+)['"]""", line)
        if (condition.group(1) if condition else None) == extra:
            names.append(re.split(r"[^\w.-]", line, maxsplit=1)[0])
    return names


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _packs(seen: Examination) -> None:
    for name, folder in known_packs().items():
        try:
            load_pack_folder(folder)
            seen.packs[name] = "ok"
        except PackError as error:
            seen.packs[name] = str(error)
            seen.problems.append(str(error))
    if SELF_TEST_PACK not in seen.packs:
        seen.problems.append(
            f"the built-in pack {SELF_TEST_PACK} is missing; type: pip install --force-reinstall marrowscope"
        )


def _self_test(seen: Examination) -> None:
    try:
        seen.self_test = run_self_test()
    except MarrowscopeError as error:
        seen.problems.append(f"the self-test failed: {error}")
        return
    if seen.self_test.found < LEAST_FOUND * seen.self_test.cells:
        seen.problems.append(
            f"the self-test found {seen.self_test.found} of {seen.self_test.cells} cells of a phantom, so the models "
            "do not run as they should; type: pip install --force-reinstall onnxruntime marrowscope"
        )


def run_self_test() -> SelfTest:
    """Count a phantom field of 512 x 512 px in memory, through the whole line but the report."""
    from marrowscope.evaluation.matching import match_boxes
    from marrowscope.geometry import Size
    from marrowscope.options import CountOptions
    from marrowscope.phantom import FieldOptions, render_field
    from marrowscope.pipeline import count_slide
    from marrowscope.slides.memory import MemorySlide

    options = FieldOptions(stain="may-gruenwald-giemsa")
    rendered = render_field(options, Size(512, 512), seed=SELF_TEST_SEED)
    whole = rendered.cells.filter(rendered.cells["visible"] > 0.5)
    started = perf_counter()
    slide = MemorySlide(rendered.picture, options.spacing, name="self-test")
    content = count_slide(slide, load_pack(SELF_TEST_PACK), CountOptions(cells="all", region="whole"))
    seconds = perf_counter() - started
    corners = ["x0", "y0", "x1", "y1"]
    matching = match_boxes(content.cells.select(corners).to_numpy(), whole.select(corners).to_numpy())
    called, true = content.cells["type"].to_numpy()[matching.predicted], whole["type"].to_numpy()[matching.truth]
    return SelfTest(whole.height, len(matching), int((called == true).sum()), round(seconds, 2))


def usable_cores() -> int:
    """Cores that this process may use (containers and job schedulers give fewer than there are)."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_gb(limit_file: Path = Path("/sys/fs/cgroup/memory.max")) -> float | None:
    """Memory of the machine, or of the container where that is less; GiB; None where the system does not say."""
    if sys.platform == "win32":
        return None
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if limit_file.is_file() and (limit := limit_file.read_text().strip()).isdigit():
        total = min(total, int(limit))
    return round(total / 2**30, 1)


def show(seen: Examination, console: Console) -> None:
    """Print the examination as one table."""
    from marrowscope.detection.engine import PREFERRED_PROVIDERS

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("marrowscope", f"{seen.versions['marrowscope']} on Python {seen.versions['python']}, {seen.system}")
    memory = "memory unknown" if seen.memory_gb is None else f"{seen.memory_gb:.1f} GiB memory"
    table.add_row("machine", f"{seen.cores} core{'s' if seen.cores > 1 else ''}, {memory}")
    used = [name for name in PREFERRED_PROVIDERS if name in seen.providers]
    table.add_row("runs models on", ", ".join(name.removesuffix("ExecutionProvider") for name in used))
    table.add_row(
        "libraries", ", ".join(f"{name} {found or '[red]broken[/red]'}" for name, found in seen.libraries.items())
    )
    for extra, missing in seen.extras.items():
        absent = f"not installed (pip install 'marrowscope\\[{extra}]' brings {', '.join(missing)})"
        table.add_row(f"extra {extra}", absent if missing else "installed")
    for name, state in seen.packs.items():
        table.add_row(f"pack {name}", "[green]ok[/green]" if state == "ok" else f"[red]{state}[/red]")
    if (test := seen.self_test) is not None:
        words = f"{test.found} of {test.cells} cells of a phantom found, {test.right_type} types right"
        table.add_row("self-test", f"{words}, {test.seconds:.2f} s")
    verdict = "[red]something is broken[/red]" if seen.problems else "[green]ready to count[/green]"
    table.add_row("", verdict)
    console.print(table, highlight=False)
