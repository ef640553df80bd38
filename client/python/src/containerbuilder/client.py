"""A ContainerBuilder service, for threads."""

import os
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

import grpc

from containerbuilder.connection import DEFAULT_ADDRESS, Tls, call_metadata, channel_options
from containerbuilder.context import Context, Upload
from containerbuilder.errors import ContainerBuilderError, typed_errors
from containerbuilder.resume import Backoff, Content, Events, build_request, is_lost, resume_limit
from containerbuilder.v1 import container_builder_pb2 as pb
from containerbuilder.v1 import container_builder_pb2_grpc as pb_grpc


class Client:
    """Calls may be made from many threads at once. Each raises ContainerBuilderError when it ends with an error.

    `address` is unix:///path/to.sock or host:port. `token` is sent over TLS, a unix socket or loopback only.
    `timeout` in seconds is that of calls that answer once; a stream of events has none (use BuildPolicy.timeout), and
    tries for `resume_limit` seconds to get back a connection that it lost.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        token: str = "",
        tls: Tls | None = None,
        timeout: float = 30,
        resume_limit: float = 60,
    ):
        self._metadata = call_metadata(address, token, tls)
        self._timeout = timeout
        self._resume_limit = resume_limit
        if tls:
            self._channel = grpc.secure_channel(address, tls.credentials(), channel_options(tls))
        else:
            self._channel = grpc.insecure_channel(address, channel_options(tls))
        #: The calls as the proto has them, for what this class does not do. Without the token.
        self.stub = pb_grpc.ContainerBuilderStub(self._channel)

    def close(self) -> None:
        """Ends the connection and all calls."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def health(self) -> pb.HealthResponse:
        """The verdict and a row per part."""
        with typed_errors():
            return self.stub.Health(pb.HealthRequest(), timeout=self._timeout, metadata=self._metadata)

    def construct_args(self, options: pb.BuildOptions) -> pb.ConstructArgsResponse:
        """The exact arguments that `nerdctl build` would get."""
        request = pb.ConstructArgsRequest(options=options)
        with typed_errors():
            return self.stub.ConstructArgs(request, timeout=self._timeout, metadata=self._metadata)

    def build(
        self,
        spec: pb.BuildSpec,
        *,
        policy: pb.BuildPolicy | None = None,
        request_id: str = "",
        annotations: Mapping[str, str] | None = None,
    ) -> Iterator[pb.BuildEvent]:
        """Starts a build with the first `next`, and follows it: each event once and in order, `finished` the last.

        A lost connection shows nowhere. To close the generator leaves the build to its disconnect policy, which
        is to linger for a minute where `policy` says nothing else; cancel_build stops it.
        """
        request = build_request(spec, policy, request_id, annotations)
        return self._events(Events(request, resume_limit(request, self._resume_limit)))

    def watch(self, name: str, after_sequence: int = 0) -> Iterator[pb.BuildEvent]:
        """Joins a build after that event, running or ended, and follows it as `build` does."""
        request = pb.WatchBuildRequest(name=name, after_sequence=after_sequence)
        return self._events(Events(request, self._resume_limit))

    def create_build(
        self,
        spec: pb.BuildSpec,
        *,
        policy: pb.BuildPolicy | None = None,
        request_id: str = "",
        annotations: Mapping[str, str] | None = None,
    ) -> pb.Build:
        """Starts a build and leaves it to the service."""
        request = pb.CreateBuildRequest(spec=spec, policy=policy, request_id=request_id, annotations=annotations)
        with typed_errors():
            return self.stub.CreateBuild(request, timeout=self._timeout, metadata=self._metadata).build

    def get_build(self, name: str) -> pb.Build:
        """The build as it is now."""
        with typed_errors():
            request = pb.GetBuildRequest(name=name)
            return self.stub.GetBuild(request, timeout=self._timeout, metadata=self._metadata).build

    def list_builds(self, request: pb.ListBuildsRequest | None = None) -> Iterator[pb.Build]:
        """All builds that pass the request's filters, newest first, page by page."""
        page = pb.ListBuildsRequest()
        page.CopyFrom(request or page)
        while True:
            with typed_errors():
                answer = self.stub.ListBuilds(page, timeout=self._timeout, metadata=self._metadata)
            yield from answer.builds
            page.page_token = answer.next_page_token
            if not page.page_token:
                return

    def cancel_build(self, name: str, timeout: float | None = None) -> pb.Build:
        """Stops a build and answers it when nothing of it runs any more, after its grace period at the latest."""
        with typed_errors():
            request = pb.CancelBuildRequest(name=name)
            return self.stub.CancelBuild(request, timeout=timeout, metadata=self._metadata).build

    def delete_build(self, name: str) -> None:
        """Forgets an ended build."""
        with typed_errors():
            request = pb.DeleteBuildRequest(name=name)
            self.stub.DeleteBuild(request, timeout=self._timeout, metadata=self._metadata)

    def upload(self, folder: str | os.PathLike[str]) -> Upload:
        """Sends what the service lacks of a folder, to be built by BuildSpec.context_digest.

        `.dockerignore` is applied by the service. After a lost connection it goes on where it was.
        """
        context, backoff = Context(folder), Backoff(self._resume_limit)
        upload: Upload | None = None
        while True:
            try:
                with typed_errors():
                    missing: list[pb.FindMissingBlobsResponse.MissingBlob] = []
                    for request in context.find_requests():
                        answer = self.stub.FindMissingBlobs(
                            request, timeout=self._timeout, metadata=self._metadata
                        )
                        missing += answer.missing_blobs
                    upload = upload or context.upload_of(missing)
                    if missing:
                        self.stub.UploadBlobs(context.pieces(missing), metadata=self._metadata)
                    return upload
            except ContainerBuilderError as error:
                # ABORTED: another call sends one of them, or no whole piece came for a minute.
                if not is_lost(error) and error.code is not grpc.StatusCode.ABORTED:
                    raise
                time.sleep(backoff.delay(error))

    def download(self, artifact: pb.Artifact) -> Iterator[bytes]:
        """The bytes of what a build made (Build.artifacts). After a lost connection it goes on where it was.

        At the end they are checked against their digest: DATA_LOSS where they have another.
        """
        content = Content(artifact, self._resume_limit)
        while not content.is_whole:
            call = self.stub.DownloadArtifact(content.request(), metadata=self._metadata)
            lost: grpc.RpcError | None = None
            try:
                for response in call:
                    yield content.take(response)
            except grpc.RpcError as error:
                lost = error
            finally:
                call.cancel()
            if not content.is_whole:
                time.sleep(content.delay(lost))
        content.verify()

    def _events(self, events: Events) -> Iterator[pb.BuildEvent]:
        while not events.finished:
            request = events.request()
            call: grpc._CallIterator[pb.BuildResponse] | grpc._CallIterator[pb.WatchBuildResponse]
            if isinstance(request, pb.BuildRequest):
                call = self.stub.Build(request, metadata=self._metadata)
            else:
                call = self.stub.WatchBuild(request, metadata=self._metadata)
            lost: grpc.RpcError | None = None
            try:
                for response in call:
                    if events.take(response.event):
                        yield response.event
            except grpc.RpcError as error:
                lost = error
            finally:
                # Also where the generator is closed between two events.
                call.cancel()
            if not events.finished:
                time.sleep(events.delay(lost))
