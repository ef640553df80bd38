"""Each language's example and the service in network namespaces of their own, and with no folder that both see: as on
two machines.

EXAMPLES has the examples, made by tests/polyglot/build_example.
"""

import base64
import hashlib
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from machines import PORT, SERVER, checked, namespaces  # noqa: F401 a fixture
from peers import Authority, new_token, token_line
from push_test import PASSWORD, USER, registry  # noqa: F401 a fixture

SECRET = "secret-value-1"


@pytest.fixture
def authority(folder):
    return Authority(folder)


@pytest.fixture
def token(namespaces, authority, daemon_in, folder):
    """That of a builder, at a daemon in the server's namespace."""
    server = authority.issue("server", f"IP:{SERVER}")
    token, callers, home = new_token(), folder / "callers", folder / "server"
    callers.touch(0o600)
    callers.write_text(token_line("builder", "ci", token))
    home.mkdir()
    flags = [
        f"--containerd_address={os.environ['CONTAINERD_ADDRESS']}",
        f"--buildkit_host={os.environ['BUILDKIT_HOST']}",
        f"--listen=unix://{home}/daemon.sock,{SERVER}:{PORT}",
        *(f"--tls_cert={server.cert}", f"--tls_key={server.key}", f"--callers_file={callers}"),
    ]
    daemon = daemon_in(home, flags, wrapper=("ip", "netns", "exec", namespaces[0]))
    yield token
    code = daemon.stop()
    print(daemon.log.read_text(errors="replace"))
    assert code == 0


@pytest.fixture
def client_files(namespaces, folder):
    """A folder whose files are on the client's machine alone, and how to run a command there."""
    here = folder / "client"
    here.mkdir()
    mount = f'mount -t tmpfs tmpfs "{here}" && echo ready && exec cat'
    process = subprocess.Popen(
        ["ip", "netns", "exec", namespaces[1], "unshare", "--mount", "sh", "-c", mount],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"ready\n"
    enter = ["nsenter", "--target", str(process.pid), "--mount", "--net"]
    enter += ["sh", "-c", f'cd "{here}" && exec "$@"', "sh"]
    yield Path(f"/proc/{process.pid}/root{here}"), enter
    process.stdin.close()
    process.stdout.close()
    process.wait(10)


@pytest.fixture
def base_image(registry, folder, context):  # noqa: F811
    """An image that the registry gives to USER alone."""
    name = f"{registry}/base:1.0"
    config = folder / "docker"
    config.mkdir()
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (config / "config.json").write_text(json.dumps({"auths": {registry: {"auth": auth}}}))
    path = context(name="base")
    checked(
        *("buildctl", "build", "--frontend=dockerfile.v0", f"--local=context={path}", f"--local=dockerfile={path}"),
        f"--output=type=image,name={name},push=true",
        env={**os.environ, "DOCKER_CONFIG": str(config)},
    )
    return name


@pytest.mark.parametrize("language", ["python", "go", "node", "java"])
@pytest.mark.parametrize("registry", ["login"], indirect=True)
def test_a_build_with_all_that_it_needs(
    language, token, authority, client_files, base_image, marker, registry  # noqa: F811
):
    files, enter = client_files
    context = files / "context"
    (context / "sub").mkdir(parents=True)
    (context / "sub" / "file").write_text("one")
    (context / "left-out").write_text("")
    (context / ".dockerignore").write_text("left-out\n")
    (context / "Dockerfile").write_text(
        f"FROM {base_image}\nENV MARKER={marker}-again\nCOPY . /context\n"
        f'RUN --mount=type=secret,id=token test "$(busybox cat /run/secrets/token)" = {SECRET}\n'
        "RUN test ! -e /context/left-out && echo built $(busybox cat /context/sub/file)\n"
    )
    (files / "ca.crt").write_bytes(authority.cert.read_bytes())
    program = Path(os.environ["EXAMPLES"]) / language / "example"
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        **{"CONTAINER_BUILDER_TOKEN": token, "SECRET_TOKEN": SECRET},
        **{"REGISTRY_HOST": registry, "REGISTRY_USER": USER, "REGISTRY_PASSWORD": PASSWORD},
    }

    def export() -> tuple[list[dict], str]:
        command = [program, f"--address={SERVER}:{PORT}", "--ca=ca.crt", "export", "context", "example", "image.tar"]
        result = subprocess.run([*enter, *command], env=environment, capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        return lines, "".join(line.get("text", "") for line in lines)

    lines, output = export()
    assert "built one" in output and SECRET not in output and PASSWORD not in output
    image = (files / "image.tar").read_bytes()
    assert lines[-1] == {
        "file": "image.tar",
        "size_bytes": len(image),
        "digest": "sha256:" + hashlib.sha256(image).hexdigest(),
    }
    with tarfile.open(files / "image.tar") as archive:
        assert "index.json" in archive.getnames()

    (context / "sub" / "file").write_text("two")
    lines, output = export()
    assert "built two" in output
    # It, and the two folders above it.
    assert lines[0]["uploaded_blobs"] == 3
