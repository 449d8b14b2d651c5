import os
from pathlib import Path

import pytest

from marrowscope.errors import OutputError
from marrowscope.files import whole_file, write_json
from marrowscope.runs import fingerprint, output_names, pseudonym, read_run, slide_identity


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "report.html"

    def stop_halfway() -> None:
        with whole_file(target) as beside:
            beside.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stop_halfway()
    assert list(target.parent.iterdir()) == []
    with whole_file(target) as beside:
        beside.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert [path.name for path in target.parent.iterdir()] == ["report.html"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_a_clear_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="-o"):
        write_json(tmp_path / "run.json", {})


def test_a_file_in_the_way_of_a_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match=r"run\.json.*-o"):
        write_json(tmp_path / "out" / "run.json", {})


def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")

    def fill_the_disk() -> None:
        with whole_file(tmp_path / "report.json"):
            Path("/dev/full").write_text("x")

    with pytest.raises(OutputError, match="free space"):
        fill_the_disk()
    assert list(tmp_path.iterdir()) == []


def test_slides_of_the_same_name_get_folders_of_their_own(tmp_path: Path) -> None:
    names = output_names([tmp_path / "a/smear.svs", tmp_path / "b/smear.svs", tmp_path / "other.svs"])
    assert names[2] == "other"
    assert len(set(names)) == 3
    assert all(name.startswith("smear-") for name in names[:2])


def test_a_moved_slide_is_the_same_slide_and_a_changed_one_is_not(tmp_path: Path) -> None:
    one, two = tmp_path / "one.svs", tmp_path / "two.svs"
    one.write_bytes(os.urandom(200_000))
    two.write_bytes(one.read_bytes())
    assert slide_identity(one) == slide_identity(two)
    two.write_bytes(one.read_bytes()[:-1] + b"x")
    assert slide_identity(one) != slide_identity(two)


def test_the_fingerprint_covers_every_part_of_the_question() -> None:
    base = fingerprint("slide", "pack", {"cells": 500})
    assert base == fingerprint("slide", "pack", {"cells": 500})
    assert (
        len(
            {
                base,
                fingerprint("s", "pack", {"cells": 500}),
                fingerprint("slide", "p", {"cells": 500}),
                fingerprint("slide", "pack", {"cells": 501}),
            }
        )
        == 4
    )


def test_a_damaged_run_counts_as_none(tmp_path: Path) -> None:
    assert read_run(tmp_path) is None
    (tmp_path / "run.json").write_text('{"fingerprint": ')
    assert read_run(tmp_path) is None


def test_a_pseudonym_is_stable_keyed_and_tells_nothing(tmp_path: Path) -> None:
    key = tmp_path / "key"
    name = pseudonym("Doe, Jane 1970", key)
    assert name == pseudonym("Doe, Jane 1970", key)
    assert "Doe" not in name
    assert key.stat().st_mode & 0o077 == 0
    assert name != pseudonym("Doe, Jane 1970", tmp_path / "another key")
