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
LANGUAGE = "labcue.language"
OBSERVATIONS = "labcue.observations"
FLAGS = "labcue.flags"
CARDS = "labcue.cards"
MODEL = "gen_ai.request.model"
OPERATION = "gen_ai.operation.name"

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
        LANGUAGE,
        OBSERVATIONS,
        FLAGS,
        CARDS,
        MODEL,
        OPERATION,
    }
)
"""Attributes that may leave. Their values are counts or words of ours, never of a bundle: see ``guard``."""

# Metrics
CALL_DURATION = "rpc.server.call.duration"
REQUEST_DURATION = "http.server.request.duration"
ITEM_DURATION = "labcue.stream.item.duration"
STEP_DURATION = "labcue.step.duration"
REQUESTS = "labcue.requests"
FLAGGED = "labcue.flags"
NOT_ASSESSED = "labcue.not_assessed"
ERRORS = "labcue.errors"
IN_FLIGHT = "labcue.requests.in_flight"
QUEUED = "labcue.requests.queued"
DROPPED = "labcue.telemetry.dropped_attributes"

CALL_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds; those that the semantic conventions advise for calls."""
STEP_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Seconds; a step of a small bundle takes less than a millisecond."""
