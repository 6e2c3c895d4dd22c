"""From settings to an engine."""

from __future__ import annotations

from pathlib import Path

from cds_service.config import Settings
from cds_service.inference.batched import Batched
from cds_service.inference.batcher import Batcher, Limits
from cds_service.inference.engine import Bounded, Engine
from cds_service.inference.engines import Engines
from cds_service.inference.onnx_engine import has_graph, load_onnx
from fhir_adapter.errors import ConfigError, EngineNotLoaded, Violation

EMBEDDED = Path(__file__).parent / "embedded"
"""The small Mistral that ships in the package; `make embedded-model` rebuilds it."""


def load_engine(settings: Settings) -> tuple[Engine | None, str | None]:
    """The engine that the settings ask for, and why there is none where one is wanted.

    ``engine=none`` gives (None, None): rules by choice. ``auto`` without a ``model_path`` gives the embedded model; where the
    package was built without it, (None, "model not loaded").
    ``auto`` serves a model that was exported (:mod:`training.export_onnx`) by ONNX Runtime, unless something is asked for that only torch does;
    ``onnx`` insists on it, ``mistral`` on torch.
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
    if model_path is None and settings.engine in ("auto", "onnx"):
        if not (EMBEDDED / "labcue.json").is_file():
            return None, EngineNotLoaded.message
        model_path = EMBEDDED
    if model_path is None:
        text = f"engine={settings.engine} needs model_path"
        raise ConfigError(text, violations=(Violation("model_path", text),))
    if settings.engine == "remote":
        return _remote(settings, model_path), None
    if settings.engine == "onnx" or (settings.engine == "auto" and _for_onnx(settings, model_path)):
        return load_onnx(model_path, threads=settings.engine_threads), None
    from cds_service.inference.mistral import load_mistral
    from cds_service.inference.weights import Numbers

    if settings.engine_threads:
        import torch

        torch.set_num_threads(settings.engine_threads)
    numbers = Numbers(settings.dtype, settings.quantization)
    engine = load_mistral(
        model_path, settings.adapter_path, device=settings.device, numbers=numbers, compiled=settings.compile
    )
    return engine, None


def _remote(settings: Settings, model_path: Path) -> Engine:
    from cds_service.inference.calls import Calls, Server
    from cds_service.inference.remote import load_remote

    key = settings.remote_api_key
    server = Server(
        settings.remote_url or "",
        key=None if key is None else key.get_secret_value(),
        timeout_s=settings.remote_timeout_s,
        connections=settings.remote_connections,
        ca=settings.remote_ca,
    )
    return load_remote(
        Calls(server),
        settings.remote_model or "",
        model_path,
        settings.adapter_path,
        dialect=settings.remote_dialect,
    )


def load_adapters(settings: Settings, engine: Engine | None) -> Engines:
    """The engines of ``settings.adapters`` beside ``engine``: on the same weights and behind the same batcher, or models of the same
    server.

    Raises:
        ConfigError: an adapter doesn't hold or doesn't fit; all that don't are named at once.
    """
    if not settings.adapters:
        return Engines()
    from cds_service.inference import lora
    from cds_service.inference.mistral import MistralEngine
    from cds_service.inference.remote import RemoteEngine

    model = engine.engine if isinstance(engine, Batched) else engine

    def load(name: str, folder: Path) -> Engine:
        where = f"adapters.{name}"
        if isinstance(model, RemoteEngine):
            return model.load_adapter(name, folder, where)
        if not isinstance(model, MistralEngine):
            text = f"engine={settings.engine} takes no adapters"
            raise ConfigError(text, violations=(Violation(where, text),))
        made = model.load_adapter(folder, where)
        return Batched(made, engine.batcher) if isinstance(engine, Batched) else made

    return Engines(settings.adapters, load, lora.fingerprint)


def _for_onnx(settings: Settings, model_path: Path) -> bool:
    """Whether nothing is asked for that only torch does."""
    if settings.adapter_path is not None or settings.adapters or settings.compile or settings.quantization != "none":
        return False
    return settings.device in ("auto", "cpu") and settings.dtype in ("auto", "fp32") and has_graph(model_path)


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
