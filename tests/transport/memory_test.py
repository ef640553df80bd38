"""What a caller's requests, answers and watches may take in memory and of descriptors: a share, however they are made."""

import concurrent.futures
import contextlib
import struct
import threading
import time

import grpc
import pytest
from conftest import eventually
from containerbuilder.v1 import container_builder_pb2 as pb
from peers import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    RST_STREAM,
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


def send_calls(peer: Peer, method: str, body: bytes, count: int):
    """Calls whose answers are not read: with a window of nothing none gets out, but for what a header has."""
    peer.send(frame(SETTINGS, 0, 0, b"\x00\x04\x00\x00\x00\x00"))
    for stream in range(1, 2 * count, 2):
        peer.send(frame(HEADERS, END_HEADERS, stream, call_headers(method)))
        peer.send(frame(DATA, END_STREAM, stream, message(body)))


def read_streams(peer: Peer, count: int) -> tuple[int, int]:
    """How many bytes come before so many streams have ended, or two minutes are over; and how many have."""
    came, ended = 0, 0
    for kind, flags, _, payload in peer.frames_for(120):
        came += len(payload) if kind == DATA else 0
        ended += kind == HEADERS and flags & END_STREAM > 0
        if kind == PING and not flags & ACK:
            peer.send(frame(PING, ACK, 0, payload))
        if ended == count:
            break
    return came, ended


def refusals(peer: Peer, seconds: float) -> int:
    """How many of its calls end meanwhile: none that is answered does, for its answer is not read."""
    return sum(kind == HEADERS and flags & END_STREAM > 0 for kind, flags, _, _ in peer.frames_for(seconds))


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
    assert rss_bytes(daemon.process.pid) - before < 500 * MIB
    assert not daemon.stub.ListBuilds(pb.ListBuildsRequest(), timeout=20).builds


def test_pieces_without_content_are_refused(daemon):
    blob = pb.UploadBlobsRequest(blob=pb.BlobDigest(digest="sha256:" + "0" * 64, size_bytes=1)).SerializeToString()
    call = daemon.channel(daemon.tcp_address).stream_unary(SERVICE + "UploadBlobs", bytes, bytes)
    highest = before = rss_bytes(daemon.process.pid)
    # As much as a piece may have, and as a request may.
    for size, told in ((MIB, "takes"), (8 * MIB - 1000, "this message has")):
        open_ = threading.Event()

        def pieces(size=size, open_=open_):
            yield blob + b"\xd2\x3e\x00" * (size // 3)
            open_.wait(60)

        error = refused(lambda pieces=pieces: call(pieces(), timeout=60), INVALID, "OPTION_INVALID")
        assert told in error.details()
        open_.set()
        highest = max(highest, rss_bytes(daemon.process.pid))
    assert highest - before < 100 * MIB, f"{(highest - before) / MIB:.0f} MiB"


def test_names_are_not_multiplied_without_bound(daemon):
    request = pb.ConstructArgsRequest()
    request.options.options.add(name="x" * 100_000).value.values.values.extend([""] * 10_000)
    before = rss_bytes(daemon.process.pid)
    refused(lambda: daemon.tcp_stub.ConstructArgs(request, timeout=60), EXHAUSTED, "TOO_LARGE")
    assert rss_bytes(daemon.process.pid) - before < 256 * MIB
    # What is long, and no more than the kernel takes eight times, is answered.
    del request.options.options[:]
    request.options.options.add(name="label").value.values.values.append("x" * (2 * MIB))
    assert len(daemon.tcp_stub.ConstructArgs(request, timeout=60).args[1]) == 2 * MIB


def test_what_strangers_send_is_not_parsed(start_daemon, fake_nerdctl, folder):
    callers = folder / "callers"
    callers.touch(mode=0o600)
    daemon = start_daemon(f"--nerdctl={fake_nerdctl}", f"--callers_file={callers}")
    # Of four million parts without content, which would take some 300 MiB.
    body = b"\x0a\x00" * (4 * MIB - 1)
    before = rss_bytes(daemon.process.pid)
    highest = before
    for method in ("FindMissingBlobs", "ConstructArgs", "ListBuilds", "DownloadArtifact"):
        # What strangers call is no call: more of it would end a connection.
        channel = daemon.channel(daemon.tcp_address)
        call = channel.unary_stream(SERVICE + method, response_deserializer=bytes)(body, timeout=60)
        while call.is_active():
            highest = max(highest, rss_bytes(daemon.process.pid))
            time.sleep(0.002)
        refused(lambda call=call: list(call), grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_REQUIRED")
    assert highest - before < 100 * MIB, f"{(highest - before) / MIB:.0f} MiB"


@pytest.mark.parametrize("kind", [pb.CreateBuildRequest, pb.BuildRequest])
def test_counts(daemon, request_for, kind):
    def send(request):
        if kind is pb.BuildRequest:
            return next(daemon.tcp_stub.Build(request, timeout=60))
        return daemon.tcp_stub.CreateBuild(request, timeout=60)

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
    args = pb.ConstructArgsRequest(options=request.spec.options)
    error = refused(lambda: daemon.tcp_stub.ConstructArgs(args, timeout=20), INVALID, "OPTION_INVALID")
    assert "options.options: " in error.details()
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
            send_calls(peer, "ListBuilds", b"", 60)
        highest = before
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            highest = max(highest, rss_bytes(daemon.process.pid))
            time.sleep(0.01)  # As often as an anonymous caller may.
            # Others have shares of their own.
            assert len(daemon.tcp_stub.ListBuilds(pb.ListBuildsRequest(), timeout=20).builds) == 2
        # It would be a gigabyte.
        assert highest - before < 600 * MIB, f"{(highest - before) / MIB:.0f} MiB"


def test_small_answers_that_nobody_reads_are_a_share(start_daemon, fake_nerdctl, context, request_for):
    daemon = start_daemon(
        f"--nerdctl={fake_nerdctl}", f"--read_roots={context.parent}", "--max_calls_per_second=0"
    )
    spec = pb.BuildSpec(dockerfile="FROM scratch\n" + "#" * 60_000)
    build = daemon.tcp_stub.CreateBuild(request_for(spec=spec), timeout=60).build
    body = pb.GetBuildRequest(name=build.name).SerializeToString()
    calls, peers_count = 90, 32
    # Each with some 60 KB: a third more than a caller may have.
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(daemon.tcp_address, source="127.0.0.2")) for _ in range(peers_count)]
        for peer in peers:
            send_calls(peer, "GetBuild", body, calls)
        # Before gRPC finds out that they answer no ping either.
        eventually(lambda: sum(refusals(peer, 0.1) for peer in peers) > 0, "some are refused", seconds=35)
        # Others have shares of their own.
        assert daemon.tcp_stub.GetBuild(pb.GetBuildRequest(name=build.name), timeout=20).build.name == build.name


def test_large_events_that_nobody_reads_are_a_share(daemon, context, request_for):
    (context / "fake.txt").write_text("stdout x\n")
    large = "#" * (MIB - 100)
    spec = pb.BuildSpec(dockerfile="FROM scratch\n" + large[20:], dockerignore=large)
    name = daemon.tcp_stub.CreateBuild(request_for(spec=spec), timeout=60).build.name
    events = [r.event for r in daemon.tcp_stub.WatchBuild(pb.WatchBuildRequest(name=name), timeout=60)]
    assert events[-1].finished.build.state == pb.Build.STATE_SUCCEEDED
    assert events[-1].ByteSize() > 2 * MIB - 1000
    body = pb.WatchBuildRequest(name=name, after_sequence=events[-1].sequence - 1).SerializeToString()
    before = highest = rss_bytes(daemon.process.pid)
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(daemon.tcp_address, source="127.0.0.2")) for _ in range(4)]
        for peer in peers:
            send_calls(peer, "WatchBuild", body, 60)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            highest = max(highest, rss_bytes(daemon.process.pid))
            time.sleep(0.01)
            # Others have shares of their own.
            last = pb.WatchBuildRequest(name=name, after_sequence=events[-1].sequence - 1)
            assert [r.event for r in daemon.tcp_stub.WatchBuild(last, timeout=20)] == events[-1:]
        # Who waits for a place hears that the call lives.
        beats = pb.WatchBuildRequest(name=name, after_sequence=events[-1].sequence - 1)
        beats.heartbeat_interval.FromMilliseconds(100)
        with Peer(daemon.tcp_address, source="127.0.0.2") as waiting:
            waiting.send(frame(HEADERS, END_HEADERS, 1, call_headers("WatchBuild")))
            waiting.send(frame(DATA, END_STREAM, 1, message(beats.SerializeToString())))
            sizes = [len(payload) for kind, _, _, payload in waiting.frames_for(60, until=DATA) if kind == DATA]
            sizes += [len(payload) for kind, _, _, payload in waiting.frames_for(60, until=DATA) if kind == DATA]
            assert len(sizes) == 2 and max(sizes) < 1000
        # Who reads at last has all of it.
        for peer in peers:
            window = struct.pack(">I", 1 << 28)
            peer.send(frame(WINDOW_UPDATE, 0, 0, window))
            for stream in range(1, 2 * 60, 2):
                peer.send(frame(WINDOW_UPDATE, 0, stream, window))
        with concurrent.futures.ThreadPoolExecutor(len(peers)) as pool:
            for came, ended in pool.map(lambda peer: read_streams(peer, 60), peers):
                assert ended == 60 and came >= 60 * events[-1].ByteSize()
    # It would be half a gigabyte.
    assert highest - before < 400 * MIB, f"{(highest - before) / MIB:.0f} MiB"


def test_an_answer_that_is_not_read_is_given_up(start_daemon, fake_nerdctl, context, request_for):
    daemon = start_daemon(
        f"--nerdctl={fake_nerdctl}", f"--read_roots={context.parent}", "--transfer_idle_timeout=1s"
    )
    spec = pb.BuildSpec(dockerfile="FROM scratch\n" + "#" * 60_000)
    build = daemon.tcp_stub.CreateBuild(request_for(spec=spec), timeout=60).build
    body = pb.GetBuildRequest(name=build.name).SerializeToString()
    with Peer(daemon.tcp_address, source="127.0.0.2") as peer:
        send_calls(peer, "GetBuild", body, 1)
        # A second, and what 60 KB take at the least speed.
        ends = [(kind, stream) for kind, _, stream, _ in peer.frames_for(60, until=RST_STREAM)]
        assert ends[-1] == (RST_STREAM, 1)
        # The connection has other calls.
        peer.send(frame(HEADERS, END_HEADERS, 3, call_headers("ListBuilds")))
        peer.send(frame(DATA, END_STREAM, 3, message(b"\xff")))
        ends = [(kind, stream) for kind, _, stream, _ in peer.frames_for(60, until=HEADERS)]
        assert ends[-1] == (HEADERS, 3)
    # Who reads is not cut.
    assert daemon.tcp_stub.GetBuild(pb.GetBuildRequest(name=build.name), timeout=20).build.name == build.name


def test_watches_are_counted(daemon, request_for):
    name = daemon.tcp_stub.CreateBuild(request_for(), timeout=60).build.name
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
    name = daemon.tcp_stub.CreateBuild(request_for(), timeout=60).build.name
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

        eventually(ended, "the build ends", seconds=120)
        took = time.monotonic() - began
        # Who reads has all of it, beside them.
        watch = daemon.tcp_stub.WatchBuild(pb.WatchBuildRequest(name=name), timeout=30)
        got = sum(len(response.event.output.data) for response in watch)
        highest = max(highest, rss_bytes(daemon.process.pid))
    print(f"memory: +{(highest - before) / MIB:.1f} MiB, the build took {took:.1f} s")
    assert got == size + len("begun")
    assert highest - before <= 4 * watchers * MIB
    assert daemon.stub.Health(pb.HealthRequest(), timeout=20).checks
