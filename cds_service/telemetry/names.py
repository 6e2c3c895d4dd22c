"""Every name that telemetry uses, and the allowlist of attributes. OpenTelemetry semantic conventions where there are any."""

from __future__ import annotations

SCOPE = "labcue"

# Spans and attributes
RPC_SYSTEM = "rpc.system.name"
RPC_METHOD = "rpc.method"
RPC_STATUS = "rpc.status_code"
ERROR_TYPE = "error.type"
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

ALLOWED = frozenset(
    {
        RPC_SYSTEM,
        RPC_METHOD,
        RPC_STATUS,
        ERROR_TYPE,
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
"""Attributes that may leave. Their values are counts or members of closed sets, never of a bundle."""

# Metrics
CALL_DURATION = "rpc.server.call.duration"
STEP_DURATION = "labcue.step.duration"
REQUESTS = "labcue.requests"
FLAGGED = "labcue.flags"
NOT_ASSESSED = "labcue.not_assessed"
ERRORS = "labcue.errors"
IN_FLIGHT = "labcue.requests.in_flight"
QUEUED = "labcue.requests.queued"
DROPPED = "labcue.telemetry.dropped_attributes"
