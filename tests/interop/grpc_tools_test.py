"""grpcurl and grpc-health-probe, which learn what they need from the service: as operators use them."""

import json
import os
import subprocess

import pytest
from peers import Authority, new_token, token_line

SERVICE = "containerbuilder.v1.ContainerBuilder"


class Target:
    """A daemon with a certificate, and what the tools are to be told about it."""

    def __init__(self, daemon, ca, token: str):
        self.daemon = daemon
        self.token = token
        self.ca = ca

    def grpcurl(self, *arguments, data: str = "", token: str = ""):
        command = ["grpcurl", f"-cacert={self.ca}", "-format-error"]
        command += ["-H", f"authorization: Bearer {token or self.token}"]
        command += ["-d", data] if data else []
        return run([*command, self.daemon.tcp_address, *arguments])

    # Where it is to connect, a busy machine may take a while; where not, it is waited for.
    def probe(self, *arguments, addr: str = "", connects=True):
        times = [f"-connect-timeout={30 if connects else 1}s", "-rpc-timeout=10s"]
        return run(["grpc-health-probe", f"-addr={addr or self.daemon.tcp_address}", *times, *arguments])


def run(command) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        pytest.fail(f"{command[0]} is not on PATH: service/toolchain/install --test builds it", pytrace=False)


@pytest.fixture
def target(start_daemon, fake_nerdctl, folder):
    """With everything that a build needs, played by the fake."""
    (folder / "bin").mkdir()
    for name in ("nerdctl", "buildctl"):
        (folder / "bin" / name).symlink_to(fake_nerdctl)
    authority, token = Authority(folder), new_token()
    server = authority.issue("server", "DNS:localhost,IP:127.0.0.1")
    callers = folder / "callers"
    callers.touch(0o600)
    callers.write_text(token_line("builder", "ci", token))
    daemon = start_daemon(
        *("--health_interval=50ms", "--min_free_bytes=0", "--buildkit_host=unix:///fake.sock"),
        *(f"--tls_cert={server.cert}", f"--tls_key={server.key}", f"--callers_file={callers}"),
        env={**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"},
    )
    return Target(daemon, authority.cert, token)


# --- grpcurl ---------------------------------------------------------------------------------------------------------


def test_grpcurl_lists_and_describes(target):
    listed = target.grpcurl("list")
    assert listed.returncode == 0, listed
    assert {SERVICE, "grpc.health.v1.Health"} <= set(listed.stdout.split())
    assert f"{SERVICE}.WatchBuild" in target.grpcurl("list", SERVICE).stdout.split()
    described = target.grpcurl("describe", f"{SERVICE}.UploadBlobs").stdout
    assert "rpc UploadBlobs ( stream .containerbuilder.v1.UploadBlobsRequest )" in described


def test_grpcurl_calls_with_json(target):
    request = {"options": {"context_path": "/src", "build_arg": {"pairs": {"pairs": [{"key": "A", "value": "1"}]}}}}
    answer = target.grpcurl(f"{SERVICE}/ConstructArgs", data=json.dumps(request))
    assert answer.returncode == 0, answer
    assert json.loads(answer.stdout)["args"] == ["--build-arg", "A=1", "/src"]
    health = target.grpcurl(f"{SERVICE}/Health")
    assert health.returncode == 0, health
    assert json.loads(health.stdout)["nerdctl_version"] == "1.7.7"


def test_grpcurl_knows_the_standard_health_service(target):
    described = target.grpcurl("describe", "grpc.health.v1.Health")
    assert described.returncode == 0, described
    for rpc in (
        "Check ( .grpc.health.v1.HealthCheckRequest ) returns ( .grpc.health.v1.HealthCheckResponse )",
        "Watch ( .grpc.health.v1.HealthCheckRequest ) returns ( stream .grpc.health.v1.HealthCheckResponse )",
    ):
        assert f"rpc {rpc};" in described.stdout
    assert target.grpcurl("list", "grpc.health.v1.Health").stdout.split() == [
        "grpc.health.v1.Health.Check",
        "grpc.health.v1.Health.Watch",
    ]
    for service in ("", SERVICE):
        answer = target.grpcurl("grpc.health.v1.Health/Check", data=json.dumps({"service": service}))
        assert answer.returncode == 0, answer
        assert json.loads(answer.stdout) == {"status": "SERVING"}
    assert target.grpcurl("grpc.health.v1.Health/Check", data='{"service": "other"}').returncode == 64 + 5


def test_grpcurl_shows_the_details_of_an_error(target):
    answer = target.grpcurl(f"{SERVICE}/Build", data='{"spec": {"options": {"context_path": "/etc"}}}')
    # 64 and the code.
    assert answer.returncode == 64 + 7, answer
    details = details_of(answer)
    info = details["ErrorInfo"]
    assert (info["domain"], info["reason"]) == ("containerbuilder.v1", "PATH_NOT_ALLOWED")
    assert info["metadata"]["setting"] == "--read_roots"
    (violation,) = details["BadRequest"]["field_violations"]
    assert violation["field"] == "spec.options.context_path" and violation["description"]
    answer = target.grpcurl(f"{SERVICE}/GetBuild", data='{"name": "builds/none"}')
    assert answer.returncode == 64 + 5, answer
    assert details_of(answer)["ResourceInfo"]["resource_type"] == "containerbuilder.v1/Build"


@pytest.mark.parametrize(
    "name", ["ErrorInfo", "BadRequest", "PreconditionFailure", "QuotaFailure", "RetryInfo", "ResourceInfo"]
)
def test_grpcurl_describes_the_details(target, name):
    described = target.grpcurl("describe", f"google.rpc.{name}")
    assert described.returncode == 0 and f"message {name} " in described.stdout, described


def details_of(answer) -> dict:
    """By the message's name in google.rpc."""
    details = json.loads(answer.stderr)["details"]
    return {detail["@type"].removeprefix("type.googleapis.com/google.rpc."): detail for detail in details}


def test_grpcurl_with_a_wrong_token(target):
    answer = target.grpcurl(f"{SERVICE}/Health", token=new_token())
    assert answer.returncode == 64 + 16, answer
    assert details_of(answer)["ErrorInfo"]["reason"] == "TOKEN_INVALID"


# --- grpc-health-probe -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["", SERVICE])
def test_probe_is_content_with_a_healthy_service(target, service):
    """Without a token: whoever can connect may ask."""
    answer = target.probe("-tls", f"-tls-ca-cert={target.ca}", f"-service={service}")
    assert answer.returncode == 0 and "status: SERVING" in answer.stderr, answer
    # As a systemd unit or a neighbour on the same machine has it.
    answer = target.probe(f"-service={service}", addr=target.daemon.address)
    assert answer.returncode == 0, answer


def test_probe_tells_what_is_wrong_by_its_exit_code(start_daemon, fake_nerdctl, folder, target):
    # Nobody, or nobody who can be trusted: 2. No such service: 3. Not serving: 4.
    assert target.probe(addr=f"unix://{folder}/nobody.sock", connects=False).returncode == 2
    assert target.probe(connects=False).returncode == 2, "without TLS"
    assert target.probe("-tls", connects=False).returncode == 2, "with an authority that the machine does not know"
    assert target.probe("-service=other", addr=target.daemon.address).returncode == 3
    ill = start_daemon(f"--nerdctl={fake_nerdctl}", f"--buildkit_host=unix://{folder}/nobody.sock")
    answer = target.probe(addr=ill.address)
    assert answer.returncode == 4 and "NOT_SERVING" in answer.stderr, answer
