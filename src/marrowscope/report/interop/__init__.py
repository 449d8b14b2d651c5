"""A report as other programs take it: FHIR, HL7 v2, DICOM. Pure functions of a ``ReportContent``; nothing is sent."""
