"""A card that suggests nothing gets one suggestion without an action, so that a clinician can accept it.

CDS Hooks 2.0 knows no accepted card, only accepted suggestions, "one or more". Without one to accept, a clinician could only
override such a card, and its override rate would always be 100 %.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from cds_service import words
from cds_service.domain import Card, Suggestion


def acceptable(
    cards: Sequence[Card], language: str, new_uuid: Callable[[], str] = lambda: str(uuid.uuid4())
) -> tuple[Card, ...]:
    """The cards, each with something to accept. Accepting it orders nothing and changes nothing."""
    label = words.template(language, "suggestion-noted")
    return tuple(
        card if card.suggestions else replace(card, suggestions=(Suggestion(label, new_uuid()),)) for card in cards
    )
