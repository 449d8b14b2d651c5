"""``marrowscope users``: who may use a review that is served to others."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy import URL, Engine

from marrowscope.cli.console import DATABASE_VARIABLE, stdout
from marrowscope.review.access.sessions import Tokens
from marrowscope.review.access.users import Role, Users
from marrowscope.review.database import FILE_NAME, ReviewError, open_database

app = typer.Typer(no_args_is_help=True, help="Who may use a review that is served to others.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the user, as typed at the login.")]
Out = Annotated[
    Path | None,
    typer.Argument(metavar="[OUT]", help="Folder of results of marrowscope count.", show_default=False),
]
Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        envvar=DATABASE_VARIABLE,
        help="In place of OUT: sqlite:///FILE or postgresql://USER@HOST/NAME.",
    ),
]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of standard input.")
]
ROLES = "reader looks, reviewer edits, signer signs, admin does all."


@app.command("add")
def add(
    name: Name,
    output: Out = None,
    role: Annotated[Role, typer.Option("--role", help=ROLES)] = Role.REVIEWER,
    database: Database = None,
    password_stdin: PasswordStdin = False,
) -> None:
    """Let somebody in. The password is asked for twice and not shown."""
    users = Users(_open(output, database, make=True))
    added = users.add(name, _password(password_stdin), role)
    typer.echo(f"{added.name} may log in as {added.role}")


@app.command("list")
def list_users(output: Out = None, database: Database = None) -> None:
    """List the users, removed ones too."""
    rows = Users(_open(output, database)).all()
    table = Table("name", "role", "since", "removed", box=None, pad_edge=False)
    for user in rows:
        table.add_row(user.name, user.role, _day(user.created), _day(user.disabled))
    stdout.print(table if rows else "no users: add one with marrowscope users add NAME --role admin")


@app.command("remove")
def remove(name: Name, output: Out = None, database: Database = None) -> None:
    """Let somebody in no more. Sessions and tokens end at once; what they did stays in the log under their name."""
    Users(_open(output, database)).remove(name)
    typer.echo(f"{name} is let in no more")


@app.command("restore")
def restore(name: Name, output: Out = None, database: Database = None, password_stdin: PasswordStdin = False) -> None:
    """Let a removed user in again, with a new password."""
    restored = Users(_open(output, database)).restore(name, _password(password_stdin))
    typer.echo(f"{restored.name} may log in again as {restored.role}")


@app.command("role")
def change_role(
    name: Name,
    role: Annotated[Role, typer.Argument(metavar="ROLE", help=ROLES)],
    output: Out = None,
    database: Database = None,
) -> None:
    """Give a user another role. The user logs in again."""
    Users(_open(output, database)).set_role(name, role)
    typer.echo(f"{name} is {role} from now on and logs in again")


@app.command("password")
def password(name: Name, output: Out = None, database: Database = None, password_stdin: PasswordStdin = False) -> None:
    """Give a user a new password. The user logs in again."""
    Users(_open(output, database)).set_password(name, _password(password_stdin))
    typer.echo(f"{name} has a new password and logs in again")


@app.command("token")
def token(
    name: Name,
    output: Out = None,
    label: Annotated[str, typer.Option("--label", help="Which program has it.")] = "program",
    days: Annotated[int, typer.Option("--days", help="How long it is valid.")] = 90,
    database: Database = None,
) -> None:
    """Make a token with which a program does what the user may do. It is printed once and cannot be shown again."""
    typer.echo(Tokens(_open(output, database)).make(name.strip().casefold(), label, days))


@app.command("tokens")
def list_tokens(output: Out = None, database: Database = None) -> None:
    """List the tokens of programs, revoked ones too; their secrets are not kept."""
    rows = Tokens(_open(output, database)).all()
    table = Table("number", "user", "label", "since", "until", "revoked", box=None, pad_edge=False)
    for row in rows:
        table.add_row(str(row.id), row.user, escape(row.label), _day(row.created), _day(row.expires), _day(row.revoked))
    stdout.print(table if rows else "no tokens: make one with marrowscope users token NAME")


@app.command("revoke")
def revoke(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="As marrowscope users tokens lists it.")],
    output: Out = None,
    database: Database = None,
) -> None:
    """End a token of a program."""
    Tokens(_open(output, database)).revoke(number)
    typer.echo(f"token {number} is revoked")


def _open(output: Path | None, url: str | None, *, make: bool = False) -> Engine:
    """The database of a folder of results, or the one that was named; ``make`` begins it where there is none yet."""
    if (output is None) == (url is None):
        raise ReviewError("give either the folder of results, OUT, or --database URL")
    if url is not None:
        return open_database(url)
    assert output is not None
    if not output.is_dir():
        raise ReviewError(f"{output} is no folder: give the one that marrowscope count wrote to")
    file = output / FILE_NAME
    if not make and not file.is_file():
        raise ReviewError(f"{output} has no users yet: add one with marrowscope users add NAME --role admin {output}")
    return open_database(URL.create("sqlite", database=str(file)).render_as_string(hide_password=False))


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise ReviewError("there is no terminal to ask for the password: give it with --password-stdin")
    given: str = typer.prompt("Password", hide_input=True, confirmation_prompt="The same again")
    return given


def _day(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).date().isoformat()
