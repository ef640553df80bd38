"""Where a service is and how to be known to it."""

import ipaddress
import json
from dataclasses import dataclass
from typing import Any

import grpc

DEFAULT_ADDRESS = "unix:///run/container-builder/container-builder.sock"

Metadata = tuple[tuple[str, str], ...]

_SERVICE = "containerbuilder.v1.ContainerBuilder"
# gRPC itself repeats calls that may be repeated and did not reach the service.
_REPEATABLE = ("Health", "ConstructArgs", "GetBuild", "ListBuilds", "CancelBuild", "FindMissingBlobs")
_RETRY_POLICY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
_METHODS = {"name": [{"service": _SERVICE, "method": method} for method in _REPEATABLE], "retryPolicy": _RETRY_POLICY}
CHANNEL_OPTIONS: list[tuple[str, Any]] = [
    # A page of ListBuilds may be larger than gRPC's default of 4 MiB.
    ("grpc.max_receive_message_length", -1),
    # A service that is gone without a word is noticed within a minute.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.service_config", json.dumps({"methodConfig": [_METHODS]})),
]


@dataclass(frozen=True)
class Tls:
    """TLS, with the service's certificate checked against its address. All are PEM."""

    #: Authorities, one of which must have signed the service's certificate; None: the machine's own.
    root_certificates: bytes | None = None
    #: The client's certificate and its key, where the service asks for one.
    private_key: bytes | None = None
    certificate_chain: bytes | None = None
    #: The name that the service's certificate must have; empty: that of the address.
    server_name: str = ""

    def credentials(self) -> grpc.ChannelCredentials:
        """As grpc takes them."""
        return grpc.ssl_channel_credentials(self.root_certificates, self.private_key, self.certificate_chain)


def channel_options(tls: Tls | None) -> list[tuple[str, Any]]:
    """For grpc.secure_channel and its like."""
    if tls is None:
        # gRPC goes by the environment's proxy even to loopback, and what is sent in the clear, the token too, would
        # leave this machine.
        return [*CHANNEL_OPTIONS, ("grpc.enable_http_proxy", 0)]
    if tls.server_name:
        return [*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", tls.server_name)]
    return CHANNEL_OPTIONS


def call_metadata(address: str, token: str, tls: Tls | None) -> Metadata:
    """The headers of each call. A token is not sent in the clear to another machine."""
    if not token:
        return ()
    if tls is None and not _is_local(address):
        raise ValueError(f"a token would be sent to {address} in the clear: use tls")
    return (("authorization", f"Bearer {token}"),)


def _is_local(address: str) -> bool:
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
