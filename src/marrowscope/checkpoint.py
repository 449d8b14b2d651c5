"""A long count saved now and then, so that an interrupted one goes on where it stopped."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from time import monotonic

import polars as pl

from marrowscope.files import whole_file

EVERY_SECONDS = 10.0


@dataclass(slots=True)
class Checkpoint:
    """Cells of the first fields of a plan, in a file beside the results.

    ``question`` is the fingerprint of the run: a checkpoint of another question is ignored. The order of the fields
    follows from the question, so the number of finished ones says which are left.
    """

    path: Path
    question: str
    _saved_at: float = 0.0

    def load(self) -> tuple[pl.DataFrame, int] | None:
        """Cells and number of fields that are done; None when there is nothing to go on with."""
        try:
            metadata = pl.read_parquet_metadata(self.path)
            if metadata.get("question") != self.question:
                return None
            return pl.read_parquet(self.path), int(metadata["fields_done"])
        except (OSError, ValueError, KeyError, pl.exceptions.PolarsError):
            return None

    def offer(self, frames: list[pl.DataFrame], fields_done: int) -> None:
        """Save, when the last time is long enough ago. Raises ``OutputError``."""
        if monotonic() - self._saved_at < EVERY_SECONDS:
            return
        if self._saved_at:  # not at the first field: most counts are over before the first save is due
            content = BytesIO()  # Polars' own writer reports a full disk as an error of its own
            metadata = {"question": self.question, "fields_done": str(fields_done)}
            pl.concat(frames).write_parquet(content, metadata=metadata)
            with whole_file(self.path) as beside:
                beside.write_bytes(content.getbuffer())
        self._saved_at = monotonic()

    def remove(self) -> None:
        """The count is finished."""
        self.path.unlink(missing_ok=True)
