"""FHIR R4B (4.3.0): a Bundle of type collection with the report, its observations, specimen, pack and patient.

The fields are listed in docs/methods/interop.md. Nothing is an extension. A value that is not known is a
``dataAbsentReason`` with words, never 0. The document is validated by ``fhir.resources`` before it is given out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from marrowscope.errors import MarrowscopeError
from marrowscope.files import whole_file
from marrowscope.report.content import ReportContent
from marrowscope.report.interop.codes import CODES, LOINC_SYSTEM, SYSTEM, Code
from marrowscope.report.interop.results import Result, comments, head_of, remarks, results
from marrowscope.report.method import program
from marrowscope.report.signature import Identifiers
from marrowscope.report.view import printable

UCUM = "http://unitsofmeasure.org"
TERMS = "http://terminology.hl7.org/CodeSystem/"

NEEDS = "writing FHIR needs more: pip install 'marrowscope[department]'"

Resource = dict[str, Any]
Named = Callable[[str], UUID]


def write_fhir(content: ReportContent, path: Path) -> None:
    """Write the Bundle as JSON. Raises ``OutputError`` when it cannot be written, else as :func:`fhir_bundle`."""
    document = fhir_bundle(content)
    with whole_file(path) as beside:
        beside.write_bytes(document.encode())


def fhir_bundle(content: ReportContent) -> str:
    """The Bundle as JSON text; equal contents give equal text.

    Raises ``MarrowscopeError`` when ``fhir.resources`` is not installed, and pydantic's ``ValidationError`` should the
    document not be valid R4B, which is a defect.
    """
    try:
        from fhir.resources.R4B.bundle import Bundle
    except ModuleNotFoundError as error:
        raise MarrowscopeError(NEEDS) from error
    bundle = _bundle(content)
    Bundle.model_validate(bundle)
    return json.dumps(bundle, indent=2, ensure_ascii=False) + "\n"


def _bundle(content: ReportContent) -> Resource:
    head = head_of(content)
    named, identifiers, issued = head.named, head.identifiers, head.reported
    common: Resource = {"status": head.status}
    patient = _patient(identifiers)
    if patient:
        common["subject"] = _reference(named, "patient")
    if identifiers.collected:
        common["effectiveDateTime"] = identifiers.collected.isoformat()
    if issued:
        common["issued"] = issued.isoformat(timespec="seconds")
    if signature := head.signature:
        who: Resource = {"display": ", ".join(filter(None, map(printable, (signature.name, signature.role))))}
        if signature.account:
            who = {"type": "Practitioner", "identifier": {"value": printable(signature.account)}, **who}
        common["performer"] = [who]
    measured = common | {"specimen": _reference(named, "specimen"), "device": _reference(named, "pack")}
    observations = {result.code.code: _observation(result, measured) for result in results(content)}
    observations |= {code.code: _said(code, text, measured) for code, text in comments(content)}
    panel: Resource = {"resourceType": "Observation", **measured, "category": _laboratory()}
    panel["code"] = _concept(CODES["differential"])
    panel["hasMember"] = [_reference(named, name) for name in observations]
    panel["note"] = [{"text": words} for words in remarks(content)]
    resources: dict[str, Resource] = {"report": _report(content, named, common, ["differential", *observations])}
    if patient:
        resources["patient"] = patient
    resources |= {"specimen": _specimen(identifiers, common.get("subject")), "pack": _device(content)}
    resources |= {"differential": panel, **observations}
    bundle: Resource = {"resourceType": "Bundle", "type": "collection"}
    if content.pack.phantom or content.differential.phantom:
        bundle["meta"] = {"security": [_coding(f"{TERMS}v3-ActReason", "HTEST", "test health data")]}
    bundle["identifier"] = {"system": "urn:ietf:rfc:3986", "value": named("bundle").urn}
    if issued:
        bundle["timestamp"] = issued.isoformat(timespec="seconds")
    bundle["entry"] = [{"fullUrl": named(name).urn, "resource": resource} for name, resource in resources.items()]
    return bundle


def _report(content: ReportContent, named: Named, common: Resource, names: list[str]) -> Resource:
    report: Resource = {
        "resourceType": "DiagnosticReport",
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": named("order").urn}],
        **common,
        "category": [{"coding": [_coding(f"{TERMS}v2-0074", "HM", "Hematology")]}],
        "code": _concept(CODES["differential"]),
        "specimen": [_reference(named, "specimen")],
        "result": [_reference(named, name) for name in names],
    }
    if "performer" in common:
        report["resultsInterpreter"] = common["performer"]
    said = dict(comments(content))
    if conclusion := said.get(CODES["conclusion"]):
        report["conclusion"] = conclusion
    return report


def _observation(result: Result, measured: Resource) -> Resource:
    """One number. Interval and counts are components; the codes of both differ from that of the observation."""
    observation: Resource = {
        "resourceType": "Observation",
        **measured,
        "category": _laboratory(),
        "code": _concept(result.code),
    }
    if result.value is None:
        observation["dataAbsentReason"] = {
            "coding": [_coding(f"{TERMS}data-absent-reason", result.reason)],
            "text": result.absent,
        }
    else:
        observation["valueQuantity"] = _quantity(result.value, result.unit)
    if result.outside:
        word = {"H": "High", "L": "Low"}[result.outside]
        meaning = _coding(f"{TERMS}v3-ObservationInterpretation", result.outside, word)
        observation["interpretation"] = [
            {"coding": [meaning], "text": f"{word}: the whole interval is outside the range"}
        ]
    if result.note:
        observation["note"] = [{"text": result.note}]
    if result.reference is not None:
        low, high = (_quantity(value, result.unit) for value in result.reference)
        observation["referenceRange"] = [{"low": low, "high": high}]
    if components := _components(result):
        observation["component"] = components
    return observation


def _components(result: Result) -> list[Resource]:
    components = [{"code": _concept(code), "valueInteger": number} for code, number in result.counts]
    if result.low is not None:
        interval = {"low": _quantity(result.low, result.unit)}
        if result.high is not None:
            interval["high"] = _quantity(result.high, result.unit)
        components.append({"code": _concept(CODES["interval-95"]), "valueRange": interval})
    if result.per_mm2 is not None:
        components.append({"code": _concept(CODES["per-mm2"]), "valueQuantity": _quantity(result.per_mm2, "/mm2")})
    return components


def _said(code: Code, text: str, measured: Resource) -> Resource:
    """A comment: words of a person, so that the pack is not its device."""
    by_person = {name: value for name, value in measured.items() if name != "device"}
    return {
        "resourceType": "Observation",
        **by_person,
        "category": _laboratory(),
        "code": _concept(code),
        "valueString": text,
    }


def _patient(identifiers: Identifiers) -> Resource | None:
    """Only what was entered. The name stays one text: nobody said which part of it is the family's."""
    if not identifiers.name_a_patient:
        return None
    patient: Resource = {"resourceType": "Patient"}
    if identifiers.patient_id:
        patient["identifier"] = [{"value": printable(identifiers.patient_id)}]
    if identifiers.patient_name:
        patient["name"] = [{"text": printable(identifiers.patient_name)}]
    if identifiers.date_of_birth:
        patient["birthDate"] = identifiers.date_of_birth.isoformat()
    return patient


def _specimen(identifiers: Identifiers, subject: Resource | None) -> Resource:
    specimen: Resource = {"resourceType": "Specimen", "type": _concept(CODES["marrow-smear"])}
    if identifiers.specimen_id:
        specimen["identifier"] = [{"value": printable(identifiers.specimen_id)}]
    if subject:
        specimen["subject"] = subject
    collection: Resource = {}
    if identifiers.collected:
        collection["collectedDateTime"] = identifiers.collected.isoformat()
    if identifiers.site:
        collection["bodySite"] = {"text": printable(identifiers.site)}
    if collection:
        specimen["collection"] = collection
    return specimen


def _device(content: ReportContent) -> Resource:
    """The pack: its name, its version, its hash, and the program that ran it."""
    versions = {"pack": content.pack.version, "SHA-256 of the pack": content.pack_sha256, "program": program(content)}
    return {
        "resourceType": "Device",
        "deviceName": [
            {"name": content.pack.name, "type": "model-name"},
            {"name": content.pack.title, "type": "user-friendly-name"},
        ],
        "type": _concept(CODES["pack"]),
        "version": [{"type": {"text": name}, "value": value} for name, value in versions.items() if value],
    }


def _laboratory() -> list[Resource]:
    return [{"coding": [_coding(f"{TERMS}observation-category", "laboratory", "Laboratory")]}]


def _concept(code: Code) -> Resource:
    """LOINC first where it was checked, our own code always."""
    loinc = code.exported_loinc
    first = [_coding(LOINC_SYSTEM, loinc.code, loinc.name)] if loinc else []
    return {"coding": [*first, _coding(SYSTEM, code.code, code.title)], "text": code.title}


def _coding(system: str, code: str, display: str = "") -> Resource:
    return {"system": system, "code": code} | ({"display": display} if display else {})


def _quantity(value: float, unit: str) -> Resource:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def _reference(named: Named, name: str) -> Resource:
    return {"reference": named(name).urn}
