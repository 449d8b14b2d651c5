"""Whose pages of NiceGUI are open: a page belongs to the session that asked for it."""

from __future__ import annotations

from nicegui import Client

from marrowscope.review.access.identity import STATE, Identity

LEAVE_WHEN_OVER = """<script>
(function watch() {
  if (!window.socket) return setTimeout(watch, 200);
  window.socket.on("connect_error", () => {
    fetch("/login", { redirect: "manual" }).then((answer) => answer.ok && location.reload(), () => {});
  });
})();
</script>"""
"""For the head of every page of a review with users: a page that finds its session over, because the computer slept
meanwhile, loads again and so shows the login in place of what was on the screen."""


def page_owner(client_id: str) -> Identity | None:
    """Who asked for an open page of NiceGUI; None when there is no such page."""
    client = Client.instances.get(client_id)
    if client is None or client.request is None:
        return None
    found = client.request.scope.get("state", {}).get(STATE)
    return found if isinstance(found, Identity) else None
