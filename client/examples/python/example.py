#!/usr/bin/env python3
"""ContainerBuilder from Python, with the package in client/python; ../README.md tells what the commands do.

    python3 -m venv venv
    venv/bin/pip install ./client/python
    venv/bin/python client/examples/python/example.py --address=unix:///run/cb.sock build /srv/app app:dev
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from containerbuilder import DEFAULT_ADDRESS, Client, ContainerBuilderError, Tls, build_options
from containerbuilder.v1 import container_builder_pb2 as pb


def show(**line: object) -> None:
    print(json.dumps(line), flush=True)


def show_event(event: pb.BuildEvent) -> None:
    kind = event.WhichOneof("event")
    line: dict[str, object] = {"sequence": event.sequence, "event": kind}
    if kind == "output":
        line["stream"] = pb.BuildOutput.Stream.Name(event.output.stream)
        # The bytes are nerdctl's, unchanged, and may end within a character. Write them as they are to keep them so.
        line["text"] = event.output.data.decode(errors="replace")
    elif kind == "finished":
        build = event.finished.build
        line["state"] = pb.Build.State.Name(build.state)
        line["exit_code"] = build.exit_code
        line["reason"] = build.failure.reason
    show(**line)


def succeeded(build: pb.Build) -> bool:
    return build.state == pb.Build.STATE_SUCCEEDED


def follow(events: Iterable[pb.BuildEvent]) -> pb.Build:
    """Shows events as they come; answers the build as it ended. A lost connection is joined again by the package."""
    for event in events:
        show_event(event)
    return event.finished.build


def spec_of(context: str, tag: str) -> pb.BuildSpec:
    return pb.BuildSpec(options=build_options(context, tag=tag))


def health(client: Client) -> bool:
    answer = client.health()
    checks = {check.name: pb.HealthCheck.State.Name(check.state) for check in answer.checks}
    show(state=pb.HealthResponse.State.Name(answer.state), nerdctl_version=answer.nerdctl_version, checks=checks)
    return True


def args(client: Client, context: str, tag: str) -> bool:
    options = build_options(context, build_arg={"VERSION": "1.0"}, tag=tag, no_cache=True)
    show(args=list(client.construct_args(options).args))
    return True


def build(client: Client, context: str, tag: str) -> bool:
    return succeeded(follow(client.build(spec_of(context, tag))))


def uploaded(client: Client, folder: str, tag: str) -> pb.BuildSpec:
    """What to build of a folder of this machine, once it is sent."""
    sent = client.upload(folder)
    show(
        context_digest=sent.digest,
        blobs=sent.blobs,
        uploaded_blobs=sent.uploaded_blobs,
        uploaded_bytes=sent.uploaded_bytes,
    )
    # The context's path is one inside the upload now, "" its root.
    spec = spec_of("", tag)
    spec.context_digest = sent.digest
    return spec


def upload(client: Client, folder: str, tag: str) -> bool:
    return succeeded(follow(client.build(uploaded(client, folder, tag))))


def export(client: Client, folder: str, tag: str, file: str) -> bool:
    spec = uploaded(client, folder, tag)
    # Values, which the service keeps in memory while the build runs: of this machine's files it knows nothing.
    spec.secrets.add(id="token", value=os.environb[b"SECRET_TOKEN"])
    spec.registry_auths.add(
        host=os.environ["REGISTRY_HOST"],
        username=os.environ["REGISTRY_USER"],
        password=os.environ["REGISTRY_PASSWORD"],
    )
    # The file is written here, not there.
    spec.options.output.CopyFrom(build_options(output={"type": "oci", "dest": file}).output)
    build = follow(client.build(spec))
    for artifact in build.artifacts:  # one, of the one output
        with open(file, "wb") as out:
            out.writelines(client.download(artifact))
        show(file=file, size_bytes=artifact.size_bytes, digest=artifact.digest)
    return succeeded(build)


def detach(client: Client, context: str, tag: str) -> bool:
    # The build is the service's own now: it needs nobody who watches.
    name = client.create_build(spec_of(context, tag)).name
    for event in client.watch(name):
        show_event(event)
        if event.HasField("output"):
            break
    show(dropped_at=event.sequence)
    # Later, maybe from another machine: with the name and the last sequence nothing is missed or repeated.
    return succeeded(follow(client.watch(name, after_sequence=event.sequence)))


def cancel(client: Client, context: str, tag: str) -> bool:
    name = client.create_build(spec_of(context, tag)).name
    events = client.watch(name)
    for event in events:
        show_event(event)
        if event.HasField("output"):
            break
    # Answers when nothing of the build runs any more; its watchers see `finished`.
    client.cancel_build(name)
    return succeeded(follow(events))


COMMANDS = {f.__name__: f for f in (args, build, upload, detach, cancel)}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", default=DEFAULT_ADDRESS, help="unix:///PATH or HOST:PORT")
    parser.add_argument("--ca", type=Path, help="use TLS; PEM of the authority that signed the service's certificate")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("health")
    for name in [*COMMANDS, "export"]:
        command = commands.add_parser(name)
        command.add_argument("context")
        command.add_argument("tag")
        if name == "export":
            command.add_argument("file")
    arguments = parser.parse_args()

    tls = Tls(root_certificates=arguments.ca.read_bytes()) if arguments.ca else None
    # From the environment: arguments are there for every user of the machine to see.
    with Client(arguments.address, tls=tls, token=os.environ.get("CONTAINER_BUILDER_TOKEN", "")) as client:
        try:
            if arguments.command == "health":
                done = health(client)
            elif arguments.command == "export":
                done = export(client, arguments.context, arguments.tag, arguments.file)
            else:
                done = COMMANDS[arguments.command](client, arguments.context, arguments.tag)
        except ContainerBuilderError as error:
            fields = [violation.field for violation in error.field_violations]
            show(code=error.code.name, reason=error.reason, metadata=error.metadata, fields=fields)
            return 1
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
