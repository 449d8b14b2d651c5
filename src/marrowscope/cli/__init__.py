"""The command line: one module a verb, loaded only when it is asked for.

A verb's module has a function ``command`` (or a typer application ``app`` for a verb with verbs of its own).
``marrowscope --help`` imports none of them.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, NoReturn

import typer

from marrowscope import __version__
from marrowscope.errors import MarrowscopeError

VERBS = {
    "demo": "Make a phantom slide, count it and write the report: the whole line in one go.",
    "count": "Count one or more slides: differential, report, tables.",
    "regions": "Show where on a slide counting would take place.",
    "review": "Review counted slides in the browser: look, correct, comment, sign.",
    "evaluate": "Hold a pack against labelled slides: scores with intervals, a verification to sign.",
    "classify": "Name the cells in pictures of single cells.",
    "explain": "Show where in pictures of single cells the evidence for their types lies.",
    "phantom": "Generate a smear with known truth.",
    "packs": "List, show, verify, add and build packs of models.",
    "annotations": "Annotated cells of slides: import, export, tiles to train on.",
    "data": "Fetch, describe and check data to learn from; clean splits of the public sets.",
    "train": "Train a network for cells, a cascade, a detector or a region model (needs the extra 'train').",
    "tune": "Find the values that a network for cells is best trained with (needs the extra 'train').",
    "study": "Run the experiment of a paper and set its figures beside ours.",
    "users": "Who may use a review that is served to others.",
    "backup": "Back up the review of a folder of results, while it is in use.",
    "restore": "Bring a review back from a backup.",
    "doctor": "Check this installation.",
}
"""Verb to one line of help, in the order of ``marrowscope --help``."""

INTERRUPTED = 130


def build_app(verb: str | None) -> typer.Typer:
    """The command line with ``verb`` loaded and every other verb present by name and help only."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(epilog="Start with [bold]marrowscope demo[/bold]. For research use only.")(_root)
    for name, words in VERBS.items():
        if name != verb:
            app.command(name, help=words)(_not_loaded)
            continue
        module = importlib.import_module(f"marrowscope.cli.{name}")
        if hasattr(module, "app"):
            verbs = copy(module.app)
            verbs.registered_commands = [copy(registered) for registered in module.app.registered_commands]
            for registered in verbs.registered_commands:
                registered.callback = _kind(registered.callback)
            app.add_typer(verbs, name=name, help=words)
        else:
            app.command(name)(_kind(module.command))
    return app


def _kind(function: Callable[..., Any]) -> Callable[..., Any]:
    """Errors made for people become one line and exit code 1; an interrupt says how to go on and exits with 130."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except MarrowscopeError as error:
            typer.secho(f"marrowscope: {error}", fg="red", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.secho(
                "marrowscope: interrupted; nothing half-written. Run the same command again to go on.", err=True
            )
            raise typer.Exit(INTERRUPTED) from None

    return guarded


def _not_loaded() -> None:
    raise AssertionError("this verb was registered for the list of verbs only")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"marrowscope {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    """From a scanned bone-marrow smear to a reviewed, signed differential count."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    verb = next((word for word in given if not word.startswith("-")), None)
    try:
        build_app(verb)(args=given, prog_name="marrowscope")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(0)
