"""Measures, benchmarks and reports of what is served."""
