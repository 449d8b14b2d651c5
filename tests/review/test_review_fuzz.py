"""Whatever is sent to the interface, it answers with a sentence and never with an error of its own (500)."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from starlette.types import ASGIApp, Receive, Scope, Send

from marrowscope.review.access.identity import LOCAL, STATE
from marrowscope.review.api.app import add_interface, new_app
from marrowscope.review.pictures.shelf import Shelf
from marrowscope.review.workstation import Workstation

EXAMPLES = 12
"""Requests for each operation."""

REAL = {"case": 1, "slide": 0, "cell": 3, "sheet": 0, "z": 2, "x": 1, "y": 1, "version": 1}
"""Places that are there, so that not every request ends at the first look."""


class Known:
    """What the guard does: says who asks."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})[STATE] = LOCAL
        await self.app(scope, receive, send)


def test_no_request_is_an_error_of_the_server(workstation: Workstation) -> None:
    app = new_app()
    add_interface(app, workstation, Shelf())
    schema: Any = schemathesis.openapi.from_asgi("/api/openapi.json", Known(app))
    answers: dict[int, int] = {}
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= 15
    for operation in operations:

        @given(case=operation.as_strategy(), real=st.sampled_from([True, True, False]))
        @settings(
            max_examples=EXAMPLES,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            deadline=None,
            derandomize=True,
        )
        def probe(case: Any, real: bool) -> None:
            if real:
                case.path_parameters |= {name: REAL[name] for name in case.path_parameters if name in REAL}
            answer = case.call()
            answers[answer.status_code] = answers.get(answer.status_code, 0) + 1
            assert answer.status_code < 500, f"{case.method} {case.formatted_path}: {answer.text[:500]}"

        probe()
    assert answers.get(200, 0) > 50, answers
    assert answers.get(422, 0) + answers.get(404, 0) > 50, answers
    assert workstation.log.fault(1) is None
