"""What a caller's requests, answers and watches may take in memory and of descriptors: a share, however they are made."""

import contextlib
import struct
import time

import grpc
import pytest
from conftest import eventually
from containerbuilder.v1 import container_builder_pb2 as pb
from peers import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    SERVICE,
    SETTINGS,
    WINDOW_UPDATE,
    Peer,
    call_headers,
    field,
    frame,
    message,
    refused,
    rss_bytes,
    stub_of,
)

MIB = 1 << 20
INVALID, EXHAUSTED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.fixture
def context(folder):
    path = folder / "root" / "context"
    path.mkdir(parents=True)
    (path / "fake.txt").write_text("stdout begun\nsleep 600\n")
    return path


@pytest.fixture
def daemon(start_daemon, fake_nerdctl, context):
    return start_daemon(f"--nerdctl={fake_nerdctl}", f"--read_roots={context.parent}")


@pytest.fixture
def request_for(context):
    def make(kind=pb.CreateBuildRequest, **options):
        request = kind(**options)
        request.spec.options.context_path = str(context)
        return request

    return make


# Of BuildOptions.options, and of a field that nobody knows.
NOTHING = {"options": b"\x42\x00" * (2 * MIB), "unknown": b"\xd0\x3e\x00" * MIB}


@pytest.mark.parametrize("what", NOTHING)
@pytest.mark.parametrize("method", ["ConstructArgs", "CreateBuild", "Build"])
def test_parts_without_content_are_refused(daemon, method, what):
    options = NOTHING[what]
    body = field(1, options) if method == "ConstructArgs" else field(1, field(1, options))
    channel = daemon.channel(daemon.tcp_address)
    # Of bytes, and as a stream also where there is one answer.
    call = channel.unary_stream(SERVICE + method, response_deserializer=bytes)
    before = rss_bytes(daemon.process.pid)
    for _ in range(3):
        error = refused(lambda: list(call(body, timeout=60)), INVALID, "OPTION_INVALID")
        assert "takes" in error.details()
    # One at a time is parsed, and nothing of it is kept.
    assert rss_bytes(daemon.process.pid) - before < 400 * MIB
    assert not daemon.stub.ListBuilds(pb.ListBuildsRequest(), timeout=20).builds


def test_names_are_not_multiplied_without_bound(daemon):
    request = pb.ConstructArgsRequest()
    request.options.options.add(name="x" * 100_000).value.values.values.extend([""] * 10_000)
    before = rss_bytes(daemon.process.pid)
    refused(lambda: daemon.tcp_stub.ConstructArgs(request, timeout=60), EXHAUSTED, "TOO_LARGE")
    assert rss_bytes(daemon.process.pid) - before < 64 * MIB
    # What is long, and no more than the kernel takes eight times, is answered.
    del request.options.options[:]
    request.options.options.add(name="label").value.values.values.append("x" * (2 * MIB))
    assert len(daemon.tcp_stub.ConstructArgs(request, timeout=60).args[1]) == 2 * MIB


@pytest.mark.parametrize("kind", [pb.CreateBuildRequest, pb.BuildRequest])
def test_counts(daemon, request_for, kind):
    def send(request):
        if kind is pb.BuildRequest:
            return next(daemon.tcp_stub.Build(request, timeout=20))
        return daemon.tcp_stub.CreateBuild(request, timeout=20)

    request = request_for(kind, annotations={str(i): "" for i in range(100)})
    send(request)
    request.annotations["one more"] = ""
    assert "annotations: " in refused(lambda: send(request), INVALID, "OPTION_INVALID").details()
    request = request_for(kind, annotations={"key": "x" * (64 * 1024)})
    assert "annotations: " in refused(lambda: send(request), INVALID, "OPTION_INVALID").details()
    request = request_for(kind)
    for _ in range(1001):
        request.spec.options.options.add(name="rm")
    assert "spec.options.options: " in refused(lambda: send(request), INVALID, "OPTION_INVALID").details()
    del request.spec.options.options[-1]
    send(request)


def test_answers_that_nobody_reads_are_a_share(daemon, request_for):
    # Each page has two MiB.
    for _ in range(2):
        daemon.tcp_stub.CreateBuild(
            request_for(spec=pb.BuildSpec(dockerfile="FROM scratch\n" + "#" * (MIB - 100))), timeout=60
        )
    before = rss_bytes(daemon.process.pid)
    with contextlib.ExitStack() as peers:
        for _ in range(4):
            peer = peers.enter_context(Peer(daemon.tcp_address, source="127.0.0.2"))
            # A window of nothing: no answer gets out, but for what a header has.
            peer.send(frame(SETTINGS, 0, 0, b"\x00\x04\x00\x00\x00\x00"))
            for call in range(60):
                stream = 2 * call + 1
                peer.send(frame(HEADERS, END_HEADERS, stream, call_headers("ListBuilds")))
                peer.send(frame(DATA, END_STREAM, stream, message()))
        highest = before
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            highest = max(highest, rss_bytes(daemon.process.pid))
            # Others have shares of their own.
            assert len(daemon.tcp_stub.ListBuilds(pb.ListBuildsRequest(), timeout=20).builds) == 2
        # It would be a gigabyte.
        assert highest - before < 320 * MIB, f"{(highest - before) / MIB:.0f} MiB"


def test_watches_are_counted(daemon, request_for):
    name = daemon.tcp_stub.CreateBuild(request_for(), timeout=20).build.name
    request = pb.WatchBuildRequest(name=name)
    watches = []
    for _ in range(4):
        stub = stub_of(daemon.channel(daemon.tcp_address))
        watches += [stub.WatchBuild(request, timeout=100) for _ in range(64)]
    for watch in watches:
        next(watch)
    stub = stub_of(daemon.channel(daemon.tcp_address))
    refused(lambda: next(stub.WatchBuild(request, timeout=20)), EXHAUSTED, "RATE_LIMITED")
    # The operator's own are not.
    assert next(daemon.stub.WatchBuild(request, timeout=20))
    watches.pop().cancel()

    def goes_in():
        try:
            return next(stub.WatchBuild(request, timeout=20))
        except grpc.RpcError:
            return None

    eventually(goes_in, "a watch goes in where another has ended")


def test_watchers_that_never_read(daemon, context, request_for, folder):
    """Also those who say that they take all there is. Each costs an event, and the build goes on."""
    size, watchers = 50_000_000, 50
    (context / "fake.txt").write_text(f"stdout begun\nwait-file {folder}/gate\nbytes stdout {size} 7\n")
    name = daemon.tcp_stub.CreateBuild(request_for(), timeout=20).build.name
    body = message(pb.WatchBuildRequest(name=name).SerializeToString())
    before = rss_bytes(daemon.process.pid)
    with contextlib.ExitStack() as peers:
        for window in (65_535, 65_535, (1 << 31) - 1, (1 << 31) - 1):
            peer = peers.enter_context(Peer(daemon.tcp_address))
            peer.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, window)))
            if window > 65_535:
                peer.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", window - 65_535)))
            for stream in range(1, 2 * watchers, 2):
                peer.send(frame(HEADERS, END_HEADERS, stream, call_headers("WatchBuild")))
                peer.send(frame(DATA, END_STREAM, stream, body))
            # All have their first event, and read nothing from then on.
            seen = set()
            for kind, _, stream, _ in peer.frames_for(20):
                seen |= {stream} if kind == DATA else set()
                if len(seen) == watchers:
                    break
            assert len(seen) == watchers
        (folder / "gate").touch()
        highest = before
        began = time.monotonic()

        def ended() -> bool:
            nonlocal highest
            highest = max(highest, rss_bytes(daemon.process.pid))
            build = daemon.tcp_stub.GetBuild(pb.GetBuildRequest(name=name), timeout=20).build
            return build.state == pb.Build.STATE_SUCCEEDED

        eventually(ended, "the build ends", seconds=30)
        took = time.monotonic() - began
        # Who reads has all of it, beside them.
        watch = daemon.tcp_stub.WatchBuild(pb.WatchBuildRequest(name=name), timeout=30)
        got = sum(len(response.event.output.data) for response in watch)
        highest = max(highest, rss_bytes(daemon.process.pid))
    print(f"memory: +{(highest - before) / MIB:.1f} MiB, the build took {took:.1f} s")
    assert got == size + len("begun")
    assert highest - before <= 4 * watchers * MIB
    assert daemon.stub.Health(pb.HealthRequest(), timeout=20).checks
