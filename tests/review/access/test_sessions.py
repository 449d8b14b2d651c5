import pytest
from sqlalchemy import event

from marrowscope.review.access.clock import SteadyClock
from marrowscope.review.access.sessions import IDLE_SECONDS, LONGEST_SECONDS, Sessions
from marrowscope.review.access.users import Role
from marrowscope.review.database import ReviewError

NEW = "another horse battery"
MINUTE = 60.0


def test_a_session_says_who_it_is(review):
    opened = review.sessions.open("sven")
    found = review.sessions.find(opened.token)
    assert (found.user, found.role, found.csrf) == ("sven", Role.SIGNER, opened.csrf)
    assert opened.token != opened.csrf
    assert found.id not in (opened.token, opened.csrf)
    assert review.sessions.find(opened.token + "x") is None
    assert review.sessions.find(found.id) is None  # what the database keeps lets nobody in
    assert review.sessions.find("\udcff") is None


def test_it_ends_half_an_hour_after_the_last_use(review, time):
    token = review.sessions.open("anna").token
    for _ in range(5):
        time.pass_by(IDLE_SECONDS - MINUTE)
        assert review.sessions.find(token) is not None
    time.pass_by(IDLE_SECONDS + 1)
    assert review.sessions.find(token) is None
    time.pass_by(-IDLE_SECONDS)
    assert review.sessions.find(token) is None


def test_looking_without_use_prolongs_nothing(review, time):
    token = review.sessions.open("anna").token
    time.pass_by(IDLE_SECONDS - MINUTE)
    assert review.sessions.find(token, use=False) is not None
    time.pass_by(2 * MINUTE)
    assert review.sessions.find(token, use=False) is None


def test_it_ends_twelve_hours_after_the_login_however_busy(review, time):
    token = review.sessions.open("anna").token
    for _ in range(int(LONGEST_SECONDS / (20 * MINUTE)) - 1):
        time.pass_by(20 * MINUTE)
        assert review.sessions.find(token) is not None
    time.pass_by(20 * MINUTE)
    assert review.sessions.find(token) is None


def test_a_clock_set_back_keeps_nothing_alive(review, time):
    """The stopwatch goes on; what the clock on the wall says earlier than that is not followed."""
    token = review.sessions.open("anna").token
    time.wall -= 10 * 3600
    time.pass_by(IDLE_SECONDS - MINUTE)
    assert review.sessions.find(token, use=False) is not None
    time.pass_by(MINUTE)
    assert review.sessions.find(token, use=False) is None


def test_a_clock_set_back_between_two_runs_ends_the_session(review, time):
    token = review.sessions.open("anna").token
    time.wall -= 3600
    restarted = Sessions(review.engine, clock=SteadyClock(lambda: time.wall, lambda: time.stopwatch))
    assert restarted.find(token) is None
    time.wall += 3600
    assert restarted.find(token) is None


def test_a_steady_clock_never_runs_backwards(time):
    clock = SteadyClock(lambda: time.wall, lambda: time.stopwatch)
    start = clock()
    time.wall -= 1000
    time.stopwatch += 5
    assert clock() == start + 5
    time.stopwatch -= 3  # a stopwatch that does so is broken, and still nothing runs backwards
    assert clock() == start + 5
    time.wall += 5000
    assert clock() == start + 4000


def test_logout_ends_one_session(review):
    first, second = review.sessions.open("anna"), review.sessions.open("anna")
    review.sessions.close(review.sessions.find(first.token).id)
    assert review.sessions.find(first.token) is None
    assert review.sessions.find(second.token) is not None


@pytest.mark.parametrize(
    "change",
    [
        lambda users: users.set_password("anna", NEW),
        lambda users: users.set_role("anna", Role.SIGNER),
        lambda users: users.remove("anna"),
    ],
    ids=["new password", "new role", "removed"],
)
def test_all_sessions_end_with(review, change):
    mine = [review.sessions.open("anna").token for _ in range(2)]
    other = review.sessions.open("rita").token
    change(review.users)
    assert [review.sessions.find(token) for token in mine] == [None, None]
    assert review.sessions.find(other) is not None


def test_sessions_that_are_over_are_deleted_at_the_next_login(review, time):
    for _ in range(3):
        review.sessions.open("anna")
    time.pass_by(IDLE_SECONDS)
    review.sessions.open("rita")
    with review.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM sessions").scalar_one() == 1


def test_nobody_is_logged_in_who_is_no_user(review):
    review.users.remove("anna")
    for name in ("anna", "nobody"):
        with pytest.raises(ReviewError, match="there is no user"):
            review.sessions.open(name)
        with pytest.raises(ReviewError, match="there is no user"):
            review.tokens.make(name, "x", 1)


def test_a_token_speaks_for_its_user_until_it_is_over(review, time):
    token = review.tokens.make("rita", "export", 2)
    found = review.tokens.find(token)
    assert (found.user, found.role, found.csrf) == ("rita", Role.REVIEWER, None)
    assert review.tokens.find(token + "x") is None
    assert review.sessions.find(token) is None
    review.users.set_role("rita", Role.READER)
    assert review.tokens.find(token).role is Role.READER
    time.pass_by(2 * 86400)
    assert review.tokens.find(token) is None


def test_a_token_is_revoked_by_number_and_with_its_user(review):
    first, second = (review.tokens.make("rita", label, 30) for label in ("one", "two"))
    listed = review.tokens.all()
    assert [(row.id, row.label, row.revoked) for row in listed] == [(1, "one", None), (2, "two", None)]
    review.tokens.revoke(1)
    assert review.tokens.find(first) is None
    with pytest.raises(ReviewError, match="no valid token 1"):
        review.tokens.revoke(1)
    review.users.remove("rita")
    review.users.restore("rita", NEW)
    assert review.tokens.find(second) is None


@pytest.mark.parametrize(("label", "days"), [("x", 0), ("x", 367), ("", 1), ("  ", 1), ("x" * 129, 1)])
def test_a_token_needs_a_label_and_an_end(review, label, days):
    with pytest.raises(ReviewError, match="a token"):
        review.tokens.make("rita", label, days)


def test_a_database_that_is_busy_refuses_no_session(review, time):
    """Prolonging is a write and may fail; the session was valid all the same."""
    token = review.sessions.open("anna").token
    time.pass_by(10 * MINUTE)
    review.engine.dispose()
    event.listen(review.engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=1"))
    with review.engine.begin():  # somebody else writes
        assert review.sessions.find(token) is not None
