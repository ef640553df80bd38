#!/usr/bin/env python3
"""Builds an image with ContainerBuilder and prints nerdctl's output as it comes.

    python3 -m venv venv
    venv/bin/pip install grpcio grpcio-tools
    venv/bin/python -m grpc_tools.protoc -I proto --python_out=venv --grpc_python_out=venv \\
        proto/containerbuilder/v1/container_builder.proto
    PYTHONPATH=venv venv/bin/python client/examples/python/build_image.py \\
        unix:///run/containerbuilder.sock /path/to/context example:latest

The path is one on the service's machine. An address is unix:///PATH or HOST:PORT.
"""

import sys

import grpc
from containerbuilder.v1 import container_builder_pb2 as pb
from containerbuilder.v1 import container_builder_pb2_grpc as pb_grpc


def build_image(address: str, context: str, tag: str) -> int:
    # A proxy would see all that is not encrypted.
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        builder = pb_grpc.ContainerBuilderStub(channel)

        health = builder.Health(pb.HealthRequest(), timeout=30)
        for check in health.checks:
            if check.state == pb.HealthCheck.STATE_FAILED:
                print(f"{check.name}: {check.message} {check.hint}", file=sys.stderr)

        options = pb.BuildOptions(context_path=context)
        options.options.add(name="tag").value.values.values.append(tag)
        answer = builder.ConstructArgs(pb.ConstructArgsRequest(options=options))
        print(answer.command_line, file=sys.stderr, flush=True)

        build = None
        for response in builder.Build(pb.BuildRequest(spec=pb.BuildSpec(options=options))):
            event = response.event
            if event.HasField("output"):
                is_stdout = event.output.stream == pb.BuildOutput.STREAM_STDOUT
                pipe = sys.stdout.buffer if is_stdout else sys.stderr.buffer
                pipe.write(event.output.data)
                pipe.flush()
            elif event.HasField("finished"):
                build = event.finished.build

    if build is None:
        print("the stream ended early: how the build went is not known", file=sys.stderr)
        return 1
    if build.state == pb.Build.STATE_SUCCEEDED:
        return 0
    print(f"{pb.Build.State.Name(build.state)}: {build.failure.message}", file=sys.stderr)
    return build.exit_code or 1


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(f"usage: {sys.argv[0]} ADDRESS CONTEXT TAG")
    try:
        sys.exit(build_image(*sys.argv[1:]))
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
