"""Deterministic, cited judgements over a Panel. Pure functions: no I/O, no model."""
