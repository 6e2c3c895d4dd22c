"""Speed and memory of what is served. Measured, never asserted: `python -m evaluation.bench`."""
