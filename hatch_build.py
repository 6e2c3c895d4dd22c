"""Build hook: generates the gRPC stubs of protos/ into the package ``labcue`` (never committed)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent


def generate(root: Path = ROOT) -> Path:
    """Writes ``labcue/v1/*_pb2*.py`` beside this file and returns the package folder."""
    from importlib.resources import files

    from grpc_tools import protoc

    protos = root / "protos"
    package = root / "labcue"
    includes = [str(protos), str(files("grpc_tools") / "_proto"), str(files("google") / ".")]
    googleapis = Path(__import__("google.rpc.status_pb2", fromlist=["x"]).__file__).parents[2]
    includes.append(str(googleapis))
    (package / "v1").mkdir(parents=True, exist_ok=True)
    arguments = [
        "protoc",
        *(f"-I{path}" for path in includes),
        f"--python_out={root}",
        f"--pyi_out={root}",
        f"--grpc_python_out={root}",
        *(str(path) for path in sorted((protos / "labcue" / "v1").glob("*.proto"))),
    ]
    if protoc.main(arguments) != 0:
        raise RuntimeError("protoc failed on protos/labcue/v1")
    (package / "__init__.py").write_text('"""Generated gRPC stubs of LabCue."""\n')
    (package / "v1" / "__init__.py").write_text('"""Generated from protos/labcue/v1: don\'t edit."""\n')
    (package / "py.typed").touch()
    return package


class StubsHook(BuildHookInterface):  # type: ignore[misc]
    """Runs :func:`generate` before the wheel (editable ones too) is put together."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        generate(Path(self.root))
        if version == "standard":  # an editable install reads examples/ where it stands
            build_data["force_include"][str(Path(self.root) / "examples" / "bundles")] = "cds_service/examples"


if __name__ == "__main__":
    print(generate(), file=sys.stderr)
