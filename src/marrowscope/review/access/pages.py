"""Whose pages of NiceGUI are open: a page belongs to the session that asked for it."""

from __future__ import annotations

from nicegui import Client

from marrowscope.review.access.identity import STATE, Identity


def page_owner(client_id: str) -> Identity | None:
    """Who asked for an open page of NiceGUI; None when there is no such page."""
    client = Client.instances.get(client_id)
    if client is None or client.request is None:
        return None
    found = client.request.scope.get("state", {}).get(STATE)
    return found if isinstance(found, Identity) else None
