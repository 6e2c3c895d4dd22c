"""Telemetry: spans and metrics by an allowlist of attributes; nothing of a patient leaves here."""
