"""Find a pack by name or folder, read its contract and make sure that its files are the ones it was tested with."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from marrowscope.errors import PackError
from marrowscope.files import user_folder
from marrowscope.packs.anomaly import AnomalyReference
from marrowscope.packs.contract import SCHEMA, ModelFile, PackContract

CONTRACT_FILE = "pack.json"
CARD_FILE = "card.md"
BUILT_IN = Path(__file__).parent / "builtin"
"""Folder of the packs that come with the program, one folder a pack."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack whose files have been checked against its contract.

    ``sha256`` is that of ``pack.json`` (``sha256sum pack.json`` gives the same). The contract holds the hash of every
    model, so this one value names everything that a count depends on.
    """

    folder: Path
    contract: PackContract
    sha256: str

    @property
    def detector(self) -> Path:
        """The detector's ONNX file. Raises ``PackError`` for a pack that has none."""
        return self.folder / self.contract.counts_with.file

    @property
    def classifier(self) -> Path | None:
        """The cell classifier's ONNX file; None when the detector itself names types."""
        return self.folder / self.contract.classifier.file if self.contract.classifier else None

    @property
    def region_model(self) -> Path | None:
        """The region model's ONNX file; None when regions are found without one."""
        return self.folder / self.contract.regions.file if self.contract.regions else None

    def anomaly_reference(self) -> AnomalyReference | None:
        """What the anomaly score compares cells with; None when the pack has none. Raises ``PackError``."""
        anomaly = self.contract.anomaly
        return AnomalyReference.read(self.folder / anomaly.reference.file) if anomaly else None

    @property
    def files(self) -> dict[str, Path]:
        """Every file that the contract names, by its name there."""
        return {file.file: self.folder / file.file for file in model_files(self.contract)}

    @property
    def card(self) -> str:
        """The model card, Markdown."""
        return (self.folder / CARD_FILE).read_text(encoding="utf-8")

    def for_specimen(self, name: str) -> Pack:
        """The pack as it names the cells of a specimen: see :meth:`PackContract.for_specimen`. Raises ``PackError``."""
        try:
            return dataclasses.replace(self, contract=self.contract.for_specimen(name))
        except ValueError as error:
            raise PackError(f"{error}; set it with --specimen") from None


def load_pack(name_or_folder: str | Path) -> Pack:
    """Load and verify a built-in pack, an added one, or any folder that holds a pack.

    A ``Path`` is always a folder. A string is first sought among the known names; write ``./NAME`` for a folder of that
    name. Raises ``PackError`` for an unknown name, a missing or changed file, and a contract that is not one or is
    newer than this program.
    """
    folder = Path(name_or_folder)
    if isinstance(name_or_folder, Path) or name_or_folder != folder.name:
        return load_pack_folder(folder)
    known = known_packs()
    if name_or_folder in known:
        return load_pack_folder(known[name_or_folder])
    if not folder.is_dir():
        raise PackError(
            f"no pack is called {name_or_folder!r}; known: {', '.join(known) or 'none'}; "
            "give one of these, a pack's folder, or add one with: marrowscope packs add DIR"
        )
    return load_pack_folder(folder)


def load_pack_folder(folder: Path) -> Pack:
    """Load and verify the pack in ``folder``. Raises ``PackError`` with one line that says what to do."""
    contract, sha256 = read_contract(folder)
    for file in model_files(contract):
        path = folder / file.file
        if not path.is_file():
            raise PackError(f"the pack in {folder} lacks its file {file.file}; reinstall it or add it again")
        found = sha256_of(path)
        if found != file.sha256:
            raise PackError(
                f"{path} is not the file that the pack was made with (sha256 {found[:12]}..., expected "
                f"{file.sha256[:12]}...); reinstall the pack or add it again"
            )
    if not (folder / CARD_FILE).is_file():
        raise PackError(f"the pack in {folder} lacks its model card {CARD_FILE}; reinstall it or add it again")
    return Pack(folder, contract, sha256)


def read_contract(folder: Path) -> tuple[PackContract, str]:
    """The contract in ``folder`` and the sha256 of its file; model files are not looked at."""
    if not folder.is_dir():
        raise PackError(f"there is no folder {folder}; give the name or the folder of a pack")
    path = folder / CONTRACT_FILE
    try:
        raw = path.read_bytes()
        content: Any = json.loads(raw)
    except FileNotFoundError:
        raise PackError(f"{folder} is no pack: it holds no {CONTRACT_FILE}; give the folder of a pack") from None
    except OSError as error:
        raise PackError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    except ValueError as error:
        raise PackError(f"{path} is not valid JSON ({error}); reinstall the pack or add it again") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise PackError(
            f"the pack in {folder} was made by a newer marrowscope (schema {version}, this program reads {SCHEMA}); "
            "upgrade with: pip install --upgrade marrowscope"
        )
    try:
        contract = PackContract.model_validate(content, strict=False)
    except ValidationError as error:
        raise PackError(f"{path} breaks the contract: {describe(error)}; correct it or ask who made it") from error
    return contract, hashlib.sha256(raw).hexdigest()


def describe(error: ValidationError) -> str:
    """The first mistake that pydantic found, in one line, and how many there are."""
    first, *more = error.errors(include_url=False)
    where = ".".join(str(part) for part in first["loc"])
    text = first["msg"].removeprefix("Value error, ")
    return (f"{where}: " if where else "") + text + (f" (and {len(more)} more)" if more else "")


def model_files(contract: PackContract) -> tuple[ModelFile, ...]:
    """Every file that the contract names, each with its hash."""
    candidates = (
        contract.detector,
        contract.regions,
        contract.classifier,
        contract.classifier.linear_head if contract.classifier else None,
        contract.anomaly.reference if contract.anomaly else None,
    )
    return tuple(file for file in candidates if file is not None)


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_packs() -> dict[str, Path]:
    """Folders of the built-in and the added packs by name, built-in ones first; nothing is verified."""
    found: dict[str, Path] = {}
    for parent in (BUILT_IN, user_folder() / "packs"):
        if parent.is_dir():
            for folder in sorted(parent.iterdir()):
                if (folder / CONTRACT_FILE).is_file() and not folder.name.startswith("."):
                    found.setdefault(folder.name, folder)
    return found
