"""`labcue records`: the database itself."""

from __future__ import annotations

from collections.abc import Sequence

from cds_service.config import Settings
from cds_service.records.audit import find
from cds_service.records.database import current_version, open_database, open_existing
from cds_service.subscription.queue import list_dead, retry_dead
from fhir_adapter.errors import ConfigError, Violation


def upgrade(settings: Settings) -> None:
    """Makes or upgrades the tables, and says at which version they are.

    Raises:
        ConfigError: the database can't be reached, or there is none.
    """
    if settings.records is None:
        why = "unset: records are kept in memory, there is nothing to upgrade"
        raise ConfigError(violations=(Violation("records", why),))
    database = open_database(settings, upgrade=True)
    try:
        print(f"the tables are at version {current_version(database)}")
    finally:
        database.close()


def show_answer(settings: Settings, audit: str) -> None:
    """Prints what is remembered of an answer, by its auditId: pseudonyms, versions, cards and what was done with them.

    Raises:
        ConfigError: there is no database, or no such answer in it.
    """
    database = open_existing(settings)
    try:
        with database.reading() as connection:
            found = find(connection, audit)
    finally:
        database.close()
    if found is None:
        why = f"there is no answer {audit}: it was never written, or is older than records_keep_days"
        raise ConfigError(violations=(Violation("id", why),))
    facts = {"at": found.at.isoformat(timespec="seconds")} | found.facts
    for name, value in facts.items():
        print(f"{name:16}  {'-' if value is None else value}")
    for card in found.cards:
        print(f"\n{card.indicator}  {card.rule}  {card.uuid}  {card.outcome or 'not answered'}")
        for analyte, code, source, probability in card.flags:
            print(f"  {analyte}  {code}  {source}" + ("" if probability is None else f"  {probability:.3f}"))


def show_dead_letters(settings: Settings) -> None:
    """Prints the events that were given up, one a line: nothing of the patient's.

    Raises:
        ConfigError: there is no database.
    """
    database = open_existing(settings)
    try:
        found = list_dead(database)
    finally:
        database.close()
    if not found:
        print("no dead letters")
        return
    print("number\tgiven up at\tsubscription\tevent\tstep\ttries\twhy")
    for one in found:
        at = one.at.isoformat(timespec="seconds")
        print(one.id, at, one.subscription, one.number, one.stage, one.attempts, one.reason, sep="\t")


def retry_dead_letters(settings: Settings, numbers: Sequence[int] | None) -> None:
    """Makes dead letters due again, all of them where ``numbers`` is None, and says how many.

    Raises:
        ConfigError: there is no database, or no dead letter of such a number.
    """
    database = open_existing(settings)
    try:
        unknown = set(numbers or ()) - {one.id for one in list_dead(database)}
        if unknown:
            why = f"there is no dead letter {', '.join(map(str, sorted(unknown)))}: see `labcue records dead-letters list`"
            raise ConfigError(violations=(Violation("numbers", why),))
        print(f"due again: {retry_dead(database, numbers)}")
    finally:
        database.close()
