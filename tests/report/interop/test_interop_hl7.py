"""HL7 v2: a small parser reads back what was written, delimiters and line breaks included."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marrowscope.report.interop import codes
from marrowscope.report.interop.hl7 import escaped, hl7_message, write_hl7
from marrowscope.report.signature import Review, Work

SIGNS = {"F": "|", "S": "^", "T": "&", "R": "~", "E": "\\", ".br": "\n"}


def unescaped(text: str) -> str:
    """The text of a component, its escape sequences resolved (HL7 v2.5.1, chapter 2.7)."""

    def sign(found: re.Match[str]) -> str:
        sequence = found[1]
        return bytes.fromhex(sequence[1:]).decode("ascii") if sequence[0] == "X" else SIGNS[sequence]

    return re.sub(r"\\([^\\]+)\\", sign, text)


def parsed(message: str) -> list[list[str]]:
    """Segments as lists of raw fields, so that ``segment[3]`` is the field that HL7 numbers 3."""
    assert message.endswith("\r")
    segments = [segment.split("|") for segment in message.removesuffix("\r").split("\r")]
    segments[0].insert(1, "|")
    return segments


def components(field: str) -> list[str]:
    return [unescaped(component) for component in field.split("^")]


def by_name(message: str, name: str) -> list[list[str]]:
    """Segments of a name, filled up so that every field can be asked for."""
    return [[*segment, *[""] * 40] for segment in parsed(message) if segment[0] == name]


def observations(message: str) -> dict[str, list[str]]:
    return {components(segment[3])[0]: segment for segment in by_name(message, "OBX")}


@given(st.text())
def test_any_text_comes_back_and_holds_no_delimiter(text):
    written = escaped(text)
    assert not re.search(r"[|^&~\x00-\x1f\x7f]", written)
    assert unescaped(written) == re.sub(r"\r\n|\r", "\n", text)


def test_what_no_utf8_can_carry_becomes_a_replacement_character():
    assert "\ufffd" in escaped("a\udcffb")
    escaped("a\udcffb").encode()


@settings(max_examples=30, deadline=None)
@given(st.text(), st.text(), st.text(st.characters(exclude_categories=("Cs",)), min_size=1))
def test_no_text_of_a_person_breaks_the_message(content_of, signed_content, conclusion, comment, name):
    review, content = signed_content.review, content_of("empty")
    signature = replace(review.signature, name=f"Dr. {name}")
    identifiers = replace(review.identifiers, patient_name=f"x{name}x", site=comment)
    changed = replace(
        review, signature=signature, conclusion=conclusion, comments={"Dysplasia": comment}, identifiers=identifiers
    )
    usual = hl7_message(replace(content, review=review))
    message = hl7_message(replace(content, review=changed))
    names = [segment[0] for segment in parsed(message)]
    assert set(names) == {segment[0] for segment in parsed(usual)}
    assert names.count("PID") == names.count("OBR") == names.count("SPM") == 1
    read = observations(message)
    for code, text in (("conclusion", conclusion), ("comment-dysplasia", comment)):
        assert (code in read) == bool(text.strip())
        if text.strip():
            shown = [re.sub(r"\s", " ", line).rstrip() for line in text.strip().splitlines()]
            told = unescaped(read[code][5]).split("\n")
            assert len(told) == len(shown)
            assert all(len(one) == len(other) for one, other in zip(told, shown, strict=True))


def test_the_message_says_what_it_is(signed_content, content_of):
    header = parsed(hl7_message(signed_content))[0]
    assert header[:3] == ["MSH", "|", "^~\\&"]
    assert (header[7], header[9], header[11], header[12]) == ("20261127101409+0000", "ORU^R01^ORU_R01", "T", "2.5.1")
    assert header[18] == "UNICODE UTF-8"
    assert re.fullmatch(r"[0-9a-f]{20}", header[10])
    assert parsed(hl7_message(content_of("partial")))[0][11] == "P"


def test_segments_stand_in_the_order_of_the_standard(signed_content):
    names = "".join(segment[0] + " " for segment in parsed(hl7_message(signed_content)))
    assert re.fullmatch(r"MSH PID OBR (NTE )+(OBX (NTE )*)+SPM ", names)


@pytest.mark.parametrize("shape", ["normal", "partial", "aml"])
def test_every_number_of_the_differential_comes_back(content_of, shape):
    content = content_of(shape)
    message = hl7_message(content)
    read = observations(message)
    assert [segment[1] for segment in by_name(message, "OBX")] == [
        str(number) for number in range(1, len(by_name(message, "OBX")) + 1)
    ]
    for row in content.differential.rows:
        segment = read[row.type]
        assert components(segment[3]) == [row.type, codes.CODES[row.type].title, "99MARROW"]
        if not row.assessable:
            assert segment[2] == "ST"
            assert unescaped(segment[5]).startswith("not assessable")
            assert f"{row.type}.count" not in read
            continue
        assert (segment[2], float(segment[5]), components(segment[6])[0]) == ("NM", row.percent_rounded, "%")
        assert read[f"{row.type}.count"][5] == str(row.count)
        low, high = map(float, read[f"{row.type}.interval-95"][5].split("-"))
        assert (low, high) == pytest.approx((row.low, row.high), abs=0.0501)
        assert segment[4] == read[f"{row.type}.count"][4] == read[f"{row.type}.interval-95"][4]
        ranged = (
            "" if row.reference_low is None or shape == "partial" else f"{row.reference_low:g}-{row.reference_high:g}"
        )
        assert segment[7] == ranged
    assert {segment[11] for segment in by_name(message, "OBX")} == {"P"}
    assert by_name(message, "PID") == []


def test_a_whole_interval_outside_the_range_is_flagged(content_of):
    assert observations(hl7_message(content_of("aml")))["blast"][8] == "H"
    assert {segment[8] for segment in by_name(hl7_message(content_of("partial")), "OBX")} == {""}


def test_identifiers_and_signature_stand_in_their_fields(signed_content):
    message = hl7_message(signed_content)
    (patient,), (request,), (specimen,) = (by_name(message, name) for name in ("PID", "OBR", "SPM"))
    assert (patient[3], patient[5], patient[7]) == ("4711-88", "Doe, Jane", "19600312")
    assert (request[7], request[22], request[25]) == ("20261126", "20261127101409+0000", "F")
    assert request[32] == "&Dr. Ada Beispiel"
    assert (specimen[2], components(specimen[8])[1], specimen[17]) == (
        "KM-2026-0815",
        "Posterior iliac crest, left",
        "20261126",
    )
    read = observations(message)
    assert (read["blast"][11], components(read["blast"][16])[1]) == ("F", "Dr. Ada Beispiel")
    assert components(read["blast"][18]) == ["phantom-16 1.0.0", "MARROWSCOPE"]
    assert (read["conclusion"][2], unescaped(read["conclusion"][5])) == ("FT", signed_content.review.conclusion)
    notes = [unescaped(segment[3]) for segment in by_name(message, "NTE")]
    assert notes[0] == "Research use only. Not a diagnosis."
    assert "Log of the edits, SHA-256 " + "c4" * 32 in notes


def test_a_correction_and_a_draft_have_their_status(content_of, signed_content):
    signature = replace(signed_content.review.signature, version=2, reason="a slide was added")
    corrected = replace(content_of("one"), review=replace(signed_content.review, signature=signature))
    draft = replace(content_of("one"), review=Review(Work(1, 1)))
    for content, status in ((corrected, "C"), (draft, "P")):
        message = hl7_message(content)
        assert by_name(message, "OBR")[0][25] == status
        assert {segment[11] for segment in by_name(message, "OBX")} == {status}
    assert parsed(hl7_message(corrected))[0][10] != parsed(hl7_message(draft))[0][10]


def test_an_open_interval_and_a_density_are_told(content_of):
    one = observations(hl7_message(content_of("one")))
    assert one["me-ratio-with-blasts.interval-95"][5].startswith(">=")
    assert unescaped(one["me-ratio-with-blasts"][5]).startswith("no erythroblast was counted: at least")
    normal = observations(hl7_message(content_of("normal")))
    assert float(normal["megakaryocyte.per-mm2"][5]) == 4.5


def test_a_checked_code_of_loinc_stands_before_our_own(content_of, monkeypatch):
    assert "^LN" not in hl7_message(content_of("normal"))
    checked = replace(codes.CANDIDATES["me-ratio-with-blasts"], checked=True)
    monkeypatch.setitem(
        codes.CODES, "me-ratio-with-blasts", replace(codes.CODES["me-ratio-with-blasts"], loinc=checked)
    )
    (field,) = [s[3] for s in by_name(hl7_message(content_of("normal")), "OBX") if s[3].startswith("11138-5")]
    assert components(field)[2:4] == ["LN", "me-ratio-with-blasts"]


def test_the_file_is_the_message_in_utf8(signed_content, tmp_path):
    write_hl7(signed_content, tmp_path / "report.hl7")
    assert (tmp_path / "report.hl7").read_bytes() == hl7_message(signed_content).encode()
