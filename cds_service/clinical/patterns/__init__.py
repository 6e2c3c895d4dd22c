"""Patterns: several results that mean more together. Criteria stand as data, one TOML file for each organ system, next to
the few that take code; ``docs/patterns.md`` is made from them. A pattern never asserts a diagnosis and names no dose."""

from __future__ import annotations

from cds_service.clinical.patterns.find import find

__all__ = ["find"]
