import pytest

from marrowscope.review.access.headers import ALWAYS, DOCUMENT, NICEGUI_PAGE, NOTHING, SecurityHeaders
from marrowscope.review.access.rules import users_rules


@pytest.mark.parametrize("path", ["/", "/login", "/api/v1/me", "/health", "/nowhere", "/static/x", "/a//b", "/picture"])
def test_every_answer_is_strict(review, path):
    known, _ = review.logged_in("anna")
    for client in (known, review.client()):
        answer = client.get(path)
        for name, value in ALWAYS.items():
            assert answer.headers[name] == value
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "strict-transport-security" not in answer.headers
        assert "public" not in answer.headers["cache-control"]


def test_only_pages_of_nicegui_may_run_scripts(review):
    client, _ = review.logged_in("anna")
    assert client.get("/").headers["content-security-policy"] == NICEGUI_PAGE
    for path in ("/api/v1/me", "/picture", "/nowhere", "/health"):
        assert client.get(path).headers["content-security-policy"] == NOTHING
    for host in ("http:", "https:", "*", "//"):
        assert host not in NICEGUI_PAGE
        assert host not in DOCUMENT


def test_pages_and_data_are_not_kept_and_pictures_only_by_the_browser(review):
    client, _ = review.logged_in("anna")
    for path in ("/", "/api/v1/me", "/nowhere", "/login"):
        assert client.get(path).headers["cache-control"] == "no-store"
    assert client.get("/picture").headers["cache-control"] == "private, max-age=60"
    assert review.client().get("/picture").headers["cache-control"] == "no-store"


def test_tls_is_asked_for_only_where_there_is_some(review):
    review.rules = users_rules("127.0.0.1", 8080, ["review.example"], behind_tls=True)
    answer = review.client("http://review.example").get("/login")
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


def answered(path, status, headers):
    """Cache-Control of an answer of an app."""
    import asyncio

    async def app(scope, receive, send):
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})

    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(SecurityHeaders(app)({"type": "http", "path": path}, None, send))
    return {name.decode(): value.decode() for name, value in sent[0]["headers"]}


@pytest.mark.parametrize(
    ("path", "status", "headers", "cache"),
    [
        ("/_nicegui/3.18.0/static/a.js", 200, {"cache-control": "public, max-age=9"}, "public, max-age=9"),
        ("/_nicegui/3.18.0/static/a.js", 303, {"cache-control": "public, max-age=9"}, "no-store"),
        ("/static/a.css", 200, {}, "no-cache"),
        ("/tile", 200, {"content-type": "image/jpeg"}, "private, no-cache"),
        ("/tile", 200, {"content-type": "image/jpeg", "cache-control": "public, max-age=9"}, "private, no-cache"),
        ("/tile", 304, {"cache-control": "private, max-age=9"}, "private, max-age=9"),
        ("/tile", 404, {"content-type": "image/jpeg", "cache-control": "private, max-age=9"}, "no-store"),
        ("/api/v1/x", 200, {"content-type": "application/json", "cache-control": "max-age=9"}, "no-store"),
    ],
)
def test_what_may_be_kept(path, status, headers, cache):
    assert answered(path, status, headers)["cache-control"] == cache


def test_a_route_may_have_a_policy_of_its_own():
    assert answered("/x", 200, {"content-security-policy": DOCUMENT})["content-security-policy"] == DOCUMENT
