"""Reference ranges: one editable file, with its source and age band."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from marrowscope.errors import MarrowscopeError
from marrowscope.taxonomy import CELL_TYPES


@dataclass(frozen=True, slots=True)
class ReferenceRange:
    """What stands beside one row: a range in percent (or none), and a remark."""

    low: float | None = None
    high: float | None = None
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class ReferenceRanges:
    """Ranges by cell type, and where they come from."""

    title: str
    source: str
    age_band: str
    checked: bool
    ranges: Mapping[str, ReferenceRange] = field(default_factory=dict)

    def of(self, name: str) -> ReferenceRange:
        """The range of a cell type; an empty one where the file has none."""
        return self.ranges.get(name, ReferenceRange())

    @property
    def sentence(self) -> str:
        """Source and age band, for the report."""
        words = f"Reference ranges: {self.title}, {self.age_band}; {self.source}."
        return words if self.checked else f"{words} Not yet checked against the printed source."


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Range(_Strict):
    low: float = Field(ge=0, le=100)
    high: float = Field(ge=0, le=100)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class _Type(_Range):
    name: str
    remark: str | None = None

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in CELL_TYPES:
            raise ValueError(f"unknown cell type {name!r}; known: {', '.join(CELL_TYPES)}")
        return name


class _Group(_Range):
    title: str
    names: tuple[str, ...]

    @field_validator("names")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_Type._known(name) for name in names)


class _File(_Strict):
    title: str
    source: str
    age_band: str
    checked: bool = False
    type: tuple[_Type, ...] = ()
    group: tuple[_Group, ...] = ()


def load_references(path: Path | None = None) -> ReferenceRanges:
    """Read a file of reference ranges; without a path the adult default that comes with the program.

    Raises ``MarrowscopeError`` when the file is missing, is no TOML, or has a field that it should not have.
    """
    where = path or "the built-in reference ranges"
    try:
        text = (path or files("marrowscope.differential") / "reference_ranges.toml").read_text(encoding="utf-8")
        content = _File.model_validate(tomllib.loads(text))
    except OSError as error:
        raise MarrowscopeError(f"cannot read the reference ranges {where}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise MarrowscopeError(f"the reference ranges {where} are no TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise MarrowscopeError(f"the reference ranges {where} are wrong at {place}: {first['msg']}") from error
    ranges = {entry.name: ReferenceRange(entry.low, entry.high, entry.remark) for entry in content.type}
    for group in content.group:
        remark = f"{group.title} together: {group.low:g}-{group.high:g} %"
        ranges |= {name: ReferenceRange(remark=remark) for name in group.names if name not in ranges}
    return ReferenceRanges(content.title, content.source, content.age_band, content.checked, ranges)
