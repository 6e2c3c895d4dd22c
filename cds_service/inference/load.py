"""From settings to an engine."""

from __future__ import annotations

from pathlib import Path

from cds_service.config import Settings
from cds_service.inference.batched import Batched
from cds_service.inference.batcher import Batcher, Limits
from cds_service.inference.engine import Bounded, Engine
from fhir_adapter.errors import ConfigError, EngineNotLoaded, Violation

EMBEDDED = Path(__file__).parent / "embedded"
"""The small Mistral that ships in the package; `make embedded-model` rebuilds it."""


def load_engine(settings: Settings) -> tuple[Engine | None, str | None]:
    """The engine that the settings ask for, and why there is none where one is wanted.

    ``engine=none`` gives (None, None): rules by choice. ``auto`` without a ``model_path`` gives the embedded model; where the
    package was built without it, (None, "model not loaded").
    A model that is named and can't be loaded is an error in every mode: a service must not start as something else
    than what it was told to be. torch is imported only where a model is loaded.

    Raises:
        ConfigError: the model's folder, manifest, tokenizer or device don't hold.
        EngineNotLoaded: the weights can't be loaded.
    """
    if settings.engine == "none":
        return None, None
    if settings.engine == "fake":
        from cds_service.inference.fake import FakeEngine

        return FakeEngine(), None
    model_path = settings.model_path
    if model_path is None and settings.engine == "auto":
        if not (EMBEDDED / "labcue.json").is_file():
            return None, EngineNotLoaded.message
        model_path = EMBEDDED
    if model_path is None:
        text = "engine=mistral needs model_path"
        raise ConfigError(text, violations=(Violation("model_path", text),))
    from cds_service.inference.mistral import load_mistral

    return load_mistral(model_path, settings.adapter_path, device=settings.device), None


def serving_engine(settings: Settings) -> tuple[Engine | None, str | None]:
    """As :func:`load_engine`, ready for many threads: a model of this process stands behind the batcher; an engine that bounds its
    callers itself stands alone.

    Raises:
        ConfigError, EngineNotLoaded: as :func:`load_engine`.
    """
    engine, degraded = load_engine(settings)
    if engine is None or isinstance(engine, Bounded):
        return engine, degraded
    limits = Limits(
        tokens=settings.batch_tokens,
        delay_s=settings.batch_delay_s,
        queue=settings.batch_queue,
        hang_s=settings.engine_timeout_s,
    )
    return Batched(engine, Batcher(limits)), degraded
