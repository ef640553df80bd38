"""Certificates made for a test, and peers that speak HTTP/2 by hand, as badly as the test wants."""

import hashlib
import os
import secrets
import socket
import ssl
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import grpc
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


# --- HTTP/2 by hand --------------------------------------------------------------------------------------------------

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
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


def literal(name: bytes, value: bytes) -> bytes:
    return b"\0" + string(name) + string(value)


def call_headers(method: str, extra: bytes = b"") -> bytes:
    path = (SERVICE + method).encode()
    return (
        b"\x83\x86"  # :method POST, :scheme http
        + b"\x04"
        + string(path)
        + b"\x01"
        + string(b"localhost")
        + literal(b"content-type", b"application/grpc")
        + literal(b"te", b"trailers")
        + extra
    )


def message(payload: bytes = b"", compressed: int = 0, length: int | None = None) -> bytes:
    return struct.pack(">BI", compressed, len(payload) if length is None else length) + payload


class Peer:
    """A connection; greets unless told not to."""

    def __init__(self, address: str, greet=True, context: ssl.SSLContext | None = None, source: str = ""):
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection(
            (host, int(port)), timeout=20, source_address=(source, 0) if source else None
        )
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
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


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
