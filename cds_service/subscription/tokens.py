"""The tokens with which the subscribed server is asked, and with which judgements are sent."""

from __future__ import annotations

from cds_service.config import Settings


class Tokens:
    """Those in force; another request takes what stands here when it begins."""

    def __init__(self, settings: Settings) -> None:
        self.replace(settings)

    def replace(self, settings: Settings) -> None:
        """Takes those of ``settings``."""
        self.fetch = settings.subscription_fetch_token
        self.send = settings.subscription_token
