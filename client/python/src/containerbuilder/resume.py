"""When a call that failed is tried again. Nothing here waits or calls, so Client and AsyncClient share it."""

import hashlib
import random
import time
import uuid
from collections.abc import Mapping

import grpc

from containerbuilder.errors import ContainerBuilderError
from containerbuilder.v1 import container_builder_pb2 as pb

_FIRST_DELAY, _LONGEST_DELAY = 0.1, 5.0

# Codes that tell of the connection and not of the build, where the service gave no reason of its own.
_LOST = {
    *(grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN),
    *(grpc.StatusCode.INTERNAL, grpc.StatusCode.DEADLINE_EXCEEDED),
}


class Backoff:
    """The time between tries: exponential, with jitter, at least what the service asks for."""

    def __init__(self, limit: float):
        self._limit = limit
        self._tries = 0
        self._failing_since: float | None = None

    def reset(self) -> None:
        """Something arrived."""
        self._tries, self._failing_since = 0, None

    def delay(self, error: ContainerBuilderError) -> float:
        """Seconds to wait before the next try. Raises the error where tries have failed for the limit."""
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if now - self._failing_since >= self._limit:
            raise error
        delay = min(_FIRST_DELAY * 2.0**self._tries, _LONGEST_DELAY) * random.uniform(0.5, 1)
        self._tries += 1
        return max(delay, error.retry_delay)


def is_lost(error: ContainerBuilderError) -> bool:
    """Whether it was the connection, or the service is being restarted."""
    return error.reason == "DRAINING" or (not error.reason and error.code in _LOST)


class Events:
    """Which events of a build were passed on, and how to get the next ones."""

    def __init__(self, request: pb.BuildRequest | pb.WatchBuildRequest, limit: float):
        self._request = request
        self._last = request.after_sequence if isinstance(request, pb.WatchBuildRequest) else 0
        self._name = request.name if isinstance(request, pb.WatchBuildRequest) else ""
        self._backoff = Backoff(limit)
        self._passed = False
        self.finished = False

    def request(self) -> pb.BuildRequest | pb.WatchBuildRequest:
        """What to call next. Before the first event a Build is sent again: its request_id prevents a second build."""
        if not self._name:
            return self._request
        return pb.WatchBuildRequest(name=self._name, after_sequence=self._last)

    def take(self, event: pb.BuildEvent) -> bool:
        """Notes the event; whether to pass it on. Heartbeats only show that the other end is there."""
        self._backoff.reset()
        if not event.sequence:
            return False
        is_finished = event.HasField("finished")
        # Of an ended build whose last event the caller has, `finished` is repeated.
        repeated = is_finished and not self._passed and event.sequence == self._last
        if event.sequence != self._last + 1 and not repeated:
            message = f"event {event.sequence} follows {self._last}"
            raise ContainerBuilderError(grpc.StatusCode.DATA_LOSS, message)
        self._name, self._last, self._passed = event.name, event.sequence, True
        self.finished = is_finished
        return True

    def delay(self, error: grpc.RpcError | None) -> float:
        """The call ended before `finished`: seconds to wait before the next. Raises where there should be none."""
        if error is None:
            lost = ContainerBuilderError(grpc.StatusCode.UNAVAILABLE, "the stream ended before the build")
        else:
            lost = ContainerBuilderError.of(error)
            if not is_lost(lost) or (not self._name and lost.code is not grpc.StatusCode.UNAVAILABLE):
                raise lost from error
        return self._backoff.delay(lost)


class Content:
    """Which bytes of an artifact were passed on, and how to get the next ones."""

    def __init__(self, artifact: pb.Artifact, limit: float):
        self._artifact = artifact
        self._offset = 0
        self._sha256 = hashlib.sha256()
        self._backoff = Backoff(limit)

    @property
    def is_whole(self) -> bool:
        """Whether all of it was passed on."""
        return self._offset >= self._artifact.size_bytes

    def request(self) -> pb.DownloadArtifactRequest:
        """What to call next."""
        return pb.DownloadArtifactRequest(name=self._artifact.name, offset=self._offset)

    def take(self, response: pb.DownloadArtifactResponse) -> bytes:
        """Notes the bytes, and answers them."""
        self._backoff.reset()
        if response.offset != self._offset:
            raise ContainerBuilderError(grpc.StatusCode.DATA_LOSS, f"byte {response.offset} follows {self._offset}")
        self._offset += len(response.data)
        self._sha256.update(response.data)
        return response.data

    def delay(self, error: grpc.RpcError | None) -> float:
        """The call ended before the end: seconds to wait before the next. Raises where there should be none."""
        lost = ContainerBuilderError(grpc.StatusCode.UNAVAILABLE, "the stream ended before the artifact")
        if error is not None:
            lost = ContainerBuilderError.of(error)
            # ABORTED: no whole piece was read for a minute.
            if not is_lost(lost) and lost.code is not grpc.StatusCode.ABORTED:
                raise lost from error
        return self._backoff.delay(lost)

    def verify(self) -> None:
        """Raises where the bytes are not those that the build made."""
        if self._artifact.digest != f"sha256:{self._sha256.hexdigest()}":
            raise ContainerBuilderError(grpc.StatusCode.DATA_LOSS, f"{self._artifact.name} has another digest")


def build_request(
    spec: pb.BuildSpec, policy: pb.BuildPolicy | None, request_id: str, annotations: Mapping[str, str] | None
) -> pb.BuildRequest:
    """A request that a lost connection does not harm: the build lingers for a minute, unless the policy says."""
    request = pb.BuildRequest(spec=spec, policy=policy, request_id=request_id or str(uuid.uuid4()))
    request.annotations.update(annotations or {})
    if request.policy.disconnect_policy == pb.DISCONNECT_POLICY_UNSPECIFIED:
        request.policy.disconnect_policy = pb.DISCONNECT_POLICY_LINGER
    return request


def resume_limit(request: pb.BuildRequest, limit: float) -> float:
    """A build that ends with its call cannot be joined again."""
    return 0 if request.policy.disconnect_policy == pb.DISCONNECT_POLICY_CANCEL else limit
