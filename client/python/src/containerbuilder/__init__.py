"""Client of ContainerBuilder, a gRPC service that builds container images with nerdctl.

Messages are those of the proto: `from containerbuilder.v1 import container_builder_pb2 as pb`.
"""

from containerbuilder.aio import AsyncClient
from containerbuilder.client import Client
from containerbuilder.connection import DEFAULT_ADDRESS, Tls
from containerbuilder.context import Upload
from containerbuilder.errors import ContainerBuilderError, FieldViolation
from containerbuilder.options import build_options

__all__ = [
    "DEFAULT_ADDRESS",
    "AsyncClient",
    "Client",
    "ContainerBuilderError",
    "FieldViolation",
    "Tls",
    "Upload",
    "build_options",
]
