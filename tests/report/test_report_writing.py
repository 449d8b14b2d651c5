"""Files of a report: all of them, whole or not at all."""

from __future__ import annotations

import pytest

from marrowscope.errors import OutputError
from marrowscope.report import write_report
from marrowscope.report.qupath import check_qupath_geojson
from marrowscope.report.writing import WRITERS


def test_a_report_is_written_with_all_its_files(content_of, tmp_path):
    content = content_of("normal")
    folder = tmp_path / "results" / "slide"
    write_report(content, folder)
    assert {path.name for path in folder.iterdir()} == {
        "cells.parquet",
        "cells.geojson.gz",
        "differential.json",
        "differential.csv",
        "report.html",
        "report.pdf",
    }
    assert check_qupath_geojson(folder / "cells.geojson.gz", content.slide.size) == []


def test_the_same_content_gives_the_same_files(content_of, tmp_path):
    for name in ("one", "two"):
        write_report(content_of("aml"), tmp_path / name)
    for file in WRITERS:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


@pytest.mark.parametrize("file", WRITERS)
def test_a_folder_that_cannot_be_made_gives_one_clear_line(content_of, tmp_path, file):
    (tmp_path / "taken").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="choose another folder") as caught:
        WRITERS[file](content_of("one"), tmp_path / "taken" / file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", WRITERS)
def test_a_full_disk_leaves_the_older_file_and_no_half_one(content_of, tmp_path, file):
    resource = pytest.importorskip("resource")
    path = tmp_path / file
    path.write_bytes(b"the older one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))  # writing beyond it fails as on a full disk
    try:
        with pytest.raises(OutputError):
            WRITERS[file](content_of("normal"), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"the older one"
    assert [other.name for other in tmp_path.iterdir()] == [file]
