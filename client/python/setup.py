"""Makes the stubs from the proto; everything else is said in pyproject.toml."""

import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PROTO_FOLDER = Path(__file__).resolve().parents[2] / "proto"
PROTO = "containerbuilder/v1/container_builder.proto"


class BuildWithStubs(build_py):
    """Adds `container_builder_pb2` and `container_builder_pb2_grpc`, with types, to containerbuilder.v1."""

    def run(self) -> None:
        super().run()
        if not (PROTO_FOLDER / PROTO).exists():
            sys.exit(f"{PROTO_FOLDER / PROTO} is missing: install this package from a clone of the whole project")
        # An editable install imports from src.
        out = "src" if self.editable_mode else self.build_lib
        # The plugins belong to this Python's environment, which need not be on PATH.
        scripts = Path(sysconfig.get_path("scripts"))
        plugins = [
            f"--plugin=protoc-gen-{name}={script}"
            for name in ("mypy", "mypy_grpc")
            if (script := scripts / f"protoc-gen-{name}").exists()
        ]
        kinds = [f"--{kind}_out={out}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
        command = [sys.executable, "-m", "grpc_tools.protoc", *plugins, "-I", PROTO_FOLDER, *kinds, PROTO]
        subprocess.run(command, check=True)


setup(cmdclass={"build_py": BuildWithStubs})
