"""`labcue records`: the database itself."""

from __future__ import annotations

from cds_service.config import Settings
from cds_service.records.database import current_version, open_database
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
