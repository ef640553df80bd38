"""The package in client/python as its users have it: installed, typed, for threads and for asyncio."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest
from conftest import required
from containerbuilder import AsyncClient, Client, ContainerBuilderError, FieldViolation, build_options
from containerbuilder.v1 import container_builder_pb2 as pb

TAG = "example:latest"


class AsyncAsSync:
    """AsyncClient with the methods of Client, so that one test is for both: each call runs in an event loop."""

    def __init__(self, *args, **kwargs):
        self._runner = asyncio.Runner()
        self._client = self._run(self._make(*args, **kwargs))

    @staticmethod
    async def _make(*args, **kwargs):
        return AsyncClient(*args, **kwargs)

    def _run(self, awaitable):
        async def wait():
            return await awaitable

        return self._runner.run(wait())

    def __getattr__(self, name):
        def call(*args, **kwargs):
            result = getattr(self._client, name)(*args, **kwargs)
            return self._items(result) if hasattr(result, "__anext__") else self._run(result)

        return call

    def _items(self, iterator):
        try:
            while True:
                try:
                    yield self._run(anext(iterator))
                except StopAsyncIteration:
                    return
        finally:
            self._run(iterator.aclose())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._run(self._client.close())
        self._runner.close()


@pytest.fixture(params=[Client, AsyncAsSync], ids=["sync", "asyncio"])
def make_client(request):
    return request.param


@pytest.fixture
def daemon(start_daemon, fake_nerdctl, folder):
    return start_daemon(f"--nerdctl={fake_nerdctl}", f"--read_roots={folder}")


@pytest.fixture
def client(make_client, daemon):
    with make_client(daemon.address) as client:
        yield client


def spec_of(path, **options) -> pb.BuildSpec:
    return pb.BuildSpec(options=build_options(str(path), tag=TAG, **options))


class Proxy:
    """Passes connections on to an address, and cuts them when told to."""

    def __init__(self, address: str):
        host, _, port = address.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets, self._lock = [], threading.Lock()
        self.connections = 0
        #: So many bytes more, and the connections are cut, once.
        self.cut_after = None
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            with self._lock:
                self.connections += 1
                self._sockets += [near, far]
            for arguments in ((near, far, self._count), (far, near, self._count)):
                threading.Thread(target=self._pass_on, args=arguments, daemon=True).start()

    def _count(self, size: int):
        if self.cut_after is not None:
            self.cut_after -= size
            if self.cut_after < 0:
                self.cut_after = None
                self.cut()

    @staticmethod
    def _pass_on(source, sink, passed):
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
                passed(len(data))
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        """Ends the connections that there are."""
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for end in sockets:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        try:
            # Else it listens for as long as accept waits.
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        self.cut()


@pytest.fixture
def proxy(daemon):
    proxy = Proxy(daemon.tcp_address)
    yield proxy
    proxy.close()


# --- Builds ----------------------------------------------------------------------------------------------------------


def test_build(client, context, folder):
    path = context(f"stdout first\\n\nwait-file {folder}/go\nstdout last\\n\n")
    output, sequences = b"", []
    for event in client.build(spec_of(path), annotations={"team": "web"}):
        sequences.append(event.sequence)
        output += event.output.data
        if output == b"first\n":
            (folder / "go").touch()
    assert output == b"first\nlast\n"
    assert sequences == list(range(1, len(sequences) + 1))
    build = event.finished.build
    assert build.state == pb.Build.STATE_SUCCEEDED and build.annotations == {"team": "web"}
    assert build.policy.disconnect_policy == pb.DISCONNECT_POLICY_LINGER

    assert client.get_build(build.name).state == pb.Build.STATE_SUCCEEDED
    assert [listed.name for listed in client.list_builds()] == [build.name]
    # A build that ended is joined as well, at any event.
    assert [e.sequence for e in client.watch(build.name, after_sequence=1)] == sequences[1:]
    assert [e.sequence for e in client.watch(build.name, after_sequence=sequences[-1])] == sequences[-1:]
    client.delete_build(build.name)
    assert list(client.list_builds()) == []


def test_a_list_of_many_pages(client, context):
    path = context("exit 0\n")
    names = [client.create_build(spec_of(path)).name for _ in range(5)]
    listed = [build.name for build in client.list_builds(pb.ListBuildsRequest(page_size=2))]
    assert listed == names[::-1]


def test_cancel(client, context, folder):
    build = client.create_build(spec_of(context(f"stderr up\\n\nwait-file {folder}/never\n")))
    events = client.watch(build.name)
    assert any(event.HasField("output") for event in events)
    assert client.cancel_build(build.name).failure.reason == "CANCELLED_BY_CALLER"
    assert client.watch(build.name) and client.get_build(build.name).state == pb.Build.STATE_CANCELLED


def test_a_closed_stream_ends_the_build_where_it_is_asked_to(client, context, folder, eventually):
    path = context(f"stderr up\\n\nwait-file {folder}/never\n")
    policy = pb.BuildPolicy(disconnect_policy=pb.DISCONNECT_POLICY_CANCEL)
    events = client.build(spec_of(path), policy=policy)
    name = next(events).name
    events.close()
    eventually(lambda: client.get_build(name).state == pb.Build.STATE_CANCELLED, "the build is cancelled")
    assert client.get_build(name).failure.reason == "CLIENT_GONE"


def test_a_lost_connection_shows_nowhere(make_client, proxy, context, folder):
    path = context(f"lines stdout 30\nwait-file {folder}/go\nbytes stderr 500000 7\nlines stdout 30\n")
    with make_client(proxy.address) as client:
        sequences, stdout, stderr, began = [], b"", 0, None
        for event in client.build(spec_of(path)):
            sequences.append(event.sequence)
            if event.output.stream == pb.BuildOutput.STREAM_STDOUT:
                stdout += event.output.data
            else:
                assert not event.HasField("output") or event.output.offset == stderr
                stderr += len(event.output.data)
            if began is None and event.HasField("output"):
                began = proxy.connections
                proxy.cut()
                (folder / "go").touch()
    assert proxy.connections > began, "the connection was lost"
    assert sequences == list(range(1, len(sequences) + 1))
    numbered = b"".join(b"line %d\n" % n for n in range(1, 31))
    assert (stdout, stderr) == (numbered * 2, 500_000)
    assert event.finished.build.state == pb.Build.STATE_SUCCEEDED


def test_a_connection_that_does_not_come_back(make_client, proxy, context, folder):
    path = context(f"stderr up\\n\nwait-file {folder}/never\n")
    with make_client(proxy.address, resume_limit=0.5) as client:
        with pytest.raises(ContainerBuilderError) as error:
            for event in client.build(spec_of(path)):
                if event.HasField("output"):
                    proxy.close()
    assert (error.value.code, error.value.reason) == (grpc.StatusCode.UNAVAILABLE, "")


# --- Uploads ---------------------------------------------------------------------------------------------------------


def test_an_upload_goes_on_where_it_was_cut(make_client, proxy, context, folder):
    path = context("stdout built\\n\n")
    size = 20 << 20
    (path / "large").write_bytes(os.urandom(size))
    with make_client(proxy.address) as client:
        first = client.upload(path)
        assert (first.blobs, first.uploaded_blobs) == (3, 3) and first.uploaded_bytes > size
        assert client.upload(path).uploaded_blobs == 0
        (path / "large").write_bytes(os.urandom(size))
        connections, proxy.cut_after = proxy.connections, size // 2
        second = client.upload(path)
        assert proxy.connections > connections, "it was cut"
        assert second.uploaded_blobs == 2
        events = list(client.build(pb.BuildSpec(options=build_options(tag=TAG), context_digest=second.digest)))
        assert events[-1].finished.build.state == pb.Build.STATE_SUCCEEDED


def test_a_download_goes_on_where_it_was_cut(make_client, proxy, context):
    path = context("copy image ../artifacts/1/file\n")
    image = os.urandom(20 << 20)
    (path / "image").write_bytes(image)
    with make_client(proxy.address) as client:
        digest = client.upload(path).digest
        options = build_options(tag=TAG, output={"type": "oci", "dest": "image.tar"})
        events = list(client.build(pb.BuildSpec(options=options, context_digest=digest)))
        (artifact,) = events[-1].finished.build.artifacts
        connections, proxy.cut_after = proxy.connections, len(image) // 2
        received = b"".join(client.download(artifact))
        assert proxy.connections > connections, "it was cut"
        assert received == image
        artifact.digest = "sha256:" + "0" * 64
        with pytest.raises(ContainerBuilderError, match="DATA_LOSS"):
            list(client.download(artifact))


# --- Errors and types ------------------------------------------------------------------------------------------------


def test_a_refusal_has_its_details(client, folder):
    with pytest.raises(ContainerBuilderError) as error:
        list(client.build(spec_of(folder / "missing")))
    assert error.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.value.reason == "CONTEXT_NOT_FOUND"
    violation = error.value.field_violations[0]
    assert isinstance(violation, FieldViolation) and violation.field == "spec.options.context_path"
    assert violation.description
    with pytest.raises(ContainerBuilderError, match="NOT_FOUND") as error:
        client.get_build("builds/none")
    assert error.value.reason == "BUILD_NOT_FOUND"


def test_options_in_every_shape(client):
    options = build_options(
        "/src",
        build_arg={"B": "1", "A": "2"},
        label=["x=y"],
        output="type=tar,dest=/out",
        tag=["a:1", "a:2"],
        no_cache=True,
        pull=False,
        target=None,
    )
    expected = "--build-arg B=1 --build-arg A=2 --label x=y --output type=tar,dest=/out --tag a:1 --tag a:2 --no-cache"
    assert list(client.construct_args(options).args) == [*expected.split(), "/src"]


@pytest.mark.parametrize("address", ["build-host:7777", "192.0.2.1:7777", "[2001:db8::1]:7777"])
def test_a_token_is_not_sent_in_the_clear(make_client, address):
    with pytest.raises(ValueError, match="in the clear"):
        make_client(address, token="0123456789")


@pytest.mark.parametrize("address", ["localhost:7777", "127.0.0.1:7777", "[::1]:7777", "unix:///run/cb.sock"])
def test_a_token_stays_on_this_machine(make_client, address):
    with make_client(address, token="0123456789"):
        pass


def test_loopback_is_called_by_no_proxy(make_client, daemon, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setenv("no_grpc_proxy", "nowhere.invalid")
        with make_client(daemon.tcp_address, timeout=10) as client:
            client.health()
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_types_are_strict(folder):
    """Of the package as installed, and of a program that uses it."""
    package = Path(required("PYTHON_PACKAGE"))
    program = package.parent / "examples" / "python" / "example.py"
    shutil.copy(program, folder)
    for target in (["-p", "containerbuilder"], ["example.py"]):
        result = subprocess.run(
            [sys.executable, "-m", "mypy", f"--config-file={package}/pyproject.toml", "--strict", *target],
            cwd=folder,
            env={**os.environ, "MYPYPATH": os.environ["PYTHONPATH"], "MYPY_CACHE_DIR": str(folder / "mypy")},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr
