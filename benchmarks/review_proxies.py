"""Does the review work behind nginx and Caddy as docs/deploy.md configures them? Tried with the programs themselves.

    python benchmarks/review_proxies.py RESULTS

RESULTS is a folder with the results of one small phantom; it is copied, never changed. The configurations are read from
docs/deploy.md; only ports, certificates and the address of the review are put in. Behind each proxy Chromium logs in,
opens the gallery, corrects a cell by a key and waits until that is kept; the websocket speaks; plain http leads to
https; a request of 5 MB comes through; and wrong passwords count for the address that they come from, whatever
``X-Forwarded-For`` they bring. Needs nginx, caddy, curl, openssl, Chromium and Playwright for Python.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAME = "review.example.org"
PASSWORD = "correct horse battery"
PAGE = Path(__file__).parents[1] / "docs" / "deploy.md"


def free_port() -> int:
    """A port that nobody listens on now."""
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def configured(first_word: str) -> str:
    """The blocks of the page that follow the paragraph which begins with ``first_word``."""
    text = PAGE.read_text("utf-8")
    after = text[text.index(f"\n{first_word}") :].split("\n\n", 1)[1]
    lines = []
    for line in after.splitlines():
        if line and not line.startswith("    "):
            break
        lines.append(line[4:])
    return "\n".join(lines)


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """A program that listens on ``port``; ended with the block."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            for _ in range(600):
                with closing(socket.socket()) as asked:
                    if asked.connect_ex(("127.0.0.1", port)) == 0:
                        break
                if process.poll() is not None:
                    raise SystemExit(f"{command[0]} ended: {process.stdout.read() if process.stdout else ''}")
                time.sleep(0.05)
            yield
        finally:
            process.terminate()


@contextmanager
def nginx(folder: Path, review: int, plain: int, tls: int) -> Iterator[None]:
    """Nginx as the page says."""
    key, certificate = folder / "review.key", folder / "review.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={NAME}"]
    subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    told = configured("nginx:")
    for old, new in (
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("listen 443 ", f"listen 127.0.0.1:{tls} "),
        ("/etc/ssl/review.pem", str(certificate)),
        ("/etc/ssl/review.key", str(key)),
        ("127.0.0.1:8080", f"127.0.0.1:{review}"),
    ):
        if old not in told:
            raise SystemExit(f"{PAGE.name} has no {old!r} for nginx")
        told = told.replace(old, new)
    temporary = "".join(
        f"{kind}_temp_path {folder / kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main_part = f"pid {folder / 'nginx.pid'};\nerror_log stderr;\nevents {{}}\n"
    whole = f"{main_part}http {{\naccess_log off;\n{temporary}{told}\n}}\n"
    (folder / "nginx.conf").write_text(whole, "utf-8")
    with running(["nginx", "-c", str(folder / "nginx.conf"), "-g", "daemon off;"], tls):
        yield


@contextmanager
def caddy(folder: Path, review: int, plain: int, tls: int) -> Iterator[None]:
    """Caddy as the page says, with a certificate of its own making, as no authority can reach this computer."""
    told = configured("Caddy").replace("127.0.0.1:8080", f"127.0.0.1:{review}")
    options = (
        f"admin off\nhttp_port {plain}\nhttps_port {tls}\nlocal_certs\nskip_install_trust\nstorage file_system {folder}"
    )
    (folder / "Caddyfile").write_text(f"{{\n{options}\n}}\n{told}\n", "utf-8")
    with running(["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")], tls):
        yield


def look(browser: Browser) -> list[str]:
    """Log in, correct a cell, ask what the proxy lets through; in words what was seen."""
    page = browser.new_context(ignore_https_errors=True).new_page()
    page.set_default_timeout(60_000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    sockets: list[str] = []
    page.on("websocket", lambda opened: opened.on("framereceived", lambda _: sockets.append(opened.url)))
    page.goto(f"http://{NAME}/cases/1")
    assert page.url.startswith(f"https://{NAME}/login"), page.url
    page.locator("input[name=name], input[name=user], input[name=username]").first.fill("anna")
    page.locator("input[type=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_function("performance.getEntriesByName('gallery:complete').length > 0")
    page.locator(".scroller").focus()
    page.keyboard.press("ArrowRight")
    for key in "bl":
        page.keyboard.press(key)
    page.wait_for_function("performance.getEntriesByName('gallery:kept').length > 0")
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    assert all(cookie["secure"] and cookie["httpOnly"] for cookie in cookies.values()), cookies
    # As large a body as a proxy's own default limit would refuse; the interface says what is wrong with it.
    status = page.evaluate(
        "async () => (await fetch('/api/v1/cases/1/edits', {method: 'POST', body: 'x'.repeat(5e6)})).status"
    )
    assert status == 403, f"the review itself refuses it, as no page of it has sent this: {status}"
    assert sockets
    assert not faults, faults
    told = [f"http leads to https, {len(cookies)} secure cookies, {len(set(sockets))} websocket, a correction is kept"]
    return [*told, "a body of 5 MB reaches the review"]


def limited(tls: int) -> str:
    """Wrong passwords from here, each under another name and said to come from elsewhere: the 21st is not even read."""
    answers = []
    for number in range(22):
        asked = ["curl", "-sk", "-o", os.devnull, "-w", "%{http_code}", "--connect-to", f"{NAME}:443:127.0.0.1:{tls}"]
        asked += ["-H", f"X-Forwarded-For: 203.0.113.{number}", "--data", f"name=user{number}&password=wrong"]
        answers.append(
            subprocess.run([*asked, f"https://{NAME}/login"], check=True, capture_output=True, text=True).stdout
        )
    assert answers == ["403"] * 20 + ["429"] * 2, answers
    return "20 wrong passwords with made-up X-Forwarded-For are counted to the one address that they come from"


def main() -> None:
    """Serve, put each proxy before it, look, tell."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    asked = parser.parse_args()
    for proxy in (nginx, caddy):
        with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
            folder = Path(temporary)
            root = shutil.copytree(asked.results, folder / "out", ignore=shutil.ignore_patterns("review.sqlite*"))
            review, plain, tls = free_port(), free_port(), free_port()
            user = [sys.executable, "-m", "marrowscope", "users", "add", "anna", str(root), "--role", "admin"]
            command = [sys.executable, "-m", "marrowscope", "review", str(root), "--no-browser", "--host", "127.0.0.1"]
            command += ["--port", str(review), "--behind-tls", "--allowed-host", NAME]
            subprocess.run([*user, "--password-stdin"], input=PASSWORD, text=True, check=True, capture_output=True)
            stack.enter_context(running(command, review))
            stack.enter_context(proxy(folder, review, plain, tls))
            playwright = stack.enter_context(sync_playwright())
            rules = f"MAP {NAME}:80 127.0.0.1:{plain}, MAP {NAME}:443 127.0.0.1:{tls}"
            browser = playwright.chromium.launch(
                executable_path=asked.chromium, args=["--no-sandbox", f"--host-resolver-rules={rules}"]
            )
            stack.callback(browser.close)
            version = ["nginx", "-v"] if proxy is nginx else ["caddy", "version"]
            said = subprocess.run(version, capture_output=True, text=True, check=True)
            print(proxy.__name__, (said.stdout or said.stderr).split()[-1])
            for line in (*look(browser), limited(tls)):
                print(f"  {line}")


if __name__ == "__main__":
    main()
