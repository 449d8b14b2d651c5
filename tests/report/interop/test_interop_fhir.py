"""FHIR: valid R4B, nothing that was not entered, no zero for what was not seen."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from decimal import Decimal

import pytest
from fhir.resources.R4B.bundle import Bundle

from marrowscope.errors import MarrowscopeError
from marrowscope.report.interop import codes, results
from marrowscope.report.interop.fhir import fhir_bundle, write_fhir
from marrowscope.report.signature import Identifiers, Review, Work

SHAPES = ("normal", "partial", "aml", "empty", "one", "all types")


def resources(content, kind):
    """Resources of a kind, as ``fhir.resources`` reads them back, by their own code where they have one."""
    bundle = Bundle.model_validate_json(fhir_bundle(content))
    found = [entry.resource for entry in bundle.entry if entry.resource.get_resource_type() == kind]
    return {resource.code.coding[-1].code: resource for resource in found} if kind == "Observation" else found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("signed", [False, True])
def test_every_shape_of_content_is_valid_and_refers_only_to_itself(content_of, signed_content, shape, signed):
    content = replace(content_of(shape), review=signed_content.review if signed else None)
    text = fhir_bundle(content)
    bundle = json.loads(text)
    assert Bundle.model_validate_json(text).type == "collection"
    own = {entry["fullUrl"] for entry in bundle["entry"]}
    assert len(own) == len(bundle["entry"])

    def references(node):
        if isinstance(node, dict):
            if "reference" in node:
                yield node["reference"]
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    referred = set(references(bundle))
    assert referred <= own
    assert own - referred == {bundle["entry"][0]["fullUrl"]}  # nobody refers to the report itself
    assert ("security" in bundle.get("meta", {})) == content.pack.phantom
    assert "extension" not in text


@pytest.mark.parametrize("shape", ["normal", "partial", "aml"])
def test_every_number_of_the_differential_is_there(content_of, shape):
    content = content_of(shape)
    observations = resources(content, "Observation")
    assert observations["cells-counted"].valueQuantity.value == content.differential.total
    for row in content.differential.rows:
        observation = observations[row.type]
        if not row.assessable:
            assert observation.valueQuantity is None
            assert observation.component is None
            assert observation.dataAbsentReason.coding[0].code == "unsupported"
            assert observation.dataAbsentReason.text.startswith("not assessable")
            continue
        value = observation.valueQuantity
        assert (value.value, value.unit, value.code) == (Decimal(str(row.percent_rounded)), "%", "%")
        count, interval = observation.component
        assert count.valueInteger == row.count
        assert float(interval.valueRange.low.value) == pytest.approx(row.low, abs=0.0501)
        assert float(interval.valueRange.high.value) == pytest.approx(row.high, abs=0.0501)
        has_range = row.reference_low is not None and not content.differential.partial
        assert (observation.referenceRange is not None) == has_range
    panel = observations["differential"]
    assert len(panel.hasMember) == len(observations) - 1
    notes = [note.text for note in panel.note]
    assert notes[0] == "Research use only. Not a diagnosis."
    assert {flag.text for flag in content.differential.flags} <= set(notes)


def test_a_whole_interval_outside_the_range_is_high(content_of):
    blast = resources(content_of("aml"), "Observation")["blast"]
    assert blast.interpretation[0].coding[0].code == "H"
    assert all(item.interpretation is None for item in resources(content_of("partial"), "Observation").values())


def test_ratios_say_why_they_are_withheld_or_open(content_of):
    normal = resources(content_of("normal"), "Observation")["me-ratio-without-blasts"]
    myeloid, erythroid, interval = normal.component
    assert float(normal.valueQuantity.value) == round(myeloid.valueInteger / erythroid.valueInteger, 2)
    assert interval.valueRange.low.value < normal.valueQuantity.value < interval.valueRange.high.value
    partial = resources(content_of("partial"), "Observation")["me-ratio-with-blasts"]
    assert partial.valueQuantity is None
    assert partial.dataAbsentReason.text.startswith("withheld: the differential is partial")
    no_erythroid = resources(content_of("one"), "Observation")["me-ratio-with-blasts"]
    assert no_erythroid.dataAbsentReason.coding[0].code == "positive-infinity"
    assert no_erythroid.component[-1].valueRange.high is None


def test_a_patient_is_there_only_when_one_was_entered(content_of, signed_content):
    (patient,) = resources(signed_content, "Patient")
    assert (patient.name[0].text, patient.identifier[0].value) == ("Doe, Jane", "4711-88")
    assert patient.birthDate.isoformat() == "1960-03-12"
    specimen_only = Review(Work(1, 0), identifiers=Identifiers(specimen_id="KM-1", site="Sternum"))
    content = replace(content_of("one"), review=specimen_only)
    assert resources(content, "Patient") == []
    (specimen,) = resources(content, "Specimen")
    assert (specimen.identifier[0].value, specimen.collection.bodySite.text) == ("KM-1", "Sternum")
    assert specimen.subject is None
    (bare,) = resources(content_of("one"), "Specimen")
    assert bare.identifier is None
    assert bare.collection is None


def test_the_slide_is_never_named(signed_content):
    content = replace(signed_content, slide=replace(signed_content.slide, label="doe-jane-smear"))
    assert "doe-jane" not in fhir_bundle(content)


def test_the_status_follows_the_signature(content_of, signed_content):
    amended = replace(signed_content.review.signature, version=2, reason="a slide was added")
    reviews = {
        "preliminary": replace(signed_content.review, signature=None),
        "final": signed_content.review,
        "amended": replace(signed_content.review, signature=amended),
    }
    identifiers = set()
    for status, review in reviews.items():
        content = replace(content_of("one"), review=review)
        (report,) = resources(content, "DiagnosticReport")
        assert report.status == status
        assert {item.status for item in resources(content, "Observation").values()} == {status}
        identifiers.add(report.identifier[0].value)
    assert len(identifiers) == 3
    assert report.issued.isoformat() == "2026-11-27T10:14:09+00:00"
    assert report.performer[0].display == "Dr. Ada Beispiel, Consultant haematologist"
    assert "Reason: a slide was added" in fhir_bundle(content)


def test_comments_are_observations_and_the_conclusion_is_the_reports(signed_content):
    observations = resources(signed_content, "Observation")
    assert observations["comment-granulopoiesis"].valueString.splitlines()[1] == "Toxic granules in some neutrophils."
    assert "comment-lymphocytes" not in observations
    (report,) = resources(signed_content, "DiagnosticReport")
    assert report.conclusion == signed_content.review.conclusion
    assert observations["comment-dysplasia"].device is None


def test_the_device_is_the_pack(signed_content):
    (device,) = resources(signed_content, "Device")
    assert [version.value for version in device.version] == ["1.0.0", "3f" * 32, "marrowscope 0.1.0"]


def test_a_type_that_the_pack_does_not_recognise_has_a_number_only_under_a_signature(content_of, signed_content):
    content = content_of("normal")
    rows = tuple(
        row.model_copy(update={"recognised": row.type != "blast", "low": 9.0}) if row.type == "blast" else row
        for row in content.differential.rows
    )
    content = replace(content, differential=content.differential.model_copy(update={"rows": rows}))
    assert resources(content, "Observation")["blast"].valueQuantity is None
    signed = resources(replace(content, review=signed_content.review), "Observation")["blast"]
    assert signed.valueQuantity.value == Decimal("1.4")
    assert signed.interpretation is None
    assert "Not recognised" in signed.note[0].text


def test_only_checked_codes_of_loinc_are_exported(content_of, monkeypatch):
    content = content_of("normal")
    assert all(candidate.checked is False for candidate in codes.CANDIDATES.values())
    assert codes.LOINC_SYSTEM not in fhir_bundle(content)
    checked = replace(codes.CODES["plasma_cell"], loinc=replace(codes.CANDIDATES["plasma_cell"], checked=True))
    monkeypatch.setitem(codes.CODES, "plasma_cell", checked)
    assert results.CODES is codes.CODES
    plasma = resources(content, "Observation")["plasma_cell"]
    assert [(coding.system, coding.code) for coding in plasma.code.coding] == [
        (codes.LOINC_SYSTEM, "11118-7"),
        (codes.SYSTEM, "plasma_cell"),
    ]


def test_equal_contents_give_equal_bytes(signed_content, tmp_path):
    write_fhir(signed_content, tmp_path / "report.fhir.json")
    assert (tmp_path / "report.fhir.json").read_bytes() == fhir_bundle(signed_content).encode()


def test_without_the_library_it_says_what_to_install(content_of, monkeypatch):
    monkeypatch.setitem(sys.modules, "fhir.resources.R4B.bundle", None)
    with pytest.raises(MarrowscopeError, match=r"pip install 'marrowscope\[department\]'"):
        fhir_bundle(content_of("one"))
