"""Where traces and metrics go: to a real OTLP collector on loopback, to stderr, or nowhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cds_service.config import Settings
from cds_service.telemetry import names
from cds_service.telemetry.setup import setup
from fhir_adapter.errors import NotJson


class Collector(trace_service_pb2_grpc.TraceServiceServicer, metrics_service_pb2_grpc.MetricsServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.metrics: list[Any] = []
        self.resources: list[dict[str, str]] = []
        self._lock = threading.Lock()

    def Export(self, request: Any, context: Any) -> Any:
        with self._lock:
            if isinstance(request, trace_service_pb2.ExportTraceServiceRequest):
                for of in request.resource_spans:
                    self.resources.append({item.key: item.value.string_value for item in of.resource.attributes})
                    self.spans += [span for scope in of.scope_spans for span in scope.spans]
                return trace_service_pb2.ExportTraceServiceResponse()
            for of in request.resource_metrics:
                self.metrics += [metric for scope in of.scope_metrics for metric in scope.metrics]
            return metrics_service_pb2.ExportMetricsServiceResponse()


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    kept = Collector()
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(kept, server)
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(kept, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield kept, f"http://127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


def test_a_collector_gets_spans_and_metrics_by_the_end(collector: tuple[Collector, str]) -> None:
    kept, endpoint = collector
    telemetry = setup(Settings(telemetry="otlp", otlp_endpoint=endpoint, otlp_insecure=True))
    with telemetry.call("labcue.v1.LabDecisionSupport/Evaluate", ()) as call:
        with call.observe("read"):
            pass
        call.end("OK")
    telemetry.shutdown()
    assert {span.name for span in kept.spans} == {"labcue.v1.LabDecisionSupport/Evaluate", "read"}
    assert kept.resources[0]["service.name"] == "labcue"
    found = {metric.name: metric for metric in kept.metrics}
    assert {names.CALL_DURATION, names.STEP_DURATION, names.REQUESTS} <= set(found)
    assert found[names.CALL_DURATION].unit == "s"
    (point,) = found[names.CALL_DURATION].histogram.data_points
    assert tuple(point.explicit_bounds) == names.CALL_BUCKETS


def test_the_console_is_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    telemetry = setup(Settings(telemetry="console"))
    with telemetry.call("labcue.v1.LabDecisionSupport/Evaluate", ()) as call:
        call.end("OK")
    telemetry.shutdown()
    captured = capfd.readouterr()
    assert captured.out == ""
    assert names.CALL_DURATION in captured.err
    assert '"rpc.method": "labcue.v1.LabDecisionSupport/Evaluate"' in captured.err


def test_off_means_nothing_and_no_trace_id(capfd: pytest.CaptureFixture[str]) -> None:
    telemetry = setup(Settings())
    with telemetry.call("labcue.v1.LabDecisionSupport/Evaluate", ()) as call:
        with call.observe("read"):
            pass
        assert call.trace_id == ""
        call.end("OK")
    telemetry.shutdown()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("flag", "kept"), [("01", 1), ("00", 0)])
def test_the_callers_sampling_decision_holds(flag: str, kept: int) -> None:
    """``trace_ratio`` is for traces that begin here only."""
    spans = InMemorySpanExporter()
    telemetry = setup(Settings(trace_ratio=0.0), processors=[SimpleSpanProcessor(spans)])
    parent = ("traceparent", f"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flag}")
    with telemetry.call("labcue.v1.LabDecisionSupport/Evaluate", (parent,)) as call:
        call.end("OK")
    with telemetry.call("labcue.v1.LabDecisionSupport/Evaluate", ()) as call:
        call.end("OK")
    telemetry.shutdown()
    assert len(spans.get_finished_spans()) == kept


def test_a_call_that_nobody_ended_well_was_cancelled_and_a_failed_step_says_its_type() -> None:
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    telemetry = setup(Settings(), processors=[SimpleSpanProcessor(spans)], readers=[reader])
    for error in (NotJson(), ValueError("Jane Roe")):
        with (
            pytest.raises(type(error)),
            telemetry.call("labcue.v1.LabDecisionSupport/Evaluate", ()) as call,
            call.observe("read"),
        ):
            raise error
    found = [(span.name.split("/")[-1], dict(span.attributes or {})) for span in spans.get_finished_spans()]
    telemetry.shutdown()
    assert [at["error.type"] for name, at in found if name == "read"] == ["not-json", "ValueError"]
    assert [at["rpc.status_code"] for name, at in found if name == "Evaluate"] == ["CANCELLED"] * 2
    assert all(not span.events for span in spans.get_finished_spans())
