"""Connections: too many, silent, idle, old, half open, and from whom they come."""

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time

import grpc
import pytest
from conftest import Daemon
from containerbuilder.v1 import container_builder_pb2 as pb
from peers import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    Authority,
    Peer,
    call_headers,
    descriptors,
    frame,
    message,
    stub_of,
    tls_channel,
)


@pytest.fixture
def context(folder):
    path = folder / "root" / "context"
    path.mkdir(parents=True)
    (path / "fake.txt").write_text(f"stdout begun\nwait-file {folder}/gate\nstdout ended\n")
    return path


@pytest.fixture
def start(start_daemon, fake_nerdctl, context):
    def start_(*flags):
        return start_daemon(f"--nerdctl={fake_nerdctl}", f"--read_roots={context.parent}", *flags)

    return start_


def request_for(context) -> pb.BuildRequest:
    request = pb.BuildRequest()
    request.spec.options.context_path = str(context)
    return request


def health_within(daemon, seconds: float):
    """By a connection of its own."""
    with grpc.insecure_channel(daemon.tcp_address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        return stub_of(channel).Health(pb.HealthRequest(), timeout=seconds)


def answered(peer: Peer) -> bool:
    """Whether the service greets, which it does as soon as it has taken a connection."""
    peer.socket.settimeout(10)
    try:
        return bool(peer.socket.recv(1))
    except OSError:
        return False


# --- Too many --------------------------------------------------------------------------------------------------------


def test_no_descriptors_are_left_and_then_there_are(folder, fake_nerdctl, context, eventually):
    """A listener of gRPC 1.51's own never accepts again after that."""
    home = folder / "small"
    home.mkdir()
    flags = [f"--nerdctl={fake_nerdctl}", f"--read_roots={context.parent}"]
    daemon = Daemon(home, flags, wrapper=("prlimit", "--nofile=160:160"))
    try:
        build = daemon.tcp_stub.Build(request_for(context), timeout=120)
        for response in build:
            if response.event.HasField("output"):
                break
        before = descriptors(daemon.process.pid)
        peers = [Peer(daemon.tcp_address, greet=False) for _ in range(300)]
        eventually(lambda: "refused a connection" in daemon.log.read_text(), "connections are refused")
        # Some are left for builds, and those who are there already are served.
        assert descriptors(daemon.process.pid) < 160
        assert daemon.tcp_stub.GetBuild(pb.GetBuildRequest(name=response.event.name), timeout=20)
        for peer in peers:
            peer.close()
        began = time.monotonic()
        while True:
            try:
                assert health_within(daemon, 1).checks
                break
            except grpc.RpcError:
                assert time.monotonic() - began < 1, "no answer a second after the flood"
        eventually(lambda: descriptors(daemon.process.pid) <= before + 4, "all descriptors are given back")
        (folder / "gate").touch()
        assert [r.event for r in build][-1].finished.build.state == pb.Build.STATE_SUCCEEDED
        assert daemon.stop() == 0
    finally:
        daemon.process.kill()
        daemon.process.wait()
        daemon.close()


def test_accept_itself_fails_for_want_of_descriptors(start, eventually):
    daemon = start()
    assert health_within(daemon, 20).checks

    def flood_without_descriptors() -> bool:
        used = {int(fd) for fd in os.listdir(f"/proc/{daemon.process.pid}/fd")}
        lowest_free = next(fd for fd in range(len(used) + 1) if fd not in used)
        subprocess.run(["prlimit", f"--pid={daemon.process.pid}", f"--nofile={lowest_free}:"], check=True)
        peers = [Peer(daemon.tcp_address, greet=False) for _ in range(50)]
        for peer in peers:
            assert peer.ended_within(10) is not None
        return "no descriptors or memory are left" in daemon.log.read_text()

    # Once nothing is open that is closed a moment later.
    eventually(flood_without_descriptors, "accept itself fails")
    # Not by trying for ever.
    with open(f"/proc/{daemon.process.pid}/stat") as stat:
        ticks = sum(int(t) for t in stat.read().rpartition(")")[2].split()[11:13])
    time.sleep(1)
    with open(f"/proc/{daemon.process.pid}/stat") as stat:
        assert sum(int(t) for t in stat.read().rpartition(")")[2].split()[11:13]) - ticks < 50
    subprocess.run(["prlimit", f"--pid={daemon.process.pid}", "--nofile=10000:"], check=True)
    assert health_within(daemon, 1).checks


def test_caps(start, eventually):
    daemon = start("--max_connections=8", "--max_connections_per_peer=4")

    def connect(source: str) -> Peer:
        return Peer(daemon.tcp_address, greet=False, source=source)

    first = [connect("127.0.0.2") for _ in range(4)]
    assert all(answered(peer) for peer in first)
    refused = connect("127.0.0.2")
    assert refused.ended_within(10) is not None
    eventually(lambda: "--max_connections_per_peer" in daemon.log.read_text(), "the log says why")
    second = [connect("127.0.0.3") for _ in range(4)]
    assert all(answered(peer) for peer in second)
    assert connect("127.0.0.4").ended_within(10) is not None
    # The unix socket has none of that, and who ends makes room.
    assert daemon.stub.Health(pb.HealthRequest(), timeout=20).checks
    first[0].close()

    def comes_in() -> bool:
        peer = connect("127.0.0.2")
        if answered(peer):
            first[0] = peer
            return True
        peer.close()
        return False

    eventually(comes_in, "there is room for another")
    for peer in (*first, *second, refused):
        peer.close()
    eventually(lambda: health_within(daemon, 20).checks, "all have room")


def test_many_come_and_go(start, eventually):
    daemon = start()
    assert health_within(daemon, 20).checks
    before = descriptors(daemon.process.pid)
    for _ in range(50):
        peers = [Peer(daemon.tcp_address, greet=i % 2 == 0) for i in range(40)]
        for i, peer in enumerate(peers):
            if i % 3 == 0:
                # A reset instead of an end.
                peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()
    eventually(lambda: descriptors(daemon.process.pid) <= before + 2, "all descriptors are given back")
    assert health_within(daemon, 20).checks


# --- Silent ----------------------------------------------------------------------------------------------------------


def test_greetings_take_ten_seconds_at_most(folder, start, context):
    authority = Authority(folder)
    server = authority.issue("server", "DNS:localhost")
    plain = start()
    tls = start(f"--tls_cert={server.cert}", f"--tls_key={server.key}")
    trusting = ssl.create_default_context(cafile=str(authority.cert))
    trusting.set_alpn_protocols(["h2"])
    hello = ssl.MemoryBIO(), ssl.MemoryBIO()
    handshake = trusting.wrap_bio(*hello, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        handshake.do_handshake()
    client_hello = hello[1].read()
    peers = {
        "silent": Peer(plain.tcp_address, greet=False),
        "half a greeting": Peer(plain.tcp_address, greet=False),
        "silent, TLS": Peer(tls.tcp_address, greet=False),
        "a hello, then nothing": Peer(tls.tcp_address, greet=False),
        "half a hello": Peer(tls.tcp_address, greet=False),
        "TLS, then nothing": Peer(tls.tcp_address, greet=False, context=trusting),
    }
    peers["half a greeting"].send(b"PRI * HTTP/2.0")
    peers["a hello, then nothing"].send(client_hello)
    peers["half a hello"].send(client_hello[: len(client_hello) // 2])
    # Others are served meanwhile.
    assert health_within(plain, 5).checks
    began = time.monotonic()
    for name, peer in peers.items():
        assert peer.ended_within(13 - (time.monotonic() - began)) is not None, name
    assert time.monotonic() - began > 5


def test_idle_connections_end(start):
    daemon = start("--max_connection_idle=1s")
    with Peer(daemon.tcp_address) as peer:
        assert peer.ended_within(10) is not None


def test_old_connections_end_and_streams_do_not(start, context, folder, eventually):
    daemon = start("--max_connection_age=1s")
    channel = daemon.channel(daemon.tcp_address)
    stub = stub_of(channel)
    build = stub.Build(request_for(context), timeout=60)
    name = next(build).event.name

    def connections() -> int:
        port = int(daemon.tcp_address.rpartition(":")[2])
        lines = open("/proc/net/tcp").read()
        return len(re.findall(rf":{port:04X} [0-9A-F]{{8}}:[0-9A-F]{{4}} 01 ", lines))

    # New calls of the same channel go over a second connection, and the stream's is kept.
    def moved() -> bool:
        stub.GetBuild(pb.GetBuildRequest(name=name), timeout=20)
        return connections() >= 2

    eventually(moved, "calls move to a new connection")
    (folder / "gate").touch()
    assert [r.event for r in build][-1].finished.build.state == pb.Build.STATE_SUCCEEDED


# --- Half open -------------------------------------------------------------------------------------------------------

CLIENT = """
import sys
import grpc
from containerbuilder.v1 import container_builder_pb2 as pb, container_builder_pb2_grpc as pb_grpc
request = pb.BuildRequest()
request.spec.options.context_path = sys.argv[2]
for response in pb_grpc.ContainerBuilderStub(grpc.insecure_channel(sys.argv[1])).Build(request):
    print(response.event.name, flush=True)
"""


def test_clients_that_answer_no_more_are_found_out(start, context, eventually):
    daemon = start("--max_running_builds=4")
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, daemon.tcp_address, str(context)], stdout=subprocess.PIPE, text=True
    )
    by_hand = Peer(daemon.tcp_address)
    try:
        name = client.stdout.readline().strip()
        os.kill(client.pid, signal.SIGSTOP)
        payload = message(request_for(context).SerializeToString())
        by_hand.send(
            frame(HEADERS, END_HEADERS, 1, call_headers("Build")) + frame(DATA, END_STREAM, 1, payload)
        )

        def builds():
            return daemon.stub.ListBuilds(pb.ListBuildsRequest(), timeout=20).builds

        eventually(lambda: len(builds()) == 2, "both build")
        began = time.monotonic()
        eventually(
            lambda: all(build.state == pb.Build.STATE_CANCELLED for build in builds()),
            "both builds end with their callers",
            seconds=60,
            interval=1,
        )
        assert time.monotonic() - began > 10, "that was not the keepalive"
        assert name in {build.name for build in builds()}
        assert {build.failure.reason for build in builds()} == {"CLIENT_GONE"}
    finally:
        client.kill()
        client.wait()
        by_hand.close()


# --- Whose -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's place")
def test_another_user_does_not_come_in_by_the_unix_socket(start, folder, eventually):
    daemon = start()
    path = daemon.address.removeprefix("unix://")
    assert os.stat(path).st_mode & 0o777 == 0o600
    connect = (
        "import os, socket, sys; os.setgid(65534); os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1]); print(len(s.recv(1)))"
    )

    def try_it():
        return subprocess.run([sys.executable, "-c", connect, path], capture_output=True, text=True, timeout=20)

    for parent in (folder, os.path.dirname(path)):
        os.chmod(parent, 0o711)
    assert "PermissionError" in try_it().stderr
    # As by an operator's mistake.
    os.chmod(path, 0o666)
    result = try_it()
    assert result.stdout.strip() == "0" or "ConnectionResetError" in result.stderr, result
    eventually(lambda: "another user" in daemon.log.read_text(), "the log says why")
    assert daemon.stub.Health(pb.HealthRequest(), timeout=20).checks
