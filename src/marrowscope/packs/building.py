"""Put models, contract and card together into a pack, and add packs to those known by name; whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from marrowscope.errors import OutputError, PackError
from marrowscope.files import user_folder
from marrowscope.packs.checking import check_models
from marrowscope.packs.contract import PackContract
from marrowscope.packs.loading import (
    BUILT_IN,
    CARD_FILE,
    CONTRACT_FILE,
    Pack,
    load_pack_folder,
    model_files,
    read_contract,
    sha256_of,
)
from marrowscope.packs.metrics import METRICS_FILE

MARK = Path("work", "mark.txt")
"""In the folder of a cascade's training, as long as it is not finished."""


def build_pack(
    contract: PackContract, sources: Mapping[str, Path], card: str, folder: Path, *, force: bool = False
) -> Pack:
    """Write a pack into ``folder``; with ``force`` in place of the pack that is there.

    ``sources`` gives, for each file name in the contract, the file to copy; ``card`` is the text of ``card.md``. Hashes
    are verified and the models run before anything appears in ``folder``. Raises ``PackError`` when they break the
    contract, ``OutputError`` when the folder cannot be written or holds a pack (without ``force``) or something else.
    """
    require_free(folder, force=force)
    hashes = {file.file: file.sha256 for file in model_files(contract)}
    if set(hashes) != set(sources):
        raise PackError(f"the contract names the files {sorted(hashes)}, given were {sorted(sources)}")
    if missing := [str(source) for source in sources.values() if not source.is_file()]:
        raise PackError(f"there is no file {', '.join(missing)}; train and export the model first")
    if changed := [str(source) for name, source in sources.items() if sha256_of(source) != hashes[name]]:
        raise PackError(f"{', '.join(changed)} changed after it was hashed; build the pack again")
    check_models(sources, contract)
    return _put((contract.model_dump_json(indent=2) + "\n").encode(), card, sources, folder)


def require_free(folder: Path, *, force: bool) -> None:
    """Raise ``OutputError`` when ``folder`` holds something else than a pack, or a pack and ``force`` is not given."""
    if not folder.exists():
        return
    if not (folder / CONTRACT_FILE).is_file():
        raise OutputError(f"{folder} exists and is no pack; choose another folder or delete it")
    if not force:
        raise OutputError(f"{folder} holds a pack already; take another folder or add --force")


def require_finished(run: Path) -> None:
    """Raise ``PackError`` when training in the folder ``run`` is under way or was broken off.

    What stands there then is no model, or an earlier one than the folder's owner may think.
    """
    go_on = f"finish it with `marrowscope train cascade --data TILES -o {run} --resume`"
    if (run / MARK).is_file():
        whole = (run / METRICS_FILE).is_file() and (run / "detector.onnx").is_file()
        earlier = f"; or delete {run / MARK.parent} to build of the earlier model that is still there" if whole else ""
        raise PackError(
            f"the training in {run} is not finished ({MARK.parent} holds its checkpoints): {go_on}{earlier}"
        )
    if (run / "model.pt").is_file() and not (run / METRICS_FILE).is_file():
        raise PackError(f"the model in {run} has not been exported and measured to the end: {go_on}")


def add_pack(folder: Path, *, force: bool = False) -> Pack:
    """Copy the pack in ``folder`` to the user's packs, where its name alone finds it.

    With ``force`` another version takes the place of the earlier one; the same version with other files is refused
    all the same, because reports name packs by version. Raises ``PackError`` for that, for the name of a built-in pack
    and for a broken pack, ``OutputError`` for another version without ``force``.
    """
    pack = load_pack_folder(folder)
    name = pack.contract.name
    if (BUILT_IN / name).exists():
        raise PackError(f"{name!r} is the name of a built-in pack; give the pack in {folder} another name")
    target = user_folder() / "packs" / name
    if target.exists():
        present, sha256 = read_contract(target)
        if present.version == pack.contract.version and sha256 != pack.sha256:
            raise PackError(
                f"another pack {name} {present.version} has been added already; raise the version in {folder}, "
                f"or delete {target} first"
            )
        if present.version != pack.contract.version and not force:
            raise OutputError(
                f"{target} holds {name} {present.version} already; give the pack in {folder} another name, or put "
                f"{pack.contract.version} in its place with --force"
            )
    check_models(pack.files, pack.contract)
    return _put((folder / CONTRACT_FILE).read_bytes(), pack.card, pack.files, target)


def _put(contract: bytes, card: str, sources: Mapping[str, Path], folder: Path) -> Pack:
    """Fill a folder beside ``folder``, check it, and put it in place by renaming."""
    require_free(folder, force=True)
    partial = folder.parent / f".{folder.name}.{uuid4().hex[:8]}"
    try:
        partial.mkdir(parents=True)
        for name, source in sources.items():
            shutil.copyfile(source, partial / name)
        (partial / CARD_FILE).write_text(card, encoding="utf-8", newline="\n")
        (partial / CONTRACT_FILE).write_bytes(contract)
        pack = load_pack_folder(partial)
        _swap(partial, folder)
    except OSError as error:
        raise OutputError(
            f"the pack cannot be written to {folder} ({error.strerror or error}); choose -o DIR"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Pack(folder, pack.contract, pack.sha256)


def _swap(new: Path, folder: Path) -> None:
    """Rename ``new`` to ``folder``; what was there steps aside first, and back when that fails."""
    if not folder.exists():
        new.replace(folder)
        return
    old = folder.replace(new.with_name(new.name + ".old"))
    try:
        new.replace(folder)
    except OSError:
        old.replace(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
