"""The instruments: what is counted and timed, under which name, in which unit."""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry.metrics import Counter, Histogram, Meter, UpDownCounter

from cds_service.telemetry import names


@dataclass(frozen=True, slots=True)
class Instruments:
    """Histograms of durations in seconds and of sizes, counters, and what goes up and down. docs/operations.md says what for."""

    call_duration: Histogram
    request_duration: Histogram
    fetch_duration: Histogram
    item_duration: Histogram
    step_duration: Histogram
    pass_duration: Histogram
    pass_requests: Histogram
    pass_tokens: Histogram
    requests: Counter
    flags: Counter
    not_assessed: Counter
    degradations: Counter
    errors: Counter
    dropped: Counter
    in_flight: UpDownCounter
    queued: UpDownCounter


def instruments(meter: Meter) -> Instruments:
    """The instruments of one service."""

    def durations(name: str, buckets: tuple[float, ...], description: str) -> Histogram:
        return meter.create_histogram(
            name, unit="s", description=description, explicit_bucket_boundaries_advisory=buckets
        )

    def sizes(name: str, buckets: tuple[int, ...], description: str) -> Histogram:
        return meter.create_histogram(name, description=description, explicit_bucket_boundaries_advisory=buckets)

    def counts(name: str, description: str) -> Counter:
        return meter.create_counter(name, description=description)

    return Instruments(
        call_duration=durations(names.CALL_DURATION, names.CALL_BUCKETS, "Duration of calls"),
        request_duration=durations(names.REQUEST_DURATION, names.CALL_BUCKETS, "Duration of HTTP requests"),
        fetch_duration=durations(names.FETCH_DURATION, names.CALL_BUCKETS, "Duration of requests to FHIR servers"),
        item_duration=durations(
            names.ITEM_DURATION, names.CALL_BUCKETS, "Duration of one bundle of a stream, waiting included"
        ),
        step_duration=durations(names.STEP_DURATION, names.STEP_BUCKETS, "Duration of pipeline steps"),
        pass_duration=durations(names.MODEL_DURATION, names.STEP_BUCKETS, "Duration of one pass of the model"),
        pass_requests=sizes(names.MODEL_REQUESTS, names.PASS_BUCKETS, "Requests in one pass of the model"),
        pass_tokens=sizes(names.MODEL_TOKENS, names.TOKEN_BUCKETS, "Tokens in one pass of the model"),
        requests=counts(names.REQUESTS, "Calls, by method and status"),
        flags=counts(names.FLAGGED, "Flags, by code and source"),
        not_assessed=counts(names.NOT_ASSESSED, "Not assessed, by reason"),
        degradations=counts(names.DEGRADATIONS, "Answers by rules alone although a model is wanted, by reason"),
        errors=counts(names.ERRORS, "Errors, by code"),
        dropped=counts(names.DROPPED, "Attributes refused by the allowlist"),
        in_flight=meter.create_up_down_counter(names.IN_FLIGHT, description="Evaluations running"),
        queued=meter.create_up_down_counter(names.QUEUED, description="Evaluations waiting"),
    )
