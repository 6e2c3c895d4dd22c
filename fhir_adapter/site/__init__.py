"""A site's own intervals, critical limits and aliases: learnt from its results or written by hand, kept in one TOML file.

``Learner`` learns, ``write_site`` and ``read_site`` keep, ``Site`` is looked up where a result comes without.
"""

from __future__ import annotations

from fhir_adapter.site.file import read_site, write_site
from fhir_adapter.site.learn import Learner, learn
from fhir_adapter.site.model import BOTH, Around, Site, SiteAlias, SiteCritical, SiteDelta, SiteInterval, tests_of

__all__ = [
    "BOTH",
    "Around",
    "Learner",
    "Site",
    "SiteAlias",
    "SiteCritical",
    "SiteDelta",
    "SiteInterval",
    "learn",
    "read_site",
    "tests_of",
    "write_site",
]
