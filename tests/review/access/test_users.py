import sqlite3
import time
from contextlib import closing

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from marrowscope.review.access.tables import users as table
from marrowscope.review.access.users import Role, Users
from marrowscope.review.database import ReviewError

NEW = "another horse battery"
PASSWORD = "correct horse battery"


def test_each_role_may_what_the_ones_before_it_may():
    for place, role in enumerate(Role):
        assert [role.may(other) for other in Role] == [True] * (place + 1) + [False] * (3 - place)


def test_only_the_right_password_of_a_user_is_taken(review):
    assert review.users.check("rita", PASSWORD).role is Role.REVIEWER
    assert review.users.check(" Rita ", PASSWORD).name == "rita"
    assert review.users.check("rita", PASSWORD + "x") is None
    assert review.users.check("nobody", PASSWORD) is None
    assert review.users.check("nobody", "") is None
    assert review.users.check("rita", "x" * 100_000) is None


def test_the_same_password_typed_on_another_keyboard_is_the_same(review):
    review.users.set_password("rita", "schöne Müllerin")
    assert review.users.check("rita", "scho\u0308ne Mu\u0308llerin") is not None


def test_a_name_that_does_not_exist_takes_as_long(review):
    """Counted, not timed: one password is hashed in both cases."""

    class Counting(PasswordHasher):
        verified = 0

        def verify(self, hash, password):
            self.verified += 1
            return super().verify(hash, password)

    hasher = Counting(time_cost=1, memory_cost=8, parallelism=1)
    users = Users(review.engine, hasher=hasher)
    users.check("rita", "wrong")
    users.check("nobody", "wrong")
    users.remove("anna")
    users.check("anna", PASSWORD)
    assert hasher.verified == 3


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("short", "has 5 characters, at least 12"),
        ("x" * 2000, "at most 1024"),
        ("aaaaaaaaaaaaaaaa", "too easy"),
        ("annabelle.lee", "too easy"),
    ],
)
def test_a_weak_password_is_refused_with_words(review, password, words):
    with pytest.raises(ReviewError, match=words) as refused:
        review.users.add("annabelle.lee", password, Role.READER)
    assert password not in str(refused.value) or password == "short"
    assert len(review.users.all()) == 4


@pytest.mark.parametrize("name", ["", "1anna", "an na", "anna/..", "<b>", "ä", "x" * 65, "local", "anna\n"])
def test_a_name_that_cannot_be_is_refused(review, name):
    if name == "anna\n":
        name = "an\nna"
    with pytest.raises(ReviewError):
        review.users.add(name, NEW, Role.READER)


def test_a_name_is_never_given_twice(review):
    with pytest.raises(ReviewError, match="already"):
        review.users.add("Anna", NEW, Role.READER)
    review.users.remove("anna")
    with pytest.raises(ReviewError, match="was removed"):
        review.users.add("anna", NEW, Role.READER)
    assert review.users.restore("anna", NEW).role is Role.READER
    assert review.users.check("anna", NEW) is not None
    with pytest.raises(ReviewError, match="no user anna was removed"):
        review.users.restore("anna", NEW)


def test_a_removed_user_and_an_unknown_one_cannot_be_changed(review):
    review.users.remove("anna")
    for change in (
        lambda: review.users.set_role("anna", Role.ADMIN),
        lambda: review.users.set_password("anna", NEW),
        lambda: review.users.remove("anna"),
        lambda: review.users.remove("nobody"),
    ):
        with pytest.raises(ReviewError, match="there is no user"):
            change()
    assert review.users.check("anna", PASSWORD) is None


def test_the_last_admin_stays(review):
    for change in (lambda: review.users.remove("otto"), lambda: review.users.set_role("otto", Role.SIGNER)):
        with pytest.raises(ReviewError, match="last admin"):
            change()
    review.users.set_role("sven", Role.ADMIN)
    review.users.remove("otto")
    with pytest.raises(ReviewError, match="last admin"):
        review.users.remove("sven")


def test_a_hash_of_other_parameters_is_made_again(review):
    def stored():
        with review.engine.connect() as connection:
            return connection.execute(select(table.c.password).where(table.c.name == "rita")).scalar_one()

    before = stored()
    assert "m=8,t=1,p=1" in before
    dearer = Users(review.engine, hasher=PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    assert dearer.check("rita", "wrong password") is None
    assert stored() == before
    assert dearer.check("rita", PASSWORD) is not None
    assert "m=16,t=2,p=1" in stored()
    assert dearer.check("rita", PASSWORD) is not None
    assert review.users.check("rita", PASSWORD) is not None


def test_no_secret_is_stored_in_clear(review):
    opened = review.sessions.open("rita")
    token = review.tokens.make("rita", "export", 30)
    with closing(sqlite3.connect(review.file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    kept = b"".join(path.read_bytes() for path in review.file.parent.iterdir())
    assert b"argon2id" in kept
    for secret in (PASSWORD, opened.token, token):
        assert secret.encode() not in kept


def test_users_are_listed_with_what_they_may(review):
    review.users.remove("anna")
    listed = {user.name: user for user in review.users.all()}
    assert list(listed) == ["anna", "otto", "rita", "sven"]
    assert listed["anna"].disabled == pytest.approx(time.time(), abs=60)
    assert listed["sven"].disabled is None
