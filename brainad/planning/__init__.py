"""Measure a dataset, then decide: one pure rule per decision, each with its reason."""
