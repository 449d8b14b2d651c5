from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from marrowscope.differential.references import load_references
from marrowscope.errors import MarrowscopeError
from marrowscope.taxonomy import NDC_TYPES


def test_the_default_is_for_adults_and_names_its_source():
    references = load_references()
    assert "Bain" in references.source
    assert "adults" in references.age_band
    assert (references.of("blast").low, references.of("blast").high) == (0, 3)
    assert "Not yet checked" in references.sentence


def test_every_default_range_is_possible_and_of_a_counted_type():
    references = load_references()
    for name, reference in references.ranges.items():
        assert name in (*NDC_TYPES, "erythroblast")
        if reference.low is not None:
            assert 0 <= reference.low < reference.high <= 100


def test_rows_that_have_only_a_common_range_get_a_remark():
    reference = load_references().of("band_neutrophil")
    assert reference.low is None
    assert reference.remark == "band and segmented neutrophils together: 22-46 %"


def test_a_type_without_a_range_has_an_empty_one():
    reference = load_references().of("mast_cell")
    assert reference.low is reference.high is reference.remark is None


def test_the_laboratorys_own_file_comes_first(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text(
        'title = "Ours"\nsource = "200 donors"\nage_band = "60 years and older"\nchecked = true\n'
        '[[type]]\nname = "blast"\nlow = 0.0\nhigh = 2.5\n'
    )
    references = load_references(own)
    assert references.of("blast").high == 2.5
    assert references.of("lymphocyte").low is None
    assert references.sentence == "Reference ranges: Ours, 60 years and older; 200 donors."


def test_a_copy_of_the_default_is_accepted(tmp_path):
    copy = tmp_path / "copy.toml"
    copy.write_text((files("marrowscope.differential") / "reference_ranges.toml").read_text(encoding="utf-8"))
    assert load_references(copy) == load_references()


HEAD = 'title = "x"\nsource = "x"\nage_band = "x"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title = ", "are no TOML"),
        ('title = "x"\n', "wrong at source"),
        (HEAD + '[[type]]\nname = "blob"\nlow = 0\nhigh = 1\n', "unknown cell type 'blob'"),
        (HEAD + '[[type]]\nname = "blast"\nlow = 5\nhigh = 1\n', "low 5.0 is above high 1.0"),
        (HEAD + '[[type]]\nname = "blast"\nlow = 0\nhigh = 101\n', "less than or equal to 100"),
        (HEAD + 'colour = "red"\n', "wrong at colour"),
    ],
)
def test_a_wrong_file_is_told_by_name_and_place(tmp_path, text, words):
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(text)
    with pytest.raises(MarrowscopeError, match=words) as caught:
        load_references(wrong)
    assert "wrong.toml" in str(caught.value)


def test_a_missing_file_is_told():
    with pytest.raises(MarrowscopeError, match=r"cannot read the reference ranges .*nowhere\.toml"):
        load_references(Path("nowhere.toml"))
