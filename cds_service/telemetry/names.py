"""Every name that telemetry uses, and the allowlist of attributes. OpenTelemetry semantic conventions where there are any."""

from __future__ import annotations

SCOPE = "labcue"

# Spans and attributes
RPC_SYSTEM = "rpc.system.name"
RPC_METHOD = "rpc.method"
RPC_STATUS = "rpc.status_code"
ERROR_TYPE = "error.type"
HTTP_METHOD = "http.request.method"
HTTP_ROUTE = "http.route"
HTTP_STATUS = "http.response.status_code"
HOOK = "labcue.hook"
STEP = "labcue.step"
CODE = "labcue.flag.code"
SOURCE = "labcue.flag.source"
REASON = "labcue.not_assessed.code"
DEGRADED = "labcue.degraded"
DEGRADED_REASON = "labcue.degraded.reason"
LANGUAGE = "labcue.language"
OBSERVATIONS = "labcue.observations"
FLAGS = "labcue.flags"
CARDS = "labcue.cards"
MODEL = "gen_ai.request.model"
OPERATION = "gen_ai.operation.name"
CLIENT = "labcue.client"
"""Name that the operator's own file gives the caller."""

FETCH = "cds_hooks.fetch"
"""Name of the span of one request to an EHR's FHIR server."""
STREAM_ITEM = "EvaluateStream.item"
"""Name of the span of one bundle of a stream."""

ALLOWED = frozenset(
    {
        RPC_SYSTEM,
        RPC_METHOD,
        RPC_STATUS,
        ERROR_TYPE,
        HTTP_METHOD,
        HTTP_ROUTE,
        HTTP_STATUS,
        HOOK,
        STEP,
        CODE,
        SOURCE,
        REASON,
        DEGRADED,
        DEGRADED_REASON,
        LANGUAGE,
        OBSERVATIONS,
        FLAGS,
        CARDS,
        MODEL,
        OPERATION,
        CLIENT,
    }
)
"""Attributes that may leave. Their values are counts or words of ours, never of a bundle: see ``guard``."""

# Metrics
CALL_DURATION = "rpc.server.call.duration"
REQUEST_DURATION = "http.server.request.duration"
FETCH_DURATION = "http.client.request.duration"
ITEM_DURATION = "labcue.stream.item.duration"
STEP_DURATION = "labcue.step.duration"
REQUESTS = "labcue.requests"
FLAGGED = "labcue.flags"
NOT_ASSESSED = "labcue.not_assessed"
ERRORS = "labcue.errors"
IN_FLIGHT = "labcue.requests.in_flight"
QUEUED = "labcue.requests.queued"
DEGRADATIONS = "labcue.degradations"
MODEL_DURATION = "labcue.model.pass.duration"
MODEL_REQUESTS = "labcue.model.pass.requests"
MODEL_TOKENS = "labcue.model.pass.tokens"
DROPPED = "labcue.telemetry.dropped_attributes"

CALL_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds; those that the semantic conventions advise for calls."""
STEP_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Seconds; a step of a small bundle takes less than a millisecond."""
PASS_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Requests in one pass of the model."""
TOKEN_BUCKETS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
"""Tokens in one pass of the model."""
