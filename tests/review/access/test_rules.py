import pytest
from starlette.datastructures import Headers

from marrowscope.review.access.rules import (
    host_fault,
    is_public,
    local_rules,
    origin_fault,
    parse_authority,
    path_fault,
    safe_next,
    trusted_scope,
    users_rules,
)
from marrowscope.review.database import ReviewError

PORT = 8080


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "review.example", ""])
def test_without_a_login_nobody_else_can_reach_the_server(host):
    with pytest.raises(ReviewError, match="add a user"):
        local_rules(host, PORT)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_this_computer_needs_no_login(host):
    assert not local_rules(host, PORT).users


def test_a_server_that_listens_everywhere_is_told_its_names():
    with pytest.raises(ReviewError, match="--allowed-host"):
        users_rules("0.0.0.0", PORT)
    for bad in ("", "http://x", "a/b", "x:99999", "x y", "*"):
        with pytest.raises(ReviewError, match="takes NAME"):
            users_rules("0.0.0.0", PORT, [bad])
    assert ("review.example", None) in users_rules("0.0.0.0", PORT, ["Review.Example"]).hosts
    assert ("10.0.0.7", PORT) in users_rules("10.0.0.7", PORT).hosts


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1:81", "127.0.0.1", "localhost.evil.example:8080", "localhost:8080.", "", "127.1:8080"],
)
def test_a_foreign_host_is_refused(host):
    assert host_fault(Headers({"host": host}), "http", local_rules("127.0.0.1", PORT)).status == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "LOCALHOST:8080", "[::1]:8080"])
def test_this_computer_is_asked_by_its_own_names(host):
    assert host_fault(Headers({"host": host}), "http", local_rules("127.0.0.1", PORT)) is None


def test_two_hosts_or_none_are_refused():
    rules = local_rules("127.0.0.1", PORT)
    assert host_fault(Headers(raw=[(b"host", b"localhost:8080")] * 2), "http", rules).status == 421
    assert host_fault(Headers({}), "http", rules).status == 421


def test_the_port_that_goes_without_saying():
    assert host_fault(Headers({"host": "localhost"}), "http", local_rules("127.0.0.1", 80)) is None
    secure = users_rules("127.0.0.1", PORT, ["review.example:443"], behind_tls=True)
    assert host_fault(Headers({"host": "review.example"}), "https", secure) is None
    assert host_fault(Headers({"host": "review.example"}), "wss", secure) is None
    assert host_fault(Headers({"host": "review.example:8443"}), "https", secure).status == 421


@pytest.mark.parametrize(
    ("sent", "refused"),
    [
        ({}, False),
        ({"origin": "http://review.example:8080"}, False),
        ({"origin": "http://REVIEW.example:8080"}, False),
        ({"origin": "http://review.example:8080", "sec-fetch-site": "same-origin"}, False),
        ({"origin": "null", "sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"origin": "null"}, True),
        ({"origin": ""}, True),
        ({"origin": "http://review.example"}, True),
        ({"origin": "http://review.example:8081"}, True),
        ({"origin": "http://evil.example:8080"}, True),
        ({"origin": "http://review.example:8080.evil.example"}, True),
        ({"origin": "http://review.example:8080@evil.example"}, True),
        ({"origin": "http://[::1"}, True),
        ({"origin": "file://"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "same-site"}, True),
        ({"origin": "http://review.example:8080", "sec-fetch-site": "cross-site"}, True),
    ],
)
def test_what_another_site_sent_is_refused(sent, refused):
    fault = origin_fault(Headers({"host": "review.example:8080", **sent}), "http")
    assert (fault is not None) == refused
    assert fault is None or fault.status == 403


def test_tls_that_the_review_does_not_know_of_is_named():
    headers = Headers({"host": "review.example", "origin": "https://review.example"})
    assert "--behind-tls" in origin_fault(headers, "http").words
    assert origin_fault(headers, "https") is None
    assert origin_fault(headers, "wss") is None
    clear = Headers({"host": "review.example", "origin": "http://review.example"})
    assert origin_fault(clear, "https").status == 403


@pytest.mark.parametrize(
    "path",
    [
        "/static/../api/v1/me",
        "/static/..",
        "/./x",
        "//evil.example",
        "/a//b",
        "/static/..\\..\\x",
        "/a\x00b",
        "/a\nb",
        "relative",
        "",
    ],
)
def test_paths_that_mean_another_one_are_refused(path):
    assert path_fault(path).status == 400


@pytest.mark.parametrize("path", ["/", "/cases/1/", "/slides/a..b/1.png", "/_nicegui_ws/socket.io/", "/ä"])
def test_plain_paths_pass(path):
    assert path_fault(path) is None


def test_what_is_public():
    files = ["/static/review.css", "/_nicegui/3.18.0/static/nicegui.js", "/_nicegui/3.18.0/components/abc/a.js"]
    assert all(is_public("GET", path) and is_public("HEAD", path) for path in files)
    assert not any(is_public("POST", path) for path in files)
    for path in (
        "/",
        "/static",
        "/static/",
        "/login/",
        "/logout",
        "/api/v1/me",
        "/_nicegui/auto/static/1/picture.png",
        "/_nicegui/client/1/upload/2",
        "/_nicegui/3.18.0/dynamic_resources/x",
        "/_nicegui_ws/socket.io/",
    ):
        assert not is_public("GET", path)
        assert not is_public("POST", path)
    assert {("POST", "/login")} == {("POST", path) for path in ("/login", "/health") if is_public("POST", path)}


@pytest.mark.parametrize("target", ["/", "/cases/3?tab=cells#17", "/cases/%C3%A4", "/a?u=http://evil.example"])
def test_a_path_of_this_server_is_gone_to(target):
    assert safe_next(target) == target


@pytest.mark.parametrize(
    "target",
    [
        None,
        "",
        "cases",
        "https://evil.example/",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        " //evil.example",
        "/..//evil.example",
        "/%2e%2e//evil.example",
        "javascript:alert(1)",
        "/login",
        "/login?next=/",
        "/logout",
        "/" + "x" * 3000,
        "/ä",
    ],
)
def test_nobody_is_sent_elsewhere_after_the_login(target):
    assert safe_next(target) == "/"


def scope(*headers):
    return {"type": "http", "scheme": "http", "client": ("127.0.0.1", 5), "headers": list(headers)}


def test_what_a_proxy_says_counts_only_when_told_so():
    said = scope(
        (b"host", b"review.example"),
        (b"x-forwarded-for", b"6.6.6.6"),
        (b"x-forwarded-for", b"7.7.7.7, 10.1.2.3"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-prefix", b"/evil"),
        (b"forwarded", b"for=8.8.8.8"),
    )
    plain = trusted_scope(said, users_rules("127.0.0.1", PORT))
    assert (plain["scheme"], plain["client"]) == ("http", ("127.0.0.1", 5))
    behind = trusted_scope(said, users_rules("127.0.0.1", PORT, behind_tls=True))
    assert (behind["scheme"], behind["client"]) == ("https", ("10.1.2.3", 0))
    assert plain["headers"] == behind["headers"] == [(b"host", b"review.example")]
    nonsense = trusted_scope(scope((b"x-forwarded-for", b"<b>")), users_rules("127.0.0.1", PORT, behind_tls=True))
    assert nonsense["client"] == ("127.0.0.1", 5)


def test_a_malformed_host_is_no_host():
    assert parse_authority("a:b") is None
    assert parse_authority("-a") is None
    assert parse_authority("[::1]:80") == ("[::1]", 80)
