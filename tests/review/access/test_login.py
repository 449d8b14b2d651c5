import logging
import re

import pytest

from marrowscope.review.access.limits import LoginLimiter
from marrowscope.review.access.login import TEXTS
from marrowscope.review.access.rules import users_rules
from marrowscope.review.access.sessions import LONGEST_SECONDS

from .conftest import ADDRESS, PASSWORD, Review

SAME = {"origin": ADDRESS}


def log_in(client, name="rita", password=PASSWORD, **fields):
    return client.post("/login", data={"name": name, "password": password, **fields}, headers=SAME)


def test_the_page_needs_no_script_and_says_what_it_is(review):
    page = review.client().get("/login?next=/cases/1")
    assert page.status_code == 200
    assert "<script" not in page.text
    assert 'lang="en"' in page.text
    assert 'value="/cases/1"' in page.text
    for name in re.findall(r'<label for="(\w+)"', page.text):
        assert f'id="{name}"' in page.text
    assert "script-src" not in page.headers["content-security-policy"]
    assert review.client().get("/login/style.css").headers["content-type"].startswith("text/css")


def test_what_comes_after_the_login_cannot_break_out_of_the_page(review):
    assert '"><b>' not in review.client().get('/login?next=/"><b>').text


def test_the_right_password_opens_a_session(review):
    client = review.client()
    answer = log_in(client, next="/cases/1?tab=cells")
    assert (answer.status_code, answer.headers["location"]) == (303, "/cases/1?tab=cells")
    cookie = answer.headers["set-cookie"].lower()
    for part in ("httponly", "samesite=strict", "path=/", f"max-age={int(LONGEST_SECONDS)}"):
        assert part in cookie
    assert "secure" not in cookie
    assert "domain" not in cookie
    assert client.get("/api/v1/me").json()["name"] == "rita"
    assert client.get("/login?next=/x").headers["location"] == "/x"  # logged in already


def test_behind_tls_the_cookie_is_secure(review):
    review.rules = users_rules("127.0.0.1", 8080, ["review.example"], behind_tls=True)
    client = review.client("http://review.example")
    origin = {"origin": "https://review.example"}
    answer = client.post("/login", data={"name": "rita", "password": PASSWORD}, headers=origin)
    assert answer.headers["set-cookie"].startswith("__Host-marrowscope=")
    assert "secure" in answer.headers["set-cookie"].lower()
    assert answer.headers["strict-transport-security"]


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil.example", "/login"])
def test_nobody_is_sent_elsewhere(review, target):
    assert log_in(review.client(), next=target).headers["location"] == "/"


@pytest.mark.parametrize(("name", "password"), [("rita", "wrong"), ("nobody", PASSWORD), ("", ""), ("rita", "")])
def test_the_wrong_password_says_no_more_than_that(review, name, password):
    answer = log_in(review.client(), name, password)
    assert answer.status_code == 403
    assert TEXTS["wrong"] in answer.text
    assert "set-cookie" not in answer.headers
    assert PASSWORD not in answer.text


def test_a_removed_user_is_wrong_too(review):
    review.users.remove("rita")
    assert log_in(review.client()).status_code == 403


def test_forms_that_are_none_are_refused(review):
    client = review.client()
    assert log_in(client, next="/" + "x" * 70_000).status_code == 413
    assert client.post("/login", content=b"\xff\xfe", headers=SAME).status_code == 403
    assert client.post("/login", content="&" * 5000, headers=SAME).status_code == 403


def test_too_many_failures_wait_and_say_how_long(review, time):
    client = review.client()
    for _ in range(5):
        assert log_in(client, password="wrong").status_code == 403
    answer = log_in(client)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "2"
    assert "Try again in 2 seconds." in answer.text
    assert log_in(review.client(), "anna").status_code == 303
    time.pass_by(2)
    assert log_in(client).status_code == 303
    assert log_in(client).status_code == 303


def test_long_waits_are_told_in_minutes(review, time):
    client = review.client()
    for _ in range(20):
        time.pass_by(300)
        log_in(client, password="wrong")
    assert "Try again in 5 minutes." in log_in(client).text


def test_logging_in_again_ends_the_earlier_session(review):
    client, _ = review.logged_in("anna")
    earlier = client.cookies[review.rules.cookie]
    assert log_in(client, "sven").status_code == 303
    assert review.sessions.find(earlier) is None


def test_logout_needs_the_token_and_ends_the_session(review):
    client, csrf = review.logged_in("rita")
    token = client.cookies[review.rules.cookie]
    assert client.post("/logout", headers=SAME).status_code == 403
    assert review.sessions.find(token) is not None
    answer = client.post("/logout", data={"csrf": csrf}, headers=SAME)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert answer.headers["clear-site-data"] == '"cache"'
    assert review.sessions.find(token) is None
    assert client.get("/logout").status_code in (303, 405)


def test_no_secret_is_logged(review, caplog):
    with caplog.at_level(logging.DEBUG):
        client = review.client()
        log_in(client)
        log_in(client, name=PASSWORD, password="typed into the wrong field")
        log_in(client, password="nearly " + PASSWORD)
        client.get("/api/v1/me")
    assert "login of rita" in caplog.text
    assert "login failed" in caplog.text
    for secret in (PASSWORD, "wrong field", client.cookies[review.rules.cookie]):
        assert secret not in caplog.text


def test_a_dead_database_is_said_so(review: Review):
    review.limiter = LoginLimiter()
    client = review.client()
    with review.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE sessions")
    answer = log_in(client)
    assert (answer.status_code, TEXTS["storage"] in answer.text) == (503, True)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_colours_can_be_read(review):
    """WCAG 2.2 AA: 4.5 for text, 3 for what bounds a field, in light and dark."""
    style = review.client().get("/login/style.css").text
    schemes = [dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in re.findall(r":root \{([^}]*)\}", style)]
    assert len(schemes) == 2
    for colours in schemes:
        for ink in ("ink", "faint", "problem"):
            assert contrast(colours[ink], colours["sheet"]) >= 4.5, ink
        assert contrast(colours["on-accent"], colours["accent"]) >= 4.5
        for bound in ("line", "accent"):
            assert contrast(colours[bound], colours["sheet"]) >= 3, bound
