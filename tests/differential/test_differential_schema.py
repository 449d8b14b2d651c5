from __future__ import annotations

from pathlib import Path

from marrowscope.differential.result import schema_json

SCHEMA = Path(__file__).parents[2] / "docs/schemas/differential.schema.json"


def test_the_schema_in_the_documents_is_that_of_the_code():
    again = "python -c \"from marrowscope.differential.result import schema_json; print(schema_json(), end='')\""
    assert SCHEMA.read_text(encoding="utf-8") == schema_json(), f"write it again: {again} > {SCHEMA.name}"
