"""The wire contract keeps its promises: a comment on everything, zero enums, JSON names of CDS Hooks."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

from labcue.v1 import cds_pb2

ROOT = Path(__file__).resolve().parents[1]


def _described(tmp_path: Path) -> FileDescriptorSet:
    import google.rpc.status_pb2
    import grpc_tools

    out = tmp_path / "set.bin"
    status = protoc.main(
        [
            "protoc",
            f"-I{ROOT / 'protos'}",
            f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
            f"-I{Path(google.rpc.status_pb2.__file__).parents[2]}",
            "--include_source_info",
            f"--descriptor_set_out={out}",
            str(ROOT / "protos/labcue/v1/cds.proto"),
        ]
    )
    assert status == 0
    described = FileDescriptorSet()
    described.ParseFromString(out.read_bytes())
    return described


def test_everything_has_a_comment(tmp_path: Path) -> None:
    (file,) = _described(tmp_path).file
    commented = {tuple(place.path) for place in file.source_code_info.location if place.leading_comments.strip()}
    missing = []
    for m, message in enumerate(file.message_type):
        missing += [message.name] * ((4, m) not in commented)
        missing += [
            f"{message.name}.{field.name}" for f, field in enumerate(message.field) if (4, m, 2, f) not in commented
        ]
    for e, enum in enumerate(file.enum_type):
        missing += [enum.name] * ((5, e) not in commented)
        missing += [value.name for v, value in enumerate(enum.value) if (5, e, 2, v) not in commented]
    for s, service in enumerate(file.service):
        missing += [service.name] * ((6, s) not in commented)
        missing += [method.name for r, method in enumerate(service.method) if (6, s, 2, r) not in commented]
    assert missing == []


def test_zero_enums_are_unspecified() -> None:
    for enum in cds_pb2.DESCRIPTOR.enum_types_by_name.values():
        assert enum.values_by_number[0].name.endswith("_UNSPECIFIED")


def test_json_names_are_those_of_cds_hooks_and_the_extension() -> None:
    def names(message: str) -> set[str]:
        return {field.json_name for field in cds_pb2.DESCRIPTOR.message_types_by_name[message].fields}

    assert names("EvaluateResponse") == {"cards", "systemActions", "extension"}
    assert names("ResponseExtension") == {"org.labcue.evaluation"}
    assert names("Card") >= {"uuid", "summary", "detail", "indicator", "source", "suggestions", "selectionBehavior"}
    assert names("Card") >= {"overrideReasons", "links"}
    assert names("Evaluation") >= {
        "flags",
        "notAssessed",
        "patterns",
        "model",
        "degraded",
        "traceId",
        "auditId",
        "timings",
    }
    assert names("Flag") >= {"observation", "loinc", "display", "code", "abnormal", "critical", "probability", "source"}
    assert names("Flag") >= {"basis", "value", "unit", "position"}
    assert names("Basis") == {"kind", "text", "interval", "intervalSource", "citation"}
    assert names("Model") == {"name", "version", "adapter", "promptVersion"}
