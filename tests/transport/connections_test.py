"""Connections: too many, silent, idle, old, half open, and from whom they come."""

import os
import re
import resource
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

import grpc
import pytest
from conftest import Daemon
from containerbuilder.v1 import container_builder_pb2 as pb
from machines import PORT, SERVER, checked, namespaces  # noqa: F401 a fixture
from peers import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    SETTINGS,
    WINDOW_UPDATE,
    Authority,
    Others,
    Peer,
    call_headers,
    descriptors,
    dialled,
    frame,
    literal,
    message,
    rss_bytes,
    stub_of,
    tls_channel,
)

MIB = 1 << 20


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
    with dialled(daemon.tcp_address) as stub:
        return stub.Health(pb.HealthRequest(), timeout=seconds)


def has_health(daemon) -> bool:
    """False where the connection is refused, or ends."""
    try:
        return bool(health_within(daemon, 10).checks)
    except grpc.RpcError:
        return False


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
        eventually(lambda: has_health(daemon), "calls are answered after the flood", seconds=20)
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
    eventually(lambda: has_health(daemon), "calls are answered with descriptors", seconds=20)


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
    eventually(lambda: has_health(daemon), "all have room", seconds=20)


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
    began = time.monotonic()
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
    assert health_within(plain, 8).checks
    # By gRPC's own it would be two minutes.
    for name, peer in peers.items():
        assert peer.ended_within(30 - (time.monotonic() - began)) is not None, name
    assert time.monotonic() - began > 5


def test_drops_are_no_greeting_and_no_call(start):
    """A byte every 0.2 s, of a greeting and of a call's headers: each would go on for longer than it is let."""

    def drip(peer: Peer, content: bytes):
        for i in range(len(content)):
            if not peer.try_send(content[i : i + 1]) or over.wait(0.2):
                break

    over = threading.Event()
    greeting = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535) * 20)
    headers = frame(HEADERS, END_HEADERS, 1, call_headers("Health", literal(b"x", b"y" * 1000)))
    with (
        Peer(start().tcp_address, greet=False) as greets,
        Peer(start("--max_connection_idle=1s").tcp_address) as calls,
    ):
        # So that the stream has begun.
        calls.send(headers[:30])
        threads = [threading.Thread(target=drip, args=args) for args in ((greets, greeting), (calls, headers[30:]))]
        for thread in threads:
            thread.start()
        took = calls.ended_within(60), greets.ended_within(25)
        over.set()
        for thread in threads:
            thread.join()
    print(f"ended after: headers {took[0]} s, greeting {took[1]} s")
    assert None not in took


def test_a_thousand_that_say_nothing(start):
    """Half a greeting, from each of five hosts as often as it may connect: others are served, and all are ended."""
    per_host = 250
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], min(limits[1], 4096)), limits[1]))
    daemon = start()
    others = Others(daemon)
    before = rss_bytes(daemon.process.pid)
    peers = []
    try:
        began = time.monotonic()
        for host in range(2, 7):
            for _ in range(per_host):
                peers.append(Peer(daemon.tcp_address, greet=False, source=f"127.0.0.{host}"))
                peers[-1].send(b"PRI * HTTP/2.0")
        # Who comes after them is served after they are taken over.
        assert health_within(daemon, 20).checks
        print(f"{len(peers)} connections in {time.monotonic() - began:.1f} s")
        grown = rss_bytes(daemon.process.pid) - before
        for peer in peers:
            assert peer.ended_within(30) is not None
    finally:
        others.stop()
        for peer in peers:
            peer.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    print(f"memory: +{grown / MIB:.1f} MiB")
    assert grown <= 128 * MIB


def test_idle_connections_end(start):
    daemon = start("--max_connection_idle=1s")
    with Peer(daemon.tcp_address) as peer:
        assert peer.ended_within(60) is not None


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


def test_a_stop_lets_watchers_read_to_the_end_before_it_tells_them_to_go(start, context):
    """gRPC ends a connection that was told to go with its last call, and what its peer sends then makes the kernel drop
    what the peer has not read yet: the end of its build."""
    # More than a window, so that the call waits for its reader.
    (context / "fake.txt").write_text("bytes stdout 200000 1\nsleep 60\n")
    daemon = start("--drain_timeout=100ms")
    with Peer(daemon.tcp_address) as peer:
        body = message(request_for(context).SerializeToString())
        peer.send(frame(HEADERS, END_HEADERS, 1, call_headers("Build")) + frame(DATA, END_STREAM, 1, body))
        # All of the window.
        came = 0
        for kind, _, _, payload in peer.frames_for(20):
            came += len(payload) if kind == DATA else 0
            if came == 65_535:
                break
        assert came == 65_535
        daemon.process.send_signal(signal.SIGTERM)
        # The build ends at once, and what is left of its log is not read for a while.
        seen = [kind for kind, _, _, _ in peer.frames_for(1)]
        assert GOAWAY not in seen
        more = struct.pack(">I", 1 << 24)
        peer.send(frame(WINDOW_UPDATE, 0, 0, more) + frame(WINDOW_UPDATE, 0, 1, more))
        seen = [(kind, flags) for kind, flags, _, _ in peer.frames_for(20, until=GOAWAY)]
        assert (HEADERS, END_HEADERS | END_STREAM) in seen
        assert seen[-1][0] == GOAWAY
    assert daemon.process.wait(20) == 0


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
            seconds=90,
            interval=1,
        )
        assert time.monotonic() - began > 10, "that was not the keepalive"
        assert name in {build.name for build in builds()}
        assert {build.failure.reason for build in builds()} == {"CLIENT_GONE"}
    finally:
        client.kill()
        client.wait()
        by_hand.close()


# A build for each context, and then a greeting that is not whole, each on its own connection.
DISTANT_CLIENTS = """
import socket, sys, threading
import grpc
from containerbuilder.v1 import container_builder_pb2 as pb, container_builder_pb2_grpc as pb_grpc
address, ca, *contexts = sys.argv[1:]
options = [("grpc.use_local_subchannel_pool", 1), ("grpc.ssl_target_name_override", "localhost")]
begun = threading.Semaphore(0)

def build(context):
    request = pb.BuildRequest()
    request.spec.options.context_path = context
    credentials = grpc.ssl_channel_credentials(open(ca, "rb").read())
    channel = grpc.secure_channel(address, credentials, options)
    outputs = (r for r in pb_grpc.ContainerBuilderStub(channel).Build(request) if r.event.HasField("output"))
    print(next(outputs).event.name, flush=True)
    begun.release()
    for _ in outputs:
        pass

for context in contexts:
    threading.Thread(target=build, args=[context]).start()
for _ in contexts:
    begun.acquire()
greeting = socket.create_connection(address.rsplit(":", 1))
greeting.send(b"\\x16\\x03\\x01\\x02\\x00")
print("greeting", flush=True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces")
def test_a_network_that_goes_down_is_found_out(namespaces, folder, context, daemon_in, fake_nerdctl, eventually):
    """No kernel acknowledges anything any more: to one that is silent, one that is written to, one that greets."""
    there, here = namespaces
    home = folder / "server"
    home.mkdir()
    chatty = context.parent / "chatty"
    chatty.mkdir()
    (chatty / "fake.txt").write_text("lines stdout 100\nsleep 0.05\n" * 10000)
    authority = Authority(folder)
    identity = authority.issue("server", "DNS:localhost")
    daemon = daemon_in(
        home,
        [
            *(f"--nerdctl={fake_nerdctl}", f"--read_roots={context.parent}", "--max_running_builds=4"),
            *(f"--tls_cert={identity.cert}", f"--tls_key={identity.key}", "--insecure"),
            f"--listen=unix://{home}/daemon.sock,{SERVER}:{PORT}",
        ],
        wrapper=("ip", "netns", "exec", there),
    )
    arguments = [f"{SERVER}:{PORT}", str(authority.cert), str(context), str(chatty)]
    clients = subprocess.Popen(
        ["ip", "netns", "exec", here, sys.executable, "-c", DISTANT_CLIENTS, *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )

    def connections() -> int:
        with open(f"/proc/{daemon.process.pid}/net/tcp") as table:
            return len(re.findall(rf":{PORT:04X} [0-9A-F]{{8}}:[0-9A-F]{{4}} 01 ", table.read()))

    def builds():
        return daemon.stub.ListBuilds(pb.ListBuildsRequest(), timeout=20).builds

    try:
        *names, greeting = (clients.stdout.readline().strip() for _ in range(3))
        assert greeting == "greeting"
        assert {build.name for build in builds()} == set(names)
        assert connections() == 3
        checked("ip", "-n", here, "link", "set", here, "down")
        eventually(
            lambda: all(build.state == pb.Build.STATE_CANCELLED for build in builds()),
            "both builds end with their callers",
            seconds=90,
            interval=1,
        )
        assert {build.failure.reason for build in builds()} == {"CLIENT_GONE"}
        eventually(lambda: connections() == 0, "no connection is kept")
        assert daemon.stop() == 0
    finally:
        clients.kill()
        clients.wait()
        daemon.process.kill()
        daemon.process.wait()
        daemon.close()
        print(daemon.log.read_text(errors="replace"))


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
