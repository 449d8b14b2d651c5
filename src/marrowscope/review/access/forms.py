"""Small forms, read whole and in bounded memory."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.types import Message, Receive

FORM_TYPE = "application/x-www-form-urlencoded"
LARGEST_FORM = 64 * 1024
"""Bytes."""


class FormTooLarge(Exception):
    """A body is larger than any form of the review."""


async def read_form(receive: Receive) -> bytes:
    """The body of a small form; empty when the browser went away. Raises ``FormTooLarge``."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        body += message.get("body", b"")
        if len(body) > LARGEST_FORM:
            raise FormTooLarge
        if not message.get("more_body", False):
            return bytes(body)


def form_fields(body: bytes) -> dict[str, str]:
    """The fields of a form; of one that is given twice the first."""
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}


def read_again(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives a body which was read already, then goes on."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
