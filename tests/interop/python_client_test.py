"""A client in another language, with nothing of ours but the .proto: Python's grpcio and its companions."""

import os
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from containerbuilder.v1 import container_builder_pb2 as pb
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

EXAMPLE = Path(__file__).parents[2] / "client" / "examples" / "python" / "build_image.py"
SERVICE = "containerbuilder.v1.ContainerBuilder"
HEALTH = "grpc.health.v1.Health"


@pytest.fixture
def daemon(start_daemon, fake_nerdctl):
    return start_daemon(f"--nerdctl={fake_nerdctl}")


def build_request(context, tag="example:latest") -> pb.BuildRequest:
    request = pb.BuildRequest()
    request.spec.options.context_path = str(context)
    request.spec.options.options.add(name="tag").value.values.values.append(tag)
    return request


def start_example(*arguments) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, EXAMPLE, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_example_prints_output_as_it_comes(start_daemon, fake_nerdctl, context, folder, transport):
    daemon = start_daemon(f"--nerdctl={fake_nerdctl}", f"--read_roots={folder}")
    path = context("stderr first\\n\nwait-file go\nstdout last\\n\ndump-args args\n")
    if transport == "tcp":
        # What an untrusted caller names is used from a copy, or it would not be safe; so its files do not come back.
        (path / "go").touch()
        path_of_args = None
    else:
        path_of_args = path / "args"
    client = start_example(daemon.address if transport == "unix" else daemon.tcp_address, path, "example:latest")
    try:
        shown = b""
        while b"first\n" not in shown:
            chunk = os.read(client.stderr.fileno(), 65536)
            assert chunk, (shown, client.stdout.read())
            shown += chunk
        if transport == "unix":
            assert client.poll() is None, "the build waits for the file, and so does the client"
        assert b" build --tag example:latest " in shown
        (path / "go").touch()
        stdout, stderr = client.communicate(timeout=30)
    finally:
        client.kill()
        client.communicate()
    assert (client.returncode, stdout, stderr) == (0, b"last\n", b"")
    if path_of_args:
        arguments = path_of_args.read_bytes().split(b"\0")[1:-1]
        assert arguments == [b"build", b"--tag", b"example:latest", str(path).encode()]


def test_example_ends_with_the_builds_code(daemon, context):
    client = start_example(daemon.address, context("stderr no\\n\nexit 7\n"), "example:latest")
    stdout, stderr = client.communicate(timeout=30)
    assert (client.returncode, stdout) == (7, b"")
    assert b"no\n" in stderr and b"STATE_FAILED" in stderr


def test_example_tells_why_it_was_refused(daemon, folder):
    client = start_example(daemon.address, folder / "missing", "example:latest")
    stdout, stderr = client.communicate(timeout=30)
    assert (client.returncode, stdout) == (1, b"")
    assert b"INVALID_ARGUMENT" in stderr


def test_events_hold_every_byte_in_order(daemon, context):
    path = context("bytes stdout 700000 1\nbytes stderr 300000 2\nstdout end\nexit 3\n")
    expected_args = daemon.stub.ConstructArgs(pb.ConstructArgsRequest(options=build_request(path).spec.options)).args

    received = {pb.BuildOutput.STREAM_STDOUT: b"", pb.BuildOutput.STREAM_STDERR: b""}
    events = [response.event for response in daemon.stub.Build(build_request(path), timeout=60)]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert len({event.name for event in events}) == 1
    assert events[0].name.startswith("builds/")
    times = [event.event_time.ToNanoseconds() for event in events]
    assert times == sorted(times) and times[0] > 0
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds.count("started") == 1 and kinds.count("finished") == 1 and kinds[-1] == "finished"
    started = events[kinds.index("started")].started
    assert list(started.argv[1:]) == ["build", *expected_args]
    assert started.pid > 0 and started.nerdctl_version == "1.7.7"
    for event in events:
        if event.HasField("output"):
            assert kinds.index("started") < event.sequence - 1
            assert event.output.offset == len(received[event.output.stream])
            assert 0 < len(event.output.data) <= 64 * 1024
            received[event.output.stream] += event.output.data

    assert received[pb.BuildOutput.STREAM_STDOUT] == pseudo_random(700000, 1) + b"end"
    assert received[pb.BuildOutput.STREAM_STDERR] == pseudo_random(300000, 2)
    build = events[-1].finished.build
    assert (build.state, build.exit_code, build.term_signal) == (pb.Build.STATE_FAILED, 3, 0)
    assert (build.stdout_bytes, build.stderr_bytes) == (700003, 300000)
    assert (build.name, build.last_sequence) == (events[0].name, len(events))
    assert build.requester == "local"


def pseudo_random(count: int, x: int) -> bytes:
    """What the fake nerdctl's `bytes` writes."""
    data = bytearray()
    for _ in range(count):
        x = (x * 6364136223846793005 + 1442695040888963407) % 2**64
        data.append(x >> 56)
    return bytes(data)


def test_reflection_describes_the_service(daemon):
    database = ProtoReflectionDescriptorDatabase(daemon.channel())
    assert {SERVICE, HEALTH} <= set(database.get_services())
    described = database.FindFileContainingSymbol(SERVICE)
    assert described.name == "containerbuilder/v1/container_builder.proto"
    compiled = pb.DESCRIPTOR.services_by_name["ContainerBuilder"]
    assert [method.name for method in described.service[0].method] == [method.name for method in compiled.methods]


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_answers_each_question(daemon, version):
    call = daemon.channel().stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )

    def ask(**question):
        request = reflection_pb2.ServerReflectionRequest(host="a host", **question)
        (answer,) = call(iter([request]), timeout=20)
        assert (answer.valid_host, answer.original_request) == ("a host", request)
        return answer

    services = ask(list_services="").list_services_response.service
    assert [service.name for service in services] == [SERVICE, HEALTH]
    files = ask(file_by_filename="containerbuilder/v1/container_builder.proto").file_descriptor_response
    names = [descriptor_pb2.FileDescriptorProto.FromString(file).name for file in files.file_descriptor_proto]
    assert names[0] == "containerbuilder/v1/container_builder.proto"
    assert set(names[1:]) == {f"google/protobuf/{name}.proto" for name in ("duration", "timestamp")}
    message = "google.protobuf.FileOptions"
    extensions = ask(all_extension_numbers_of_type=message).all_extension_numbers_response
    assert extensions.base_type_name == message
    extension = reflection_pb2.ExtensionRequest(containing_type=message, extension_number=999)
    for nothing in (
        {"file_by_filename": "x"},
        {"file_containing_symbol": "x"},
        {"file_containing_extension": extension},
        {"all_extension_numbers_of_type": "x"},
    ):
        assert ask(**nothing).error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert ask().error_response.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


def test_a_method_that_is_not_there(daemon):
    with pytest.raises(grpc.RpcError) as error:
        daemon.channel().unary_unary(f"/{SERVICE}/Nothing", bytes, bytes)(b"", timeout=20)
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("name", ["", SERVICE])
def test_standard_health_agrees_with_ours(start_daemon, fake_nerdctl, folder, name):
    daemon = start_daemon(
        f"--nerdctl={fake_nerdctl}",
        f"--buildkit_host=unix://{folder}/nobody.sock",
        "--health_interval=100ms",
    )
    answer = daemon.stub.Health(pb.HealthRequest())
    assert [check.name for check in answer.checks] == [
        *("platform", "docker_buildkit", "nerdctl", "buildkit", "buildkitd", "containerd", "disk", "queue")
    ]
    states = {check.name: check.state for check in answer.checks}
    assert states["platform"] == states["nerdctl"] == states["disk"] == pb.HealthCheck.STATE_OK, answer
    assert states["buildkitd"] == pb.HealthCheck.STATE_FAILED, answer
    assert all(check.hint for check in answer.checks if check.state == pb.HealthCheck.STATE_FAILED)
    assert answer.state == pb.HealthResponse.STATE_UNHEALTHY
    assert answer.buildkit_support and answer.nerdctl_version == "1.7.7"

    health = health_pb2_grpc.HealthStub(daemon.channel())
    request = health_pb2.HealthCheckRequest(service=name)
    not_serving = health_pb2.HealthCheckResponse.NOT_SERVING
    assert health.Check(request).status == not_serving
    watch = health.Watch(request, timeout=20)
    assert next(watch).status == not_serving
    watch.cancel()


def test_standard_health_does_not_know_others(daemon):
    health = health_pb2_grpc.HealthStub(daemon.channel())
    with pytest.raises(grpc.RpcError) as error:
        health.Check(health_pb2.HealthCheckRequest(service="containerbuilder.v2.ContainerBuilder"))
    assert error.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_large_request_is_taken(daemon):
    values = ["x" * 1000] * 6000
    request = pb.ConstructArgsRequest()
    request.options.label.values.values.extend(values)
    answer = daemon.stub.ConstructArgs(request, timeout=60)
    assert list(answer.args[1::2]) == values


def test_a_request_over_the_limit_is_refused(daemon):
    request = pb.ConstructArgsRequest()
    request.options.label.values.values.append("x" * (9 << 20))
    with pytest.raises(grpc.RpcError) as error:
        daemon.stub.ConstructArgs(request, timeout=60)
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    # The service goes on.
    assert list(daemon.stub.ConstructArgs(pb.ConstructArgsRequest()).args) == ["."]


def test_cancelled_call_ends_the_build(daemon, eventually, context):
    path = context("pid pids\nstderr up\\n\nsleep 60\n")
    call = daemon.stub.Build(build_request(path))
    for response in call:
        if response.event.HasField("output"):
            break
    call.cancel()
    pids = (path / "pids").read_text().split()
    eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "the fake nerdctl is gone")
    assert list(daemon.stub.ConstructArgs(pb.ConstructArgsRequest()).args) == ["."]
