"""Peers that flood, each for a while, and messages that are none: the daemon lives, others are served, memory is bound."""

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
    PING,
    RST_STREAM,
    SERVICE,
    SETTINGS,
    Peer,
    call_headers,
    frame,
    literal,
    message,
    rss_bytes,
    string,
)

MIB = 1 << 20
SECONDS = 3
# gRPC 1.51 minds its limit of streams only with peers that have acknowledged it, and takes a hundred bytes of memory for
# each that begins one. What a connection may send without a call (9 MiB) bounds that, and no more than that: its quota
# (--max_rpc_memory_bytes) knows nothing of them. A peer that puts its headers into HPACK's table begins a stream by 15
# bytes, of which each takes 450: that would be 4 GiB, and is not tried here.
BEGUN_STREAMS = 1280 * MIB


class Others:
    """Callers of their own connection who ask for Health all the time; how long the slowest answer took."""

    def __init__(self, daemon):
        self.stub = daemon.tcp_stub
        self.stub.Health(pb.HealthRequest(), timeout=20)
        self.slowest = 0.0
        self.answers = 0
        self.error = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            while not self._stop.wait(0.05) or not self.answers:
                began = time.monotonic()
                self.stub.ListBuilds(pb.ListBuildsRequest(), timeout=60)
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.answers += 1
        except Exception as error:
            self.error = error

    def stop(self):
        self._stop.set()
        self._thread.join()
        assert self.error is None, self.error
        assert self.slowest < 30, f"somebody waited {self.slowest:.1f} s"


@pytest.fixture
def daemon(start_daemon, fake_nerdctl):
    return start_daemon(f"--nerdctl={fake_nerdctl}", "--max_calls_per_second=0")


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def under_flood(daemon):
    """Runs `flood(peer)` until time is over or the daemon ends its connection, and looks at what that cost."""

    # The daemon looks at what came every 50 ms, and on a busy machine less often.
    def run(flood, peers=1, rss=128 * MIB):
        others = Others(daemon)
        before = rss_bytes(daemon.process.pid)
        highest = before
        deadline = time.monotonic() + SECONDS
        # From another host than the others.
        connections = [Peer(daemon.tcp_address, source="127.0.0.2") for _ in range(peers)]
        # Who does not read is not answered to, and TCP holds him back.
        readers = [threading.Thread(target=peer.ended_within, args=(SECONDS + 20,)) for peer in connections]
        for reader in readers:
            reader.start()
        ended = 0
        states = [flood() for _ in connections]
        try:
            while time.monotonic() < deadline and connections:
                for peer, state in list(zip(connections, states)):
                    if not peer.try_send(next(state)):
                        ended += 1
                        at = connections.index(peer)
                        del connections[at], states[at]
                highest = max(highest, rss_bytes(daemon.process.pid))
            highest = max(highest, rss_bytes(daemon.process.pid))
        finally:
            for peer in connections:
                peer.end()
            for reader in readers:
                reader.join()
            others.stop()
        assert daemon.process.poll() is None
        print(f"memory: +{(highest - before) / MIB:.1f} MiB, connections ended: {ended}")
        assert highest - before <= rss, f"memory grew by {(highest - before) / MIB:.1f} MiB"
        assert daemon.tcp_stub.Health(pb.HealthRequest(), timeout=30).checks
        return ended

    return run


# --- Frames ----------------------------------------------------------------------------------------------------------


def test_pings(under_flood):
    def flood():
        while True:
            yield frame(PING, 0, 0, b"12345678") * 500

    assert under_flood(flood) == 1, "the connection goes on"


def test_settings(under_flood):
    def flood():
        while True:
            yield frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 500

    under_flood(flood, peers=4)


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


def test_headers_over_the_limit(under_flood):
    def flood():
        stream = 1
        while True:
            yield frame(HEADERS, END_HEADERS, stream, call_headers("Health", literal(b"x", b"y" * 12000)))
            stream += 2

    under_flood(flood)


def test_continuation_without_end(under_flood):
    def flood():
        yield frame(HEADERS, 0, 1, call_headers("Health"))
        while True:
            yield frame(CONTINUATION, 0, 1, literal(b"name", b"v" * 100) * 100)

    under_flood(flood)


def test_a_header_value_that_never_ends(under_flood):
    def flood():
        # Announced: 3 GiB.
        yield frame(HEADERS, 0, 1, call_headers("Health") + b"\0" + string(b"x") + b"\x7f\x81\xff\xff\xff\x0b")
        while True:
            yield frame(CONTINUATION, 0, 1, b"y" * 16384)

    under_flood(flood)


def test_integers_that_never_end(under_flood):
    def flood():
        yield frame(HEADERS, 0, 1, b"\xff")
        while True:
            yield frame(CONTINUATION, 0, 1, b"\x80" * 16384)

    under_flood(flood)


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


# --- Messages --------------------------------------------------------------------------------------------------------


@pytest.fixture
def code_of(daemon):
    """How a call of CreateBuild with these bytes ends."""
    channel = daemon.channel(daemon.tcp_address)
    call = channel.unary_unary(SERVICE + "CreateBuild", bytes, bytes)

    def of(payload: bytes, **arguments) -> grpc.StatusCode:
        with pytest.raises(grpc.RpcError) as error:
            call(payload, timeout=30, **arguments)
        return error.value.code()

    return of


def field(number: int, payload: bytes) -> bytes:
    out, length = bytes([number << 3 | 2]), len(payload)
    while length >= 128:
        out += bytes([length % 128 + 128])
        length //= 128
    return out + bytes([length]) + payload


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
            assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED, error.value
    # A thousand times larger than what was sent.
    assert code_of(b"\0" * (8 * MIB - 1), compression=grpc.Compression.Gzip) == grpc.StatusCode.UNIMPLEMENTED
    # What does not parse is gRPC's to answer: UNIMPLEMENTED.
    refusals = (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INVALID_ARGUMENT)
    for payload in (b"\xff" * 1000, field(1, b"x")[:-1], field(3, b"\xff\xfe"), field(1, field(1, b"\x0b" * 10_000))):
        assert code_of(payload) in refusals
    request = pb.CreateBuildRequest()
    for i in range(200_000):
        request.annotations[str(i)] = ""
    code_of(request.SerializeToString())
    with Peer(daemon.tcp_address) as peer:
        peer.send(frame(HEADERS, END_HEADERS, 1, call_headers("CreateBuild")))
        # Announced: 4 GiB.
        peer.send(frame(DATA, 0, 1, message(b"x", length=0xFFFFFFFF)))
        peer.send(frame(HEADERS, END_HEADERS, 3, call_headers("CreateBuild")))
        bomb = zlib.compress(b"\0" * MIB)
        peer.send(frame(DATA, END_STREAM, 3, message(bomb[:16000], compressed=1)))
        peer.ended_within(1)
    others.stop()
    assert rss_bytes(daemon.process.pid) - before <= 256 * MIB
