"""Metrics of detectors and classifiers, each with its interval; no torch, no scikit-learn."""
