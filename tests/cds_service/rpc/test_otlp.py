"""OTLP reaches a collector: a real one-call collector on loopback."""

from __future__ import annotations

from concurrent import futures

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from cds_service.client import AsyncLabCueClient
from cds_service.config import Settings
from cds_service.pipeline import Pipeline
from cds_service.serving import running
from fhir_adapter import catalog
from tests.bundles import PANEL


class Collector(trace_service_pb2_grpc.TraceServiceServicer, metrics_service_pb2_grpc.MetricsServiceServicer):
    """Keeps the names of what it is sent."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def Export(self, request, context):  # type: ignore[no-untyped-def]
        if isinstance(request, trace_service_pb2.ExportTraceServiceRequest):
            spans = [span for one in request.resource_spans for scope in one.scope_spans for span in scope.spans]
            self.names |= {span.name for span in spans}
            return trace_service_pb2.ExportTraceServiceResponse()
        metrics = [
            metric for one in request.resource_metrics for scope in one.scope_metrics for metric in scope.metrics
        ]
        self.names |= {metric.name for metric in metrics}
        return metrics_service_pb2.ExportMetricsServiceResponse()


async def test_spans_and_metrics_arrive() -> None:
    collector = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        settings = Settings(
            doors="grpc", port=0, engine="none", telemetry="otlp", otlp_endpoint=f"http://127.0.0.1:{port}"
        )
        pipeline = Pipeline(settings, catalog.load())
        async with running(settings, pipeline) as served, AsyncLabCueClient(f"127.0.0.1:{served.port}") as client:
            await client.evaluate(PANEL)
    finally:
        server.stop(None).wait()
    assert collector.names >= {"labcue.v1.LabDecisionSupport/Evaluate", "read", "compose", "rpc.server.call.duration"}
