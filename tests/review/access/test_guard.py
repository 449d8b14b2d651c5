import dataclasses
import itertools

import pytest
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from marrowscope.review.access.guard import Guard
from marrowscope.review.access.identity import Identity
from marrowscope.review.access.rules import is_public, users_rules
from marrowscope.review.access.sessions import IDLE_SECONDS
from marrowscope.review.access.sockets import RELOAD_PAGE
from marrowscope.review.access.users import Role

from .conftest import ADDRESS, connect, small_app

SAME = {"origin": ADDRESS}
WRITES = ("POST", "PUT", "PATCH", "DELETE", "MADE-UP")


def flat(routes):
    """Method and path of every route, those of included routers too."""
    for route in routes:
        if isinstance(route, Mount):
            yield from (("GET", f"{route.path}{path}") for path in ("/", "/x"))
        elif isinstance(route, Route):
            yield from ((method, route.path) for method in route.methods)
        elif isinstance(route, WebSocketRoute) or hasattr(route, "path"):
            for method in getattr(route, "methods", None) or ("WEBSOCKET",):
                yield method, route.path
        else:
            yield from flat(route.original_router.routes)


def all_routes(review):
    found = list(flat(review.app().app.app.routes))
    assert len(found) >= 12
    return found


def test_every_route_is_closed_without_a_login(review):
    client = review.client()
    opened = []
    for method, path in all_routes(review):
        if method == "WEBSOCKET":
            with pytest.raises(WebSocketDisconnect), connect(client, path + "?client_id=x"):
                pass
            continue
        answer = client.request(method, path)
        if is_public(method, path):
            opened.append((method, path))
            continue
        if path.startswith("/api/"):
            assert (answer.status_code, answer.json()) == (401, {"detail": "Log in first."})
            assert answer.headers["www-authenticate"] == "Bearer"
        elif method == "GET":
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/login")
        else:
            assert answer.status_code == 401
    assert sorted(opened) == [("GET", "/health"), ("GET", "/login"), ("GET", "/login/style.css"), ("POST", "/login")]


def test_nothing_is_changed_without_a_login(review):
    client = review.client()
    for path in ("/", "/api/v1/edit", "/api/v1/sign", "/nowhere", "/static/x", "/health"):
        for method in WRITES:
            assert client.request(method, path).status_code == 401


def test_a_page_says_where_to_go_after_the_login(review):
    client = review.client()
    assert client.get("/").headers["location"] == "/login"
    assert client.get("/cases/ä?b=1&c=2").headers["location"] == "/login?next=%2Fcases%2F%25C3%25A4%3Fb%3D1%26c%3D2"
    assert client.get("/cases", headers={"sec-fetch-mode": "no-cors"}).status_code == 401
    assert client.get("/cases", headers={"accept": "image/png"}).status_code == 401


@pytest.mark.parametrize(
    ("name", "edits", "signs"),
    [("anna", 403, 403), ("rita", 200, 403), ("sven", 200, 200), ("otto", 200, 200)],
)
def test_a_role_does_what_it_may(review, name, edits, signs):
    client, csrf = review.logged_in(name)
    headers = {"X-CSRF-Token": csrf, **SAME}
    assert client.get("/api/v1/me").json()["name"] == name
    assert client.post("/api/v1/edit", headers=headers).status_code == edits
    refused = client.put("/api/v1/sign", headers=headers)
    assert refused.status_code == signs
    if signs == 403:
        role = "reader" if name == "anna" else "reviewer"
        assert refused.json() == {"detail": f"This needs the role signer; {name} has the role {role}. Ask an admin."}


def test_a_change_needs_the_token_of_the_session(review):
    client, csrf = review.logged_in("rita")
    _, other = review.logged_in("rita")
    for given in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": other}, {"X-CSRF-Token": "ä".encode()}):
        refused = client.post("/api/v1/edit", headers={**SAME, **given})
        assert refused.status_code == 403
        assert "load the page again" in refused.json()["detail"]
    assert client.post("/api/v1/edit?csrf=" + csrf, headers=SAME).status_code == 403
    assert client.post("/api/v1/edit", headers={**SAME, "X-CSRF-Token": csrf}).status_code == 200


def test_a_form_carries_it_in_a_field_and_is_read_again(review):
    client, csrf = review.logged_in("rita")
    for form in ({}, {"csrf": "x"}, {"csrf": csrf[:-1]}):
        assert client.post("/form", data={"a": "1", **form}, headers=SAME).status_code == 403
    sent = client.post("/form", data={"a": "1", "csrf": csrf}, headers=SAME)
    assert sent.json() == {"body": f"a=1&csrf={csrf}"}
    assert client.post("/form", data={"a": "x" * 70_000, "csrf": csrf}, headers=SAME).status_code == 413
    assert client.post("/form", files={"a": b"x"}, data={"csrf": csrf}, headers=SAME).status_code == 403
    plain = {"content-type": "text/plain", **SAME}
    assert client.post("/form", content=f"csrf={csrf}", headers=plain).status_code == 403


FOREIGN = [
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": ADDRESS, "sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
]


@pytest.mark.parametrize("foreign", FOREIGN)
def test_another_site_changes_nothing_even_with_cookie_and_token(review, foreign):
    client, csrf = review.logged_in("rita")
    refused = client.post("/api/v1/edit", headers={"X-CSRF-Token": csrf, **foreign})
    assert (refused.status_code, "another site" in refused.json()["detail"]) == (403, True)
    assert client.post("/login", data={"name": "rita"}, headers=foreign).status_code == 403
    with pytest.raises(WebSocketDisconnect), connect(client, "/api/v1/live", headers=foreign):
        pass


@pytest.mark.parametrize("foreign", FOREIGN)
def test_another_site_does_nothing_on_this_computer_either(local, foreign):
    local.headers.update(foreign)
    for method in WRITES:
        assert local.request(method, "/api/v1/edit").status_code == 403
    with pytest.raises(WebSocketDisconnect), connect(local, "/api/v1/live"):
        pass
    with pytest.raises(WebSocketDisconnect), connect(local, "/_nicegui_ws/socket.io/?client_id=x"):
        pass


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:9999", "127.0.0.1.evil.example:8080"])
def test_a_foreign_host_is_refused_in_both_modes(review, local, host):
    known, _ = review.logged_in("rita")
    for client in (known, local):
        for path in ("/", "/api/v1/me", "/health", "/login", "/static/x"):
            assert client.get(path, headers={"host": host}).status_code == 421
        with (
            pytest.raises(WebSocketDisconnect),
            connect(client, "/api/v1/live", headers={"host": host, "origin": f"http://{host}"}),
        ):
            pass


def test_on_this_computer_somebody_does_everything(local):
    assert local.get("/api/v1/me").json() == {"name": "local", "role": "admin"}
    own = {"origin": "http://127.0.0.1:8080", "sec-fetch-site": "same-origin"}
    assert local.put("/api/v1/sign", headers=own).json() == {"by": "local"}
    assert local.put("/api/v1/sign").status_code == 200  # a program
    with connect(local, "/api/v1/live", headers={"origin": own["origin"]}) as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "local: hello"


def test_a_program_with_a_token_needs_no_csrf(review, time):
    client = review.client()
    token = review.tokens.make("rita", "export", 1)
    headers = {"Authorization": f"Bearer {token}"}
    assert client.get("/api/v1/me", headers=headers).json() == {"name": "rita", "role": "reviewer"}
    assert client.post("/api/v1/edit", headers=headers).status_code == 200
    assert client.put("/api/v1/sign", headers=headers).status_code == 403
    with connect(client, "/api/v1/live", headers=headers) as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "rita: hello"
    time.pass_by(86400)
    assert client.get("/api/v1/me", headers=headers).status_code == 401


@pytest.mark.parametrize("given", ["Bearer x", "Bearer", "Basic cml0YTp4", "", "bearer  "])
def test_a_wrong_token_is_not_made_good_by_a_cookie(review, given):
    client, csrf = review.logged_in("rita")
    headers = {"Authorization": given, "X-CSRF-Token": csrf}
    assert client.get("/api/v1/me", headers=headers).status_code == 401
    assert client.post("/api/v1/edit", headers=headers).status_code == 401


def test_a_session_is_no_token_and_a_token_no_session(review):
    opened, token = review.sessions.open("rita"), review.tokens.make("rita", "x", 1)
    client = review.client()
    assert client.get("/api/v1/me", headers={"Authorization": f"Bearer {opened.token}"}).status_code == 401
    for secret in (token, review.sessions.find(opened.token).id, "", "x"):
        client.cookies.set(review.rules.cookie, secret)
        assert client.get("/api/v1/me").status_code == 401


def test_a_session_that_is_over_is_refused(review, time):
    client, _ = review.logged_in("rita")
    assert client.get("/api/v1/me").status_code == 200
    time.pass_by(IDLE_SECONDS + 1)
    assert client.get("/api/v1/me").status_code == 401
    time.pass_by(-IDLE_SECONDS)
    assert client.get("/api/v1/me").status_code == 401


def test_what_a_page_asks_by_itself_keeps_nobody_logged_in(review, time):
    client, _ = review.logged_in("rita")
    for _ in range(2):
        time.pass_by(0.6 * IDLE_SECONDS)
        answer = client.get("/api/v1/me", headers={"X-Background": "1"})
    assert answer.status_code == 401
    client, _ = review.logged_in("rita")
    for _ in range(2):
        time.pass_by(0.6 * IDLE_SECONDS)
        answer = client.get("/api/v1/me")
    assert answer.status_code == 200


def test_a_new_role_is_asked_for_at_the_next_request(review):
    client, csrf = review.logged_in("sven")
    review.users.set_role("sven", Role.READER)
    assert client.put("/api/v1/sign", headers={"X-CSRF-Token": csrf}).status_code == 401


def test_no_path_leads_out_of_the_static_files(review, tmp_path):
    folder = tmp_path / "static"
    folder.mkdir()
    (folder / "a.css").write_text("a {}")
    (tmp_path / "secret").write_text("secret")
    app = Guard(small_app(folder), review.rules, review.sessions, review.tokens)
    client = TestClient(app, base_url=ADDRESS, follow_redirects=False)
    for secret in ("", review.sessions.open("anna").token):
        client.cookies.set(review.rules.cookie, secret)
        assert client.get("/static/a.css").text == "a {}"
        for path in ("%2e%2e/secret", "..%2fsecret", "%2e%2e%5csecret", "/etc/passwd", "a%00b"):
            assert client.get("/static/" + path).status_code == 400


def test_a_dead_database_lets_nobody_in(review):
    client, _ = review.logged_in("rita")
    with review.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE sessions")
    refused = client.get("/api/v1/me")
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "5"
    assert "sessions" not in refused.text
    with pytest.raises(WebSocketDisconnect), connect(client, "/api/v1/live"):
        pass


def test_a_websocket_ends_with_its_session(review):
    client, _ = review.logged_in("rita")
    with connect(client, "/api/v1/live", headers=SAME) as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "rita: hello"
        review.users.set_role("rita", Role.READER)
        with pytest.raises(WebSocketDisconnect) as over:
            socket.receive_text()
        assert over.value.code == 1008


def test_a_websocket_on_which_nobody_speaks_ends_too(review):
    client, _ = review.logged_in("rita")
    with connect(client, "/_nicegui_ws/socket.io/?client_id=x", headers=SAME) as socket:
        assert socket.receive_text() == "x"
        review.users.remove("rita")
        assert socket.receive_text() == RELOAD_PAGE
        with pytest.raises(WebSocketDisconnect):
            socket.receive_text()


@pytest.mark.parametrize(("message", "alive"), [('42["event",{}]', True), ("3", False), ('42["ack",{}]', False)])
def test_only_what_a_person_does_keeps_a_page_logged_in(review, time, message, alive):
    review.check_seconds = 0.0
    client, _ = review.logged_in("rita")
    with connect(client, "/_nicegui_ws/socket.io/?client_id=x", headers=SAME) as socket:
        socket.receive_text()
        for told in (message, message if alive else RELOAD_PAGE):
            time.wall += 0.8 * IDLE_SECONDS
            socket.send_text(message)
            assert socket.receive_text() == told


def test_a_page_of_another_session_is_loaded_again(review):
    """Two tabs of one browser: somebody logs in as somebody else in one, the other still shows the first one's page."""
    client, _ = review.logged_in("rita")
    own = review.sessions.find(client.cookies[review.rules.cookie])
    review.owners["mine"] = Identity("rita", Role.REVIEWER, own.id, own.csrf)
    review.owners["theirs"] = Identity("sven", Role.SIGNER, "another session", "x")
    for asked, told in (("mine", "mine"), ("theirs", "00000000-0000-0000-0000-000000000000"), ("gone", "gone")):
        path = f"/_nicegui_ws/socket.io/?EIO=4&client_id={asked}&tab_id=1"
        with connect(client, path, headers=SAME) as socket:
            assert socket.receive_text() == told


def test_pages_speak_by_websocket_only(review):
    client, csrf = review.logged_in("rita")
    for method in ("GET", "POST"):
        answer = client.request(method, "/_nicegui_ws/socket.io/?transport=polling", headers={"X-CSRF-Token": csrf})
        assert answer.status_code == 403


def test_behind_tls_the_cookie_is_bound_to_the_host(review):
    review.rules = users_rules("127.0.0.1", 8080, ["review.example"], behind_tls=True)
    client, csrf = review.logged_in("rita", "http://review.example")
    assert review.rules.cookie == "__Host-marrowscope"
    headers = {"X-CSRF-Token": csrf, "origin": "https://review.example", "x-forwarded-for": "10.0.0.1"}
    assert client.post("/api/v1/edit", headers=headers).status_code == 200
    assert client.post("/api/v1/edit", headers={**headers, "origin": "http://review.example"}).status_code == 403


def test_identities_cannot_be_changed():
    identity = Identity("rita", Role.REVIEWER)
    with pytest.raises(dataclasses.FrozenInstanceError):
        identity.role = Role.ADMIN  # type: ignore[misc]
    assert [identity.may(role) for role in Role] == [True, True, False, False]


def test_a_review_with_users_needs_their_sessions(review):
    with pytest.raises(ValueError, match="sessions"):
        Guard(small_app(), review.rules)


def test_what_is_neither_request_nor_websocket_passes(review):
    """The beginning and end of the server."""
    with TestClient(review.app(), base_url=ADDRESS) as client:
        assert client.get("/health").text == "ok"


def test_methods_that_only_read_are_few():
    """A method that nobody has heard of counts as one that changes."""
    assert not any(is_public(method, path) for method, path in itertools.product(WRITES, ("/health", "/static/x")))
