"""What a request must look like before anybody asks who sent it: path, Host and Origin; and what everybody may see."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from marrowscope.review.database import ReviewError

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Requests that change nothing."""

PUBLIC = frozenset(
    {
        ("GET", "/login"),
        ("POST", "/login"),
        ("GET", "/login/style.css"),
        ("GET", "/health"),
        ("GET", "/favicon.ico"),
    }
)
"""Method and path of what needs no login; HEAD is as GET."""

PUBLIC_FILES = re.compile(
    r"/static/.+|/_nicegui/[0-9][^/]*/(?:static|libraries|components|esm|resources)/.+", re.DOTALL
)
"""Paths of the program's own files and NiceGUI's, the same in every installation: no login to get them."""

FORWARDED = frozenset({b"forwarded", b"x-real-ip"})
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?)(?::([0-9]{1,5}))?")
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}

Authority = tuple[str, int | None]
"""Host in small letters, and port; as a rule, a port of None stands for every port."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered: HTTP status and a sentence for people."""

    status: int
    words: str


@dataclass(frozen=True, slots=True)
class Rules:
    """How a review is served: with ``users`` everybody logs in, without it the person at this computer does all."""

    users: bool
    hosts: frozenset[Authority]
    behind_tls: bool = False

    @property
    def cookie(self) -> str:
        """The name of the session cookie; browsers hold ``__Host-`` to be Secure, of this host and for all paths."""
        return "__Host-marrowscope" if self.behind_tls else "marrowscope_session"


def local_rules(host: str, port: int) -> Rules:
    """Without a login, for this computer only. Raises ``ReviewError`` when others could reach ``host``."""
    if not is_loopback(host):
        raise ReviewError(
            f"--host {host} can be reached by others, and a review without a login is for this computer only: add a "
            "user with marrowscope users add NAME --role admin, then start it with a login"
        )
    return Rules(False, _own(port) | {(_bracketed(host), port)})


def users_rules(host: str, port: int, allowed: Sequence[str] = (), *, behind_tls: bool = False) -> Rules:
    """With a login. ``allowed``: the names (``--allowed-host``, ``NAME`` or ``NAME:PORT``) that people type.

    Raises ``ReviewError`` for a name that is none, or when the server listens everywhere and no name was given.
    """
    named: set[Authority] = set()
    for text in allowed:
        parsed = parse_authority(text)
        if parsed is None:
            raise ReviewError(f"--allowed-host takes NAME or NAME:PORT, as in the address of the browser; found {text}")
        named.add(parsed)
    if not named and host in ("", "0.0.0.0", "::"):
        raise ReviewError(
            "a server that listens everywhere must know its names: give each with --allowed-host NAME, as people type "
            "it"
        )
    return Rules(True, frozenset(named or {(_bracketed(host), port)}) | _own(port), behind_tls)


def is_loopback(host: str) -> bool:
    """Whether only programs on this computer reach a server on ``host``."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def parse_authority(text: str) -> Authority | None:
    """Host and port (None when it is left out) of a Host header, or None when it is malformed."""
    found = _AUTHORITY.fullmatch(text.lower())
    if found is None or int(found[2] or 0) > 65535:
        return None
    return found[1], int(found[2]) if found[2] else None


def trusted_scope(scope: Scope, rules: Rules) -> Scope:
    """The scope with what a proxy said of the browser (behind TLS: scheme, last address) and without its headers.

    Without ``behind_tls`` anybody could have written these headers: they are dropped. NiceGUI would put
    ``X-Forwarded-Prefix`` into its pages.
    """
    told = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    headers = [
        (name, value)
        for name, value in scope["headers"]
        if not name.startswith(b"x-forwarded-") and name not in FORWARDED
    ]
    changed: Scope = {**scope, "headers": headers}
    if rules.behind_tls:
        changed["scheme"] = "wss" if scope["type"] == "websocket" else "https"
        address = told.rpartition(b",")[2].strip().decode("latin-1")
        with suppress(ValueError):  # nothing was told, or nonsense: it stays the proxy
            changed["client"] = (str(ipaddress.ip_address(address)), 0)
    return changed


def path_fault(path: str) -> Refusal | None:
    """Refuse paths that may mean another one further on: ``..``, empty parts, backslashes, control characters."""
    parts = path.split("/")
    odd = any(ord(character) < 32 or character in "\\\x7f" for character in path)
    if not path.startswith("/") or odd or any(part in (".", "..") for part in parts) or "" in parts[1:-1]:
        return Refusal(400, "This address is malformed.")
    return None


def host_fault(headers: Headers, scheme: str, rules: Rules) -> Refusal | None:
    """Refuse requests for another host: a page elsewhere whose name was pointed at this computer (DNS rebinding)."""
    given = headers.getlist("host")
    parsed = parse_authority(given[0]) if len(given) == 1 else None
    if parsed is not None:
        host, port = parsed
        if (host, None) in rules.hosts or (host, port or _PORTS[scheme]) in rules.hosts:
            return None
    how = "start it with --allowed-host and this name" if rules.users else "open it as http://127.0.0.1 with its port"
    return Refusal(421, f"This review is not served under the name that was asked for: {how}.")


def origin_fault(headers: Headers, scheme: str) -> Refusal | None:
    """Refuse what another site's page sent, by ``Sec-Fetch-Site`` and ``Origin``; programs send neither."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    foreign = Refusal(403, "This came from a page of another site and was refused.")
    if site not in (None, "same-origin", "none"):
        return foreign
    if origin is None or (origin == "null" and site == "same-origin"):
        return None  # a form of a page without referrer says null
    try:
        sent = urlsplit(origin)
    except ValueError:
        return foreign
    own = parse_authority(headers.get("host", ""))
    theirs = parse_authority(sent.netloc)
    if own is None or theirs is None or theirs[0] != own[0]:
        return foreign
    secure = "https" if scheme in ("https", "wss") else "http"
    if sent.scheme == "https" and secure == "http":
        return Refusal(403, "The browser speaks TLS and the review does not know: start it with --behind-tls.")
    if sent.scheme != secure or (theirs[1] or _PORTS[secure]) != (own[1] or _PORTS[secure]):
        return foreign
    return None


def is_public(method: str, path: str) -> bool:
    """Whether a request needs no login."""
    method = "GET" if method == "HEAD" else method
    return (method, path) in PUBLIC or (method == "GET" and PUBLIC_FILES.fullmatch(path) is not None)


def safe_next(target: str | None) -> str:
    """Where to go after the login: a path of this server, else the first page."""
    if (
        not target
        or len(target) > 2000
        or not target.startswith("/")
        or target.startswith("//")
        or "\\" in target
        or any(ord(character) <= 32 or ord(character) >= 127 for character in target)
    ):
        return "/"
    path = unquote(target.partition("?")[0].partition("#")[0])
    return "/" if path_fault(path) or path in ("/login", "/logout") else target


def _own(port: int) -> frozenset[Authority]:
    return frozenset((name, port) for name in LOCAL_HOSTS)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host.lower()
