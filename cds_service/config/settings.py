"""Every setting: its kind, default and meaning. Each stands in docs/settings.md, too (a test holds that)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from cds_service.config.kinds import (
    POSTGRESQL,
    Adapters,
    Addresses,
    BearerToken,
    Listed,
    Networks,
    Origins,
    RecordsPlace,
    Url,
)


class Settings(BaseSettings):
    """The effective settings. Sizes in bytes, times in seconds unless the name says otherwise."""

    model_config = SettingsConfigDict(env_prefix="LABCUE_", extra="forbid", frozen=True)

    doors: Literal["both", "grpc", "http"] = Field(
        "both", description="Which doors are open: gRPC, CDS Hooks over HTTP, or both."
    )
    host: str = Field("127.0.0.1", description="Address that both doors listen on.")
    port: int = Field(50051, ge=0, le=65535, description="Port of the gRPC door; 0 picks a free one.")
    http_port: int = Field(8080, ge=0, le=65535, description="Port of the HTTP door; 0 picks a free one.")
    workbench: Literal["auto", "on", "off"] = Field(
        "auto", description="The workbench at / of the HTTP door; auto: only where host is this machine alone."
    )
    reflection: bool = Field(False, description="Answer gRPC server reflection (for grpcurl).")

    tls_cert: Path | None = Field(None, description="PEM certificate chain of the server; turns TLS on.")
    tls_key: Path | None = Field(None, description="PEM private key of the server.")
    tls_client_ca: Path | None = Field(None, description="PEM CA for client certificates; turns mutual TLS on.")

    http_max_body_bytes: int = Field(8 * 1024 * 1024, ge=1024, description="Largest body of an HTTP request.")
    http_body_timeout_s: float = Field(10.0, gt=0, description="A body that isn't whole after this long is refused.")
    behind_proxy: bool = Field(False, description="A proxy in front ends TLS: the doors may be open without their own.")
    trusted_proxies: Networks | None = Field(
        None, description="Addresses of proxies whose X-Forwarded-Proto and X-Forwarded-Host count."
    )
    public_urls: Addresses | None = Field(
        None, description="Addresses by which clients call the service; a token is good for one of these."
    )
    insecure: bool = Field(False, description="Open to others although nobody has to say who they are.")
    clients: Path | None = Field(
        None, description="TOML file of the clients that may call; both doors then refuse all others."
    )
    token_leeway_s: float = Field(5.0, ge=0, le=60, description="How far a client's clock may differ.")
    token_life_s: float = Field(300.0, gt=0, le=3600, description="How far ahead a token may expire.")
    keys_ttl_s: float = Field(3600.0, gt=0, description="How long a fetched key set is used before it is read again.")
    keys_retry_s: float = Field(30.0, gt=0, description="Least time between two reads of one key set.")
    keys_from_loopback: bool = Field(
        False, description="Key sets may come by http:// from this machine, for tests and development."
    )
    cors_origins: Origins | None = Field(
        None, description="Origins of the pages that may call the HTTP door from a browser."
    )

    max_bundle_bytes: int = Field(4 * 1024 * 1024, ge=1024, description="Largest bundle.")
    max_observations: int = Field(2000, ge=1, description="Most Observations and components in one bundle.")
    max_depth: int = Field(64, ge=8, le=512, description="Deepest nesting of JSON in a bundle.")
    validation: Literal["fast", "strict"] = Field(
        "fast",
        description="fast reads the elements that matter; strict also validates in full with fhir.resources (R4B).",
    )

    max_concurrency: int = Field(1, ge=1, description="Evaluations that compute at the same time.")
    max_queue: int = Field(
        32, ge=0, description="Evaluations more that may wait, in line or for the model; the next is refused."
    )
    max_wait_s: float = Field(
        1.0, gt=0, description="While an overload lasts, one that would take longer to get through is refused."
    )
    default_deadline_s: float = Field(
        10.0, gt=0, description="Deadline of a call that brings none; also the longest granted."
    )
    min_deadline_s: float = Field(0.005, ge=0, description="A call with less time left than this is refused at once.")
    drain_grace_s: float = Field(10.0, ge=0, description="How long running calls may go on after SIGTERM.")
    drain_pause_s: float = Field(
        0.0, ge=0, description="Pause between NOT_SERVING and refusing calls, for load balancers."
    )
    idempotency_entries: int = Field(
        1024, ge=0, description="Answers kept for repeats of a request id; 0 turns it off."
    )
    idempotency_ttl_s: float = Field(300.0, gt=0, description="How long such an answer is kept.")

    engine: Literal["auto", "none", "onnx", "mistral", "remote", "fake"] = Field(
        "auto",
        description="auto: the Mistral at model_path, else the embedded one, by ONNX Runtime where it was exported; onnx, mistral: "
        "by that alone (mistral through torch); none: rules only, by choice; remote: the server at remote_url; fake: for tests.",
    )
    model_path: Path | None = Field(None, description="Folder of a MistralForCausalLM with its tokenizer and manifest.")
    adapter_path: Path | None = Field(None, description="Folder of a LoRA adapter (peft) for that model.")
    adapters: Adapters = Field(
        {}, description="Adapters that a request may name, name to folder; SIGHUP reads the folders again."
    )
    adapter: str | None = Field(None, description="The one of adapters that answers where a request names none.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="Numbers that the model computes with; auto: fp32 on a CPU, bf16 or fp16 on CUDA."
    )
    quantization: Literal["none", "int8", "4bit"] = Field(
        "none", description="Smaller weights, by bitsandbytes; int8 or 4bit (NF4)."
    )
    compile: bool = Field(False, description="Compile the model's passes (torch.compile), in few shapes.")
    threshold: float | None = Field(
        None, ge=0, le=1, description="P(abnormal) at which the model flags; default: the model's manifest, else 0.5."
    )

    note: Literal["off", "auto"] = Field(
        "auto",
        description="auto: a model that writes notes may write one on an abnormal panel, if checked and in time.",
    )
    note_tokens: int = Field(96, ge=16, le=512, description="Most tokens of a note.")

    remote_url: Url | None = Field(None, description="The server's API, with its /v1: http://vllm:8000/v1.")
    remote_model: str | None = Field(None, description="The model, or adapter, as the server calls it.")
    remote_api_key: SecretStr | None = Field(None, description="Key that the server asks for (bearer token).")
    remote_ca: Path | None = Field(None, description="PEM file of the authorities that its certificate may come from.")
    remote_dialect: Literal["vllm", "openai"] = Field(
        "vllm", description="vllm: asks for the labels' own probabilities; openai: for what OpenAI's API gives."
    )
    remote_timeout_s: float = Field(5.0, gt=0, description="Longest that one try may take.")
    remote_connections: int = Field(32, ge=1, description="Connections to the server at the same time.")

    engine_threads: int = Field(
        0,
        ge=0,
        le=256,
        description="Threads of one operation of the model; 0: ONNX Runtime half the cores, torch about all.",
    )
    batch_tokens: int = Field(8192, ge=64, description="Most tokens that go through the model in one pass.")
    batch_delay_s: float = Field(
        0.002, ge=0, le=1, description="How long a pass waits for others while requests come in at once."
    )
    batch_queue: int = Field(256, ge=1, description="Requests that may wait for the model; one more is refused.")
    engine_timeout_s: float = Field(30.0, gt=0, description="A pass that takes longer counts as hanging.")
    answer_reserve_s: float = Field(
        0.05, ge=0, description="Time kept for the rules at the end of a deadline; a model that needs it is left out."
    )

    fhir_servers: Listed = Field(
        (), description="Base addresses of the FHIR servers that a call may name; no other is ever asked."
    )
    fhir_ca: Path | None = Field(None, description="PEM file of further authorities for those servers' certificates.")
    fhir_plain_http: bool = Field(False, description="Ask them by http:// too, where the allowlist says so (tests).")
    fhir_private_addresses: bool = Field(False, description="Ask them at private and loopback addresses too.")
    fhir_budget_s: float = Field(2.0, gt=0, description="How long all that is fetched for one call may take.")
    fhir_max_pages: int = Field(10, ge=1, description="Most pages of a search that are read.")

    subscription_server: Url | None = Field(
        None, description="Base of the FHIR server whose notifications are taken; one of fhir_servers. Needs records."
    )
    subscription_fetch_token: BearerToken | None = Field(None, description="Token with which that server is asked.")
    subscription_output: Literal["communication", "task", "flag", "webhook"] = Field(
        "communication", description="What goes out for a notified result with cards: a FHIR resource, or JSON."
    )
    subscription_target: Url | None = Field(
        None, description="FHIR base, or the webhook's address, that it goes to; default: subscription_server."
    )
    subscription_token: BearerToken | None = Field(None, description="Token with which it is sent.")
    outbox_attempts: int = Field(
        10,
        ge=1,
        le=100,
        description="Tries to judge an event, and to send what came of it, before it is a dead letter.",
    )
    outbox_timeout_s: float = Field(10.0, gt=0, le=20, description="Longest that one try to send may take.")

    site: Path | None = Field(
        None, description="TOML file of the site's own intervals, for results that come without one."
    )

    language: Literal["en", "fr"] = Field("en", description="Language of the cards where the request names none.")

    answer_flags: Literal["all", "abnormal"] = Field(
        "all",
        description="Flags that an answer lists where the request doesn't say; abnormal: normal ones are only counted.",
    )

    records: RecordsPlace | None = Field(
        None,
        description="Where cards sent and feedback are kept: a SQLite file or postgresql://…; default: in memory, lost at stop.",
    )
    records_keep_days: float = Field(365.0, gt=0, description="Records older than this are deleted.")
    pseudonym_key: Path | None = Field(
        None, description="File of at least 32 random bytes under which patients get pseudonyms."
    )
    keep_prompts: bool = Field(
        False, description="Keep the prompt of each answer with cards, so that feedback can train; it holds values."
    )

    fatigue: Literal["off", "answered", "shown"] = Field(
        "answered",
        description="Hold back a card whose findings the same user has answered (or only been shown) before; never critical ones.",
    )
    fatigue_window_h: float = Field(
        24.0, gt=0, description="How long, in hours, a finding counts as known to that user."
    )
    max_cards: int = Field(
        10, ge=0, description="Most cards in one answer, the rest gathered into one; critical ones never. 0: no limit."
    )
    acknowledge: bool = Field(
        True,
        description="A card that suggests nothing gets a suggestion without an action, so that it can be accepted.",
    )

    telemetry: Literal["off", "console", "otlp"] = Field("off", description="Where traces and metrics go.")
    otlp_endpoint: str = Field("http://127.0.0.1:4317", description="OTLP gRPC endpoint.")
    otlp_insecure: bool = Field(False, description="Send OTLP without TLS (implied by an http:// endpoint).")
    trace_ratio: float = Field(
        1.0, ge=0, le=1, description="Share of traces kept, where the caller brings no decision."
    )
    metric_interval_s: float = Field(30.0, gt=0, description="How often metrics are exported.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Level of the log on stderr.")

    @property
    def records_on_postgresql(self) -> bool:
        """Whether ``records`` names a PostgreSQL database."""
        return self.records is not None and self.records.startswith(POSTGRESQL)

    @model_validator(mode="after")
    def _together(self) -> Settings:
        if found := [*_faults(self)]:
            raise ValueError("; ".join(found))
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = settings_cls.model_config.get("toml_file")
        if toml is None:
            return init_settings, env_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml)


def _faults(settings: Settings) -> Iterator[str]:
    """What doesn't hold among settings that lean on each other."""
    if (settings.tls_cert is None) != (settings.tls_key is None):
        yield "tls_cert and tls_key go together"
    if settings.tls_client_ca is not None and settings.tls_cert is None:
        yield "tls_client_ca needs tls_cert and tls_key"
    if settings.engine == "mistral" and settings.model_path is None:
        yield "engine=mistral needs model_path"
    if settings.engine == "onnx" and (settings.adapter_path is not None or settings.adapters):
        yield "engine=onnx takes no adapters"
    if settings.adapter_path is not None and settings.model_path is None:
        yield "adapter_path needs model_path"
    if settings.adapters and settings.model_path is None:
        yield "adapters needs model_path"
    if settings.adapter is not None and settings.adapter not in settings.adapters:
        yield "adapter must be one of adapters"
    if settings.doors == "both" and settings.port == settings.http_port != 0:
        yield "port and http_port must differ (or one of them 0, for a free one)"
    yield from _subscription_faults(settings)
    if settings.engine == "remote":
        wanted = {
            "remote_url": settings.remote_url,
            "remote_model": settings.remote_model,
            "model_path": settings.model_path,
        }
        missing = [name for name, value in wanted.items() if value is None]
        if missing:
            yield f"engine=remote needs {', '.join(missing)}"


def _subscription_faults(settings: Settings) -> Iterator[str]:
    if settings.subscription_server is None:
        if settings.subscription_target is not None:
            yield "subscription_target needs subscription_server"
        return
    if settings.subscription_server not in {one.rstrip("/") for one in settings.fhir_servers}:
        yield "subscription_server must be one of fhir_servers"
    if settings.records is None:
        yield "subscription_server needs records: what is acknowledged must outlast the process"
    if settings.subscription_output == "webhook" and settings.subscription_target is None:
        yield "subscription_output=webhook needs subscription_target"
    for url in (settings.subscription_server, settings.subscription_target):
        if url is not None and url.startswith("http:") and not settings.fhir_plain_http:
            yield "subscription_server and subscription_target must be https:// (see fhir_plain_http)"
