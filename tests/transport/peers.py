"""Certificates made for a test, peers that speak HTTP/2 by hand, as badly as the test wants, and others who are served
meanwhile."""

import contextlib
import hashlib
import os
import secrets
import socket
import ssl
import struct
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from containerbuilder.v1 import container_builder_pb2 as pb
from containerbuilder.v1 import container_builder_pb2_grpc as pb_grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

# --- Certificates ----------------------------------------------------------------------------------------------------


@dataclass
class Identity:
    """A certificate with its key, in files."""

    cert: Path
    key: Path


class Authority:
    """Signs certificates, with the openssl program."""

    def __init__(self, folder: Path, name: str = "authority"):
        self.folder = folder / name
        self.folder.mkdir()
        self._run("req", "-x509", *self._new_key("ca"), "-subj", f"/CN={name}", "-days", "2", "-out", "ca.crt")
        self.cert = self.folder / "ca.crt"

    def issue(self, name: str, names: str = "", common_name: str = "", days: int = 2, self_signed=False) -> Identity:
        """`names` as in subjectAltName: DNS:localhost,IP:127.0.0.1."""
        subject = f"/CN={common_name}" if common_name else "/O=test"
        (self.folder / "extensions").write_text(f"subjectAltName={names}\n" if names else "basicConstraints=CA:FALSE\n")
        signer = (
            ["-signkey", f"{name}.key"] if self_signed else ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"]
        )
        self._run("req", *self._new_key(name), "-subj", subject, "-out", f"{name}.csr")
        self._run(
            *("x509", "-req", "-in", f"{name}.csr", *signer, "-days", str(days)),
            *("-extfile", "extensions", "-out", f"{name}.crt"),
        )
        return Identity(self.folder / f"{name}.crt", self.folder / f"{name}.key")

    @staticmethod
    def _new_key(name: str):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key"]

    def _run(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)


def replace(path: Path, content: bytes, mode: int = 0o600):
    """Readers see the old file or the new one."""
    new = path.with_name(path.name + ".new")
    new.touch(mode)
    new.write_bytes(content)
    new.rename(path)


# --- Callers ---------------------------------------------------------------------------------------------------------


def new_token() -> str:
    return secrets.token_hex(32)


def token_line(role: str, name: str, token: str) -> str:
    return f"{role} {name} sha256:{hashlib.sha256(token.encode()).hexdigest()}\n"


def bearer(token: str):
    return (("authorization", f"Bearer {token}"),)


class WithMetadata(
    grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamUnaryClientInterceptor
):
    """Adds headers to every call of a channel."""

    def __init__(self, metadata):
        self.metadata = metadata

    def intercept_unary_unary(self, continuation, details, request):
        return continuation(self._changed(details), request)

    def intercept_unary_stream(self, continuation, details, request):
        return continuation(self._changed(details), request)

    def intercept_stream_unary(self, continuation, details, requests):
        return continuation(self._changed(details), requests)

    def _changed(self, details):
        return _Details(details.method, details.timeout, self.metadata, None, details.wait_for_ready, None)


class _Details(grpc.ClientCallDetails):
    def __init__(self, method, timeout, metadata, credentials, wait_for_ready, compression):
        self.method, self.timeout, self.metadata = method, timeout, metadata
        self.credentials, self.wait_for_ready, self.compression = credentials, wait_for_ready, compression


def stub_of(channel: grpc.Channel, token: str | None = None) -> pb_grpc.ContainerBuilderStub:
    if token is not None:
        channel = grpc.intercept_channel(channel, WithMetadata(bearer(token)))
    return pb_grpc.ContainerBuilderStub(channel)


def tls_channel(address: str, ca: Path, identity: Identity | None = None, name: str = "localhost") -> grpc.Channel:
    credentials = grpc.ssl_channel_credentials(
        ca.read_bytes(),
        identity.key.read_bytes() if identity else None,
        identity.cert.read_bytes() if identity else None,
    )
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.ssl_target_name_override", name)]
    return grpc.secure_channel(address, credentials, options)


def info_of(error: grpc.RpcError) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(error)
    assert status is not None, f"no details: {error}"
    assert any(detail.Unpack(info) for detail in status.details), status
    assert info.domain == "containerbuilder.v1"
    return info


def detail_of(error: grpc.RpcError, kind):
    detail = kind()
    assert any(d.Unpack(detail) for d in rpc_status.from_call(error).details), error
    return detail


def refused(call, code, reason: str) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as error:
        answer = call()
        if hasattr(answer, "__iter__"):
            list(answer)
    assert error.value.code() == code, error.value
    assert info_of(error.value).reason == reason, error.value
    return error.value


# --- Others ----------------------------------------------------------------------------------------------------------

# How long the slowest answer to others may take, whatever hostile peers do. Alone it takes milliseconds: the rest is
# for busy machines, and for a flood that keeps gRPC from new connections until it is ended.
PATIENCE = 40


@contextlib.contextmanager
def dialled(address: str):
    """A stub on a connection of its own."""
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield stub_of(channel)


class Others:
    """Callers who list builds all the time: on a connection of before, on a new one each time, and on a new one over
    the unix socket; and how long the slowest answer to each took."""

    def __init__(self, daemon):
        daemon.tcp_stub.Health(pb.HealthRequest(), timeout=20)
        ways = {
            "a connection of before": lambda: contextlib.nullcontext(daemon.tcp_stub),
            "new connections": lambda: dialled(daemon.tcp_address),
            "the unix socket": lambda: dialled(daemon.address),
        }
        self.slowest = {}
        self.errors = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=way) for way in ways.items()]
        for thread in self._threads:
            thread.start()

    def _run(self, way, dial):
        try:
            while way not in self.slowest or not self._stop.wait(0.05):
                began = time.monotonic()
                with dial() as stub:
                    stub.ListBuilds(pb.ListBuildsRequest(), timeout=60)
                    took = time.monotonic() - began
                self.slowest[way] = max(self.slowest.get(way, 0), took)
        except Exception as error:
            self.errors.append(f"{way}: {error}")

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert not self.errors, self.errors
        waited = ", ".join(f"{way} {took:.2f} s" for way, took in self.slowest.items())
        print("slowest answers:", waited)
        assert max(self.slowest.values()) < PATIENCE, f"somebody waited long: {waited}"


# --- HTTP/2 by hand --------------------------------------------------------------------------------------------------

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
SERVICE = "/containerbuilder.v1.ContainerBuilder/"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _integer(value: int, bits: int) -> bytes:
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([value])
    out, value = [limit], value - limit
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def string(text: bytes) -> bytes:
    return _integer(len(text), 7) + text


def literal(name: bytes, value: bytes, indexed=False) -> bytes:
    return (b"\x40" if indexed else b"\0") + string(name) + string(value)


def call_headers(method: str, extra: bytes = b"", indexed=False) -> bytes:
    """Of a method of SERVICE, or of a whole path. `indexed`: those that follow on the connection may be KNOWN_CALL_HEADERS."""
    path = (method if method.startswith("/") else SERVICE + method).encode()
    return (
        b"\x83\x86"  # :method POST, :scheme http
        + (b"\x44" if indexed else b"\x04")
        + string(path)
        + (b"\x41" if indexed else b"\x01")
        + string(b"localhost")
        + literal(b"content-type", b"application/grpc", indexed)
        + literal(b"te", b"trailers", indexed)
        + extra
    )


# The same headers again, out of HPACK's table.
KNOWN_CALL_HEADERS = b"\x83\x86\xc1\xc0\xbf\xbe"


def message(payload: bytes = b"", compressed: int = 0, length: int | None = None) -> bytes:
    return struct.pack(">BI", compressed, len(payload) if length is None else length) + payload


def field(number: int, payload: bytes) -> bytes:
    """Of a protobuf message: text, bytes or a message."""
    out, length = bytes([number << 3 | 2]), len(payload)
    while length >= 128:
        out += bytes([length % 128 + 128])
        length //= 128
    return out + bytes([length]) + payload


class Peer:
    """A connection; greets unless told not to."""

    def __init__(self, address: str, greet=True, context: ssl.SSLContext | None = None, source: str = ""):
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection(
            (host, int(port)), timeout=20, source_address=(source, 0) if source else None
        )
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self._read = b""
        if greet:
            self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))

    def send(self, data: bytes):
        self.socket.sendall(data)

    def try_send(self, data: bytes) -> bool:
        """False where the connection has ended."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def frames_for(self, seconds: float, until: int | None = None):
        """What comes meanwhile, up to one of that kind or to the end: kinds, flags, streams and payloads."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            while len(self._read) >= 9 and len(self._read) >= 9 + int.from_bytes(self._read[:3], "big"):
                length = int.from_bytes(self._read[:3], "big")
                kind, flags, stream = struct.unpack(">BBI", self._read[3:9])
                payload, self._read = self._read[9 : 9 + length], self._read[9 + length :]
                yield kind, flags, stream, payload
                if kind == until:
                    return
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(1 << 16)
            except TimeoutError:
                return
            if not data:
                return
            self._read += data

    def ended_within(self, seconds: float) -> float | None:
        """Reads until the other side ends the connection; answers how long that took, nothing if it did not."""
        began = time.monotonic()
        while True:
            left = began + seconds - time.monotonic()
            if left <= 0:
                return None
            self.socket.settimeout(left)
            try:
                if not self.socket.recv(1 << 16):
                    return time.monotonic() - began
            except TimeoutError:
                return None
            except OSError:
                return time.monotonic() - began

    def end(self):
        """Also for a thread that reads."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
