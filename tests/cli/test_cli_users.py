import io

import pytest
from argon2 import PasswordHasher

from marrowscope.cli import main
from marrowscope.cli import users as verb
from marrowscope.review.access.sessions import Tokens
from marrowscope.review.access.users import Role, Users
from marrowscope.review.database import FILE_NAME, open_database

PASSWORD = "correct horse battery"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run ``marrowscope users ...`` with a password on standard input; exit code, stdout, stderr."""
    monkeypatch.setattr(verb, "Users", lambda engine: Users(engine, hasher=PasswordHasher(1, 8, 1)))

    def run(*arguments, stdin=PASSWORD + "\n"):
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin) if isinstance(stdin, str) else stdin)
        with pytest.raises(SystemExit) as leaving:
            main(["users", *map(str, arguments)])
        said = capsys.readouterr()
        assert PASSWORD not in said.out + said.err
        return leaving.value.code, said.out, " ".join(said.err.split())

    return run


@pytest.fixture
def out(tmp_path, run):
    """A folder of results with the admin otto."""
    assert run("add", "otto", "--role", "admin", tmp_path, "--password-stdin")[0] == 0
    return tmp_path


def opened(out):
    return open_database(f"sqlite:///{out / FILE_NAME}")


def test_users_are_added_listed_changed_and_removed(out, run):
    assert run("add", "Rita", out, "--password-stdin") == (0, "rita may log in as reviewer\n", "")
    assert run("role", "rita", "signer", out)[0] == 0
    assert run("password", "rita", out, "--password-stdin", stdin="another horse battery\n")[0] == 0
    users = Users(opened(out), hasher=PasswordHasher(1, 8, 1))
    assert users.check("rita", PASSWORD) is None
    assert users.check("rita", "another horse battery").role is Role.SIGNER
    assert run("remove", "rita", out)[0] == 0
    assert users.check("rita", "another horse battery") is None
    listed = run("list", out)[1]
    assert "otto" in listed
    assert "signer" in listed
    assert run("restore", "rita", out, "--password-stdin")[0] == 0
    assert users.check("rita", PASSWORD) is not None


def test_a_token_is_printed_once(out, run):
    code, token, _ = run("token", "otto", out, "--label", "[bold]export", "--days", "7")
    assert code == 0
    tokens = Tokens(opened(out))
    assert tokens.find(token.strip()).user == "otto"
    listed = run("tokens", out)[1]
    assert "[bold]export" in listed
    assert token.strip() not in listed
    assert run("revoke", 1, out)[0] == 0
    assert tokens.find(token.strip()) is None


def test_a_database_can_be_named(tmp_path, run):
    url = f"sqlite:///{tmp_path / 'other.sqlite'}"
    assert run("add", "otto", "--role", "admin", "--database", url, "--password-stdin")[0] == 0
    assert "otto" in run("list", "--database", url)[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("list",), "either the folder of results, OUT, or --database"),
        (("list", "OUT", "--database", "sqlite:///x"), "either the folder of results"),
        (("list", "OUT/missing"), "is no folder"),
        (("list", "OUT"), "has no users yet"),
        (("add", "rita", "OUT"), "--password-stdin"),
        (("add", "rita", "OUT", "--password-stdin"), "has 5 characters, at least 12"),
        (("add", "1", "OUT", "--password-stdin"), "cannot be the name"),
        (("list", "--database", "mysql://x"), "--database"),
    ],
)
def test_what_cannot_be_is_said(tmp_path, run, arguments, words):
    code, _, said = run(*(text.replace("OUT", str(tmp_path)) for text in arguments), stdin="short\n")
    assert code == 1
    assert words in said


def test_the_last_admin_stays(out, run):
    for arguments in (("remove", "otto", out), ("role", "otto", "reader", out)):
        code, _, said = run(*arguments)
        assert (code, "last admin" in said) == (1, True)


def test_a_role_that_does_not_exist_is_a_usage_error(out, run):
    assert run("add", "rita", "--role", "king", out)[0] == 2


def test_at_a_terminal_the_password_is_asked_for_twice_and_not_shown(out, run, monkeypatch):
    asked = []

    def prompt(words, **options):
        asked.append(options)
        return PASSWORD

    monkeypatch.setattr("typer.prompt", prompt)

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    assert run("add", "rita", out, stdin=Terminal())[0] == 0
    assert asked == [{"hide_input": True, "confirmation_prompt": "The same again"}]
