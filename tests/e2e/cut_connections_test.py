"""Connections that are cut in the middle of an upload, of a build and of a download, and what goes on nevertheless: by
the CLI and by a program of the client library, in network namespaces of their own.

BUILD_REMOTELY is that program, an example.
"""

import hashlib
import os

import pytest
from containerbuilder.v1 import container_builder_pb2 as pb
from cutting_proxy import DOWN, UP, CuttingProxy
from machines import PORT, SERVER, namespaces  # noqa: F401 a fixture
from remote_cli_test import client, remote_context, remote_daemon  # noqa: F401 fixtures

MIB = 1024 * 1024
# What is on its way when a connection is cut is lost, and sent again.
ON_ITS_WAY = 4 * MIB


@pytest.fixture
def proxy(namespaces, remote_daemon):  # noqa: F811
    proxy = CuttingProxy(namespaces[1], PORT + 1, (SERVER, PORT))
    yield proxy
    proxy.close()


@pytest.fixture(params=["cli", "library"])
def build(request, client, proxy):  # noqa: F811
    """Builds the context by way of the proxy, with all files in out.tar; answers what was printed."""

    def run():
        if request.param == "cli":
            result = client.build("--progress=plain", "-o", "type=tar,dest=out.tar", "context", address=proxy.address)
        else:
            result = client.run(os.environ["BUILD_REMOTELY"], proxy.address, "context", "out.tar")
        assert result.returncode == 0, result
        return result

    return run


def the_build(daemon) -> pb.Build:
    (build,) = daemon.stub.ListBuilds(pb.ListBuildsRequest()).builds
    return build


def printed(daemon) -> tuple[bytes, bytes]:
    """What the build printed, by the service's own log."""
    output = {pb.BuildOutput.STREAM_STDOUT: b"", pb.BuildOutput.STREAM_STDERR: b""}
    for response in daemon.stub.WatchBuild(pb.WatchBuildRequest(name=the_build(daemon).name), timeout=60):
        output[response.event.output.stream or pb.BuildOutput.STREAM_STDOUT] += response.event.output.data
    return output[pb.BuildOutput.STREAM_STDOUT], output[pb.BuildOutput.STREAM_STDERR]


def assert_downloaded(client, daemon):  # noqa: F811
    (artifact,) = the_build(daemon).artifacts
    content = (client.files / "out.tar").read_bytes()
    assert len(content) == artifact.size_bytes
    assert "sha256:" + hashlib.sha256(content).hexdigest() == artifact.digest
    # Nothing half written beside it.
    assert sorted(path.name for path in client.files.iterdir()) == ["context", "out.tar"]


def test_an_upload_goes_on_where_it_was(build, proxy, client, remote_context, remote_daemon):  # noqa: F811
    path = remote_context("COPY . /")
    for number in range(3):
        (path / f"large{number}").write_bytes(os.urandom(16 * MIB))
    # In the second file.
    proxy.cut_after(UP, 24 * MIB)
    build()
    assert proxy.cuts_left == 0
    first, second = [connection.bytes[UP] for connection in proxy.connections]
    print(f"sent: {first} bytes, then {second}")
    assert first == 24 * MIB
    assert 24 * MIB <= second <= 24 * MIB + ON_ITS_WAY
    assert_downloaded(client, remote_daemon)


def test_an_upload_that_is_cut_again_and_again(build, proxy, client, remote_context, remote_daemon):  # noqa: F811
    path = remote_context("COPY . /")
    (path / "large").write_bytes(os.urandom(48 * MIB))
    proxy.cut_after(UP, *[9 * MIB] * 5)
    build()
    assert proxy.cuts_left == 0 and len(proxy.connections) == 6
    sent = sum(connection.bytes[UP] for connection in proxy.connections)
    print(f"sent: {sent} bytes of {48 * MIB}")
    assert sent <= 48 * MIB + 5 * ON_ITS_WAY
    assert_downloaded(client, remote_daemon)


def test_a_builds_output_has_no_gap_and_no_repeat(build, proxy, client, remote_context, remote_daemon):  # noqa: F811
    remote_context(
        "RUN for i in $(seq 200); do echo \"out $i $MARKER\"; echo \"err $i\" >&2; sleep 0.01; done",
    )
    # While it is building: all of the output together is more.
    cuts = [4000] * 6
    proxy.cut_after(DOWN, *cuts)
    result = build()
    assert proxy.cuts_left == 0
    assert len(proxy.connections) == 1 + len(cuts)
    stdout, stderr = printed(remote_daemon)
    assert stderr.count(b"out 200 ") == 1
    assert len(stderr) > sum(cuts) / 4
    assert (result.stdout, result.stderr) == (stdout, stderr)
    assert_downloaded(client, remote_daemon)


def test_a_download_goes_on_where_it_was(build, proxy, client, remote_context, remote_daemon):  # noqa: F811
    path = remote_context("COPY large /")
    (path / "large").write_bytes(os.urandom(40 * MIB))
    # Nothing else that comes back is that large.
    proxy.cut_after(DOWN, 10 * MIB, 10 * MIB)
    build()
    assert proxy.cuts_left == 0
    came = [connection.bytes[DOWN] for connection in proxy.connections]
    print(f"came: {came}")
    assert len(came) == 3
    assert sum(came) <= 44 * MIB + 4 * ON_ITS_WAY
    assert_downloaded(client, remote_daemon)
