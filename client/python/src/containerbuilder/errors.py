"""What the service says about an error, for programs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, cast

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

DOMAIN = "containerbuilder.v1"


@dataclass(frozen=True)
class FieldViolation:
    """One field of the request and what is wrong with it."""

    field: str  # such as `spec.options.context_path`
    description: str  # the rule and the way out


class ContainerBuilderError(Exception):
    """A call that was refused or got no answer. A build that failed is none: it is told by `finished`."""

    def __init__(self, code: grpc.StatusCode, message: str):
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        #: Stable, such as CONTEXT_NOT_FOUND; see the proto. Empty where the service attached none: the error is gRPC's.
        self.reason = ""
        #: Facts of this one error, such as `option`.
        self.metadata: dict[str, str] = {}
        self.field_violations: list[FieldViolation] = []
        #: The least time in seconds before the same call may succeed; 0: not told.
        self.retry_delay = 0.0

    @classmethod
    def of(cls, error: grpc.RpcError) -> Self:
        """Reads the details of an error that grpc or grpc.aio raised."""
        call = cast(Any, error)  # each raised error has the methods of a call, which the types do not say
        result = cls(call.code(), call.details() or "")
        status = rpc_status.from_call(call)
        for detail in status.details if status else ():
            info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            retry_info = error_details_pb2.RetryInfo()
            if detail.Unpack(info) and info.domain == DOMAIN:
                result.reason = info.reason
                result.metadata = dict(info.metadata)
            elif detail.Unpack(bad_request):
                violations = bad_request.field_violations
                result.field_violations += [FieldViolation(v.field, v.description) for v in violations]
            elif detail.Unpack(retry_info):
                result.retry_delay = retry_info.retry_delay.ToTimedelta().total_seconds()
        return result


@contextmanager
def typed_errors() -> Iterator[None]:
    """Calls in here raise ContainerBuilderError, with the details, in the place of grpc's own errors."""
    try:
        yield
    except grpc.RpcError as error:
        raise ContainerBuilderError.of(error) from error
