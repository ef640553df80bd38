"""Peers that flood, each for a while, and messages that are none: the daemon lives, others are served, memory is bound."""

import concurrent.futures
import contextlib
import functools
import os
import struct
import threading
import time
import zlib

import grpc
import pytest
from containerbuilder.v1 import container_builder_pb2 as pb
from peers import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    KNOWN_CALL_HEADERS,
    PING,
    RST_STREAM,
    SERVICE,
    SETTINGS,
    Others,
    Peer,
    call_headers,
    cpu_seconds,
    field,
    frame,
    literal,
    message,
    rss_bytes,
    string,
)

MIB = 1 << 20
SECONDS = 3
# Of floods that are known by what they make the service work.
SLOW_SECONDS = 45
# gRPC 1.51 minds its limit of streams only with peers that have acknowledged it. The service counts them 20 times a second,
# and on a busy machine less often; gRPC begins up to 70,000 a second, of some 10 KiB each.
BEGUN_STREAMS = 768 * MIB


@pytest.fixture
def daemon(start_daemon, fake_nerdctl):
    return start_daemon(f"--nerdctl={fake_nerdctl}", "--max_calls_per_second=0")


def cpu_of(work, *arguments) -> float:
    """The CPU time that this thread takes for it, in seconds."""
    began = time.thread_time()
    work(*arguments)
    return time.thread_time() - began


def run_flood(daemon, flood, peers=1, rss=256 * MIB, come_again=False, reads=True, seconds=SECONDS) -> int:
    """Peers send what `flood()` yields until time is over or the daemon ends the connection; how many it ended.

    Looks at what that costs: memory, others' time, and the daemon's own, unless it ended the connections.
    """
    pid = daemon.process.pid
    others = Others(daemon)
    before = highest = rss_bytes(pid)
    cpu_before = cpu_seconds(pid)
    deadline = time.monotonic() + seconds

    def send_once() -> tuple[bool, float]:
        """Whether the daemon ended it, and the reader's CPU time."""
        # From another host than the others.
        with Peer(daemon.tcp_address, source="127.0.0.2") as peer:
            # Who does not read is not answered to, and TCP holds him back.
            reading = pool.submit(cpu_of, peer.ended_within, seconds + 20) if reads else None
            # Also where nothing is taken from it.
            timer = threading.Timer(deadline - time.monotonic(), peer.end)
            timer.start()
            state = flood()
            while peer.try_send(next(state)):
                pass
            ended = time.monotonic() < deadline
            timer.cancel()
            peer.end()
            return ended, reading.result() if reading else 0

    def send() -> tuple[int, float]:
        """How often the daemon ended it, and the CPU time of both sides."""
        ended, read, began = 0, 0.0, time.thread_time()
        try:
            while True:
                over, cpu = send_once()
                ended, read = ended + over, read + cpu
                if not (over and come_again):
                    break
        except OSError:
            if not ended:
                raise
            # Refused.
        return ended, read + time.thread_time() - began

    try:
        with concurrent.futures.ThreadPoolExecutor(2 * peers) as pool:
            sending = [pool.submit(send) for _ in range(peers)]
            while not all(peer.done() for peer in sending):
                highest = max(highest, rss_bytes(pid))
                time.sleep(0.02)
    finally:
        others.stop()
    highest = max(highest, rss_bytes(pid))
    cpu = cpu_seconds(pid) - cpu_before
    ended, own_cpu = map(sum, zip(*(peer.result() for peer in sending)))
    grown = f"memory grew by {(highest - before) / MIB:.1f} MiB"
    cost = f"{cpu:.2f} s of CPU time for the peers' {own_cpu:.2f} s"
    print(f"connections ended: {ended}, {grown}, {cost}")
    assert daemon.process.poll() is None
    assert highest - before <= rss, grown
    assert ended >= peers or cpu <= 10 * own_cpu, cost
    assert daemon.tcp_stub.Health(pb.HealthRequest(), timeout=30).checks
    return ended


@pytest.fixture
def under_flood(daemon):
    return functools.partial(run_flood, daemon)


# --- Frames ----------------------------------------------------------------------------------------------------------


def test_pings(under_flood):
    def flood():
        while True:
            yield frame(PING, 0, 0, b"12345678") * 500

    # Some 120 bytes for each that it sends before it is ended.
    assert under_flood(flood, rss=384 * MIB, seconds=SLOW_SECONDS) == 1, "the connection goes on"


def test_settings(under_flood):
    def flood():
        while True:
            yield frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 500

    under_flood(flood, peers=4, seconds=SLOW_SECONDS)


def test_rapid_resets(under_flood):
    def flood():
        stream = 1
        while True:
            frames = []
            for _ in range(100):
                frames.append(frame(HEADERS, END_HEADERS, stream, call_headers("Health")))
                frames.append(frame(RST_STREAM, 0, stream, struct.pack(">I", 8)))
                stream += 2
            yield b"".join(frames)

    under_flood(flood, rss=BEGUN_STREAMS)


def test_more_streams_than_allowed(under_flood):
    def flood():
        stream = 1
        while True:
            # Each waits for its message.
            yield b"".join(
                frame(HEADERS, END_HEADERS, stream + 2 * i, call_headers("CreateBuild")) for i in range(200)
            )
            stream += 400

    under_flood(flood, rss=BEGUN_STREAMS)


def test_streams_begun_by_a_few_bytes_each(under_flood):
    def flood():
        yield frame(HEADERS, END_HEADERS, 1, call_headers("CreateBuild", indexed=True))
        stream = 3
        while True:
            yield b"".join(frame(HEADERS, END_HEADERS, stream + 2 * i, KNOWN_CALL_HEADERS) for i in range(1000))
            stream += 2000

    assert under_flood(flood, peers=4, rss=BEGUN_STREAMS, come_again=True, seconds=10) > 4, "connections go on"


@pytest.mark.parametrize("reads", [False, True])
def test_calls_without_end(start_daemon, fake_nerdctl, reads):
    """Whole and well-formed, so that each pays for its bytes; nearly all are over the caller's rate."""

    def flood():
        def call(stream: int, headers: bytes) -> bytes:
            return frame(HEADERS, END_HEADERS, stream, headers) + frame(DATA, END_STREAM, stream, message())

        yield call(1, call_headers("ListBuilds", indexed=True))
        stream = 3
        while True:
            yield b"".join(call(stream + 2 * i, KNOWN_CALL_HEADERS) for i in range(1000))
            stream += 2000

    run_flood(start_daemon(f"--nerdctl={fake_nerdctl}"), flood, peers=4, rss=BEGUN_STREAMS, reads=reads)


def test_headers_over_the_limit(under_flood):
    def flood():
        stream = 1
        while True:
            yield frame(HEADERS, END_HEADERS, stream, call_headers("Health", literal(b"x", b"y" * 12000)))
            stream += 2

    under_flood(flood, rss=BEGUN_STREAMS)


def test_a_host_that_floods_again_and_again_is_refused(daemon):
    """What its floods took is not given back with their ends."""
    flood = frame(CONTINUATION, 0, 1, literal(b"name", b"v" * 100) * 100)
    for _ in range(12):
        with contextlib.suppress(OSError), Peer(daemon.tcp_address, source="127.0.0.2") as peer:
            peer.try_send(frame(HEADERS, 0, 1, call_headers("Health")))
            while peer.try_send(flood):
                pass
        if "its address has flooded" in daemon.log.read_text():
            break
    else:
        pytest.fail("it may flood for ever")
    # Others are not it.
    assert daemon.tcp_stub.Health(pb.HealthRequest(), timeout=30).checks


def test_continuation_without_end(under_flood):
    def flood():
        yield frame(HEADERS, 0, 1, call_headers("Health"))
        while True:
            yield frame(CONTINUATION, 0, 1, literal(b"name", b"v" * 100) * 100)

    under_flood(flood)


# gRPC 1.51 parses what is not whole anew with each frame, which two at a time would do with all of its threads.


def test_a_header_value_that_never_ends(under_flood):
    def flood():
        # Announced: 3 GiB.
        yield frame(HEADERS, 0, 1, call_headers("Health") + b"\0" + string(b"x") + b"\x7f\x81\xff\xff\xff\x0b")
        while True:
            yield frame(CONTINUATION, 0, 1, b"y" * 16384)

    under_flood(flood, peers=2, seconds=SLOW_SECONDS)


# In frames of sixteen KiB, and of very few bytes: the service takes the header from its beginning with each of them.
@pytest.mark.parametrize("size", [16384, 9])
def test_integers_that_never_end(under_flood, size):
    def flood():
        yield frame(HEADERS, 0, 1, b"\xff")
        while True:
            yield frame(CONTINUATION, 0, 1, b"\x80" * size) * (16384 // size)

    under_flood(flood, peers=2, seconds=SLOW_SECONDS)


def test_a_bad_binary_header(daemon):
    others = Others(daemon)
    for _ in range(50):
        with Peer(daemon.tcp_address) as peer:
            peer.send(frame(HEADERS, END_HEADERS, 1, call_headers("Health", literal(b"x-bin", b"!!not base64!!"))))
            peer.send(frame(DATA, END_STREAM, 1, message()))
    others.stop()


def test_rubbish(daemon):
    others = Others(daemon)
    for content in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(100_000), b"\0" * 100_000, b"\x16\x03\x01" * 1000):
        with Peer(daemon.tcp_address, greet=False) as peer:
            peer.try_send(content)
            assert peer.ended_within(12) is not None
    for kind in range(16):
        for size in (0, 1, 4, 8, 16384):
            with Peer(daemon.tcp_address) as peer:
                peer.try_send(frame(kind, 0xFF, 1, os.urandom(size)))
    with Peer(daemon.tcp_address) as peer:
        # A frame longer than was agreed.
        peer.try_send(b"\xff\xff\xff" + frame(DATA, 0, 1)[3:] + b"x" * 100_000)
        assert peer.ended_within(12) is not None
    others.stop()


def test_reflection_takes_little(daemon):
    path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    # Of parts that nobody knows, which would take some 200 MiB.
    before = rss_bytes(daemon.process.pid)
    stay = threading.Event()

    def questions():
        yield b"\x7a\x00" * (4 * MIB - 1)
        stay.wait(20)

    call = daemon.channel(daemon.tcp_address).stream_stream(path, bytes, bytes)
    with pytest.raises(grpc.RpcError) as error:
        next(call(questions(), timeout=20))
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    rise = rss_bytes(daemon.process.pid) - before
    stay.set()
    assert rise < 100 * MIB, f"{rise / MIB:.0f} MiB"

    peers = [Peer(daemon.tcp_address) for _ in range(5)]
    for peer in peers:
        peer.send(b"".join(frame(HEADERS, END_HEADERS, 2 * i + 1, call_headers(path)) for i in range(90)))
    # Those that are refused are answered: all of them were seen.
    for peer in peers:
        peer.socket.settimeout(20)
        while b"grpc-status" not in peer.socket.recv(1 << 16):
            pass
    threads = len(os.listdir(f"/proc/{daemon.process.pid}/task"))
    assert threads < 300, f"{threads} threads"
    assert daemon.tcp_stub.Health(pb.HealthRequest(), timeout=30).checks
    for peer in peers:
        peer.close()


# --- Messages --------------------------------------------------------------------------------------------------------


@pytest.fixture
def code_of(daemon):
    """How a call of CreateBuild with these bytes ends."""

    def of(payload: bytes, **arguments) -> grpc.StatusCode:
        # What gRPC refuses is counted as sent beside calls: more of it ends a connection.
        channel = daemon.channel(daemon.tcp_address)
        with pytest.raises(grpc.RpcError) as error:
            channel.unary_unary(SERVICE + "CreateBuild", bytes, bytes)(payload, timeout=30, **arguments)
        return error.value.code()

    return of


def test_messages_that_are_none(daemon, code_of):
    others = Others(daemon)
    before = rss_bytes(daemon.process.pid)
    assert code_of(b"x" * (8 * MIB + 1)) == grpc.StatusCode.RESOURCE_EXHAUSTED
    # As large as may be, on a connection that has called nothing yet, and again: taken as a request.
    large = pb.CreateBuildRequest()
    large.annotations["x"] = "x" * (8 * MIB - 100)
    for _ in range(4):
        with grpc.insecure_channel(daemon.tcp_address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            with pytest.raises(grpc.RpcError) as error:
                channel.unary_unary(SERVICE + "CreateBuild", bytes, bytes)(large.SerializeToString(), timeout=30)
            assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT, error.value
            assert "annotations: " in error.value.details()
    # A thousand times larger than what was sent.
    assert code_of(b"\0" * (8 * MIB - 1), compression=grpc.Compression.Gzip) == grpc.StatusCode.UNIMPLEMENTED
    for payload in (b"\xff" * 1000, field(1, b"x")[:-1], field(3, b"\xff\xfe"), field(1, field(1, b"\x0b" * 10_000))):
        assert code_of(payload) == grpc.StatusCode.INVALID_ARGUMENT
    request = pb.CreateBuildRequest()
    for i in range(200_000):
        request.annotations[str(i)] = ""
    assert code_of(request.SerializeToString()) == grpc.StatusCode.INVALID_ARGUMENT
    with Peer(daemon.tcp_address) as peer:
        peer.send(frame(HEADERS, END_HEADERS, 1, call_headers("CreateBuild")))
        # Announced: 4 GiB.
        peer.send(frame(DATA, 0, 1, message(b"x", length=0xFFFFFFFF)))
        peer.send(frame(HEADERS, END_HEADERS, 3, call_headers("CreateBuild")))
        bomb = zlib.compress(b"\0" * MIB)
        peer.send(frame(DATA, END_STREAM, 3, message(bomb[:16000], compressed=1)))
        peer.ended_within(1)
    others.stop()
    assert rss_bytes(daemon.process.pid) - before <= 512 * MIB
