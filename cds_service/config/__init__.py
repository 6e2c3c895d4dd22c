"""All settings, in one place: defaults, then the TOML file, then ``LABCUE_*`` variables, then the command line.

``settings`` lists them and what must hold among several; ``kinds`` checks each; ``load`` reads them, all faults at once.
"""

from cds_service.config.kinds import POSTGRESQL
from cds_service.config.load import load, origins, unknown
from cds_service.config.settings import Settings

__all__ = ["POSTGRESQL", "Settings", "load", "origins", "unknown"]
