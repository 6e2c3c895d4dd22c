"""The one mapping of errors to the doors' languages."""

from __future__ import annotations

import grpc

from cds_service.errors import TABLE, mapping
from fhir_adapter import errors


def _tree(kind: type[errors.LabCueError]) -> set[type[errors.LabCueError]]:
    """All kinds of error but a module's private ones, which never leave it."""
    return {kind}.union(*(_tree(child) for child in kind.__subclasses__() if not child.__name__.startswith("_")))


def test_every_error_is_mapped_by_itself() -> None:
    assert set(TABLE) == _tree(errors.LabCueError)


def test_codes_are_unique_but_for_the_root() -> None:
    codes = [kind.code for kind in TABLE if kind is not errors.LabCueError]
    assert len(codes) == len(set(codes))


def test_the_mapping_names_real_statuses() -> None:
    for mapped in TABLE.values():
        assert mapped.grpc in grpc.StatusCode.__members__
        assert mapped.grpc != "OK"
        assert 400 <= mapped.http < 600


def test_an_unmapped_child_takes_its_parents() -> None:
    class Odd(errors.NotJson):
        pass

    assert mapping(Odd()) == TABLE[errors.NotJson]


def test_benign_reasons_are_reasons() -> None:
    assert set(errors.NOT_ASSESSED_CODES) >= errors.BENIGN_NOT_ASSESSED
