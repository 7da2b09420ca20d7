"""Metrics, thresholds and confidence intervals: pure functions on arrays."""
