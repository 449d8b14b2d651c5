"""What a person may enter into a review, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from marrowscope.errors import DataError
from marrowscope.report.signature import EarlierResult, Identifiers, Review, Signature, Work

SIGNATURE = Signature("Ada", "Consultant", datetime(2026, 11, 27, 10, 14, tzinfo=UTC), "c4" * 32)


def test_the_time_of_a_signature_is_kept_in_utc():
    berlin = datetime(2026, 11, 27, 11, 14, tzinfo=timezone(timedelta(hours=1)))
    at = replace(SIGNATURE, at=berlin).at
    assert (at, at.tzinfo) == (SIGNATURE.at, UTC)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"name": "  "}, "needs a name"),
        ({"at": datetime(2026, 11, 27)}, "must say its zone"),
        ({"log_sha256": "c4"}, "64 hexadecimal digits"),
        ({"version": 0}, "begin with 1"),
        ({"version": 2}, "has a reason"),
        ({"reason": "a typing error"}, "has a reason"),
    ],
)
def test_a_signature_without_one_of_its_parts_is_refused(change, fault):
    with pytest.raises(ValueError, match=fault):
        replace(SIGNATURE, **change)


@pytest.mark.parametrize("numbers", [(10, 11), (10, 9, 11), (10, -1), (10, 1, 0, 11), (10, 1, 0, 0, 0, 11)])
def test_numbers_of_cells_that_cannot_be_true_are_refused(numbers):
    with pytest.raises(ValueError, match="cannot be true"):
        Work(*numbers)


def test_identifiers_are_read_from_what_was_typed():
    typed = {"patient_name": " Doe, Jane ", "date_of_birth": "1960-03-12", "site": "", "collected": " "}
    assert Identifiers.from_texts(typed) == Identifiers(patient_name="Doe, Jane", date_of_birth=date(1960, 3, 12))
    assert Identifiers.from_texts(typed).name_a_patient
    assert not Identifiers.from_texts({"specimen_id": "KM-1", "collected": "2026-11-26"}).name_a_patient


def test_a_date_that_is_none_is_refused_without_repeating_it():
    with pytest.raises(DataError, match="the date of birth is no date: write year, month and day") as error:
        Identifiers.from_texts({"date_of_birth": "12.3.60"})
    assert "12.3.60" not in str(error.value)


def test_comments_stand_under_headings_of_the_report():
    with pytest.raises(ValueError, match="no headings of the report"):
        Review(Work(1, 1), comments={"Diagnosis": "-"})


def test_an_earlier_result_keeps_what_could_not_be_assessed_apart_from_zero(content_of):
    differential = content_of("partial").differential
    earlier = EarlierResult.of(differential, "KM-1", None)
    assert earlier.percentages["blast"] is None
    assert earlier.percentages["lymphocyte"] == pytest.approx(19.6, abs=5)
    assert (earlier.title, earlier.total) == (differential.title, differential.total)
    with pytest.raises(ValueError, match="unknown cell types"):
        EarlierResult("KM-1", None, {"blasts": 3.0})
