"""Pushes to registries of our own on loopback, and pulls from them."""

import base64
import contextlib
import http.server
import json
import os
import re
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from containerbuilder.v1 import container_builder_pb2 as pb

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def get(url: str, **headers) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return answer.read()


# What `htpasswd -B` makes of USER and PASSWORD.
USER, PASSWORD = "me", "passport-b9719d911017"
HTPASSWD = f"{USER}:$2y$05$abcdefghijklmnopqrstuu4UHHRmL9kGRGQN15t2gsB6YwL.3xL8C\n"


@pytest.fixture
def registry(request, eventually, folder):
    """Debian's docker-registry; answers the address that image names begin with.

    With the parameter "login" it serves USER alone.
    """
    port = free_port()
    home = folder / "registry"
    home.mkdir()
    # JSON is YAML, too.
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(home / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if getattr(request, "param", "") == "login":
        (home / "htpasswd").write_text(HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(home / "htpasswd")}}
    (home / "config.yml").write_text(json.dumps(config))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
    with open(home / "log", "wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", home / "config.yml"], env=environment, stdout=log, stderr=subprocess.STDOUT
        )

    def answers():
        assert process.poll() is None, (home / "log").read_text()
        try:
            return get(f"http://127.0.0.1:{port}/v2/") == b"{}"
        except urllib.error.HTTPError as error:
            return error.code == 401
        except urllib.error.URLError:
            return False

    try:
        eventually(answers, "the registry answers")
        # BuildKit speaks plain HTTP to loopback without being told.
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def test_push(cli, context, registry):
    name = f"{registry}/pushed"
    path = context("RUN echo pushed > /file", "LABEL title=pushed")
    result = cli("build", "-t", f"{name}:1.0", "--output", "type=image,push=true", path)
    try:
        pushed = re.search(r"pushing manifest for \S+@(sha256:[0-9a-f]{64})", result.stderr)[1]
        manifest = json.loads(get(f"http://{registry}/v2/pushed/manifests/1.0", Accept=MANIFEST))
        assert manifest == json.loads(get(f"http://{registry}/v2/pushed/manifests/{pushed}", Accept=MANIFEST))
        assert manifest["mediaType"] == MANIFEST
        assert len(manifest["layers"]) == 2
        config = json.loads(get(f"http://{registry}/v2/pushed/blobs/{manifest['config']['digest']}"))
        assert config["config"]["Labels"]["title"] == "pushed"
    finally:
        subprocess.run(["nerdctl", "rmi", "--force", f"{name}:1.0"], capture_output=True, timeout=60)


def test_push_that_fails(start_call, context):
    nobody = f"127.0.0.1:{free_port()}"
    name = f"{nobody}/pushed:1.0"
    try:
        build = start_call(context(), tag=[name], output=["type=image,push=true"]).finished()
        assert build.state == pb.Build.STATE_FAILED
        assert build.failure.reason == "PUSH_FAILED", build
    finally:
        subprocess.run(["nerdctl", "rmi", "--force", name], capture_output=True, timeout=60)


@pytest.mark.parametrize("registry", ["login"], indirect=True)
@pytest.mark.parametrize("password", [PASSWORD, "another"])
def test_push_with_credentials_by_value(start_call, context, registry, password):
    name = f"{registry}/pushed:1.0"
    auth = pb.RegistryAuth(host=registry, username=USER, password=password)
    spec = pb.BuildSpec(registry_auths=[auth])
    call = start_call(context(), spec=spec, tag=[name], output=["type=image,push=true"])
    try:
        build = call.finished()
        if password == PASSWORD:
            assert build.state == pb.Build.STATE_SUCCEEDED, call.output
            token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            url = f"http://{registry}/v2/pushed/manifests/1.0"
            assert json.loads(get(url, Accept=MANIFEST, Authorization=f"Basic {token}"))["layers"]
        else:
            assert build.failure.reason == "PUSH_FAILED", build
    finally:
        subprocess.run(["nerdctl", "rmi", "--force", name], capture_output=True, timeout=60)


@contextlib.contextmanager
def serving(answer):
    """A web server; `answer` is called with each request's handler. Yields its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            answer(self)

        do_HEAD = do_POST = do_GET

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def owner_of(port: int) -> str:
    """The program that has this port of loopback for its end of a connection."""
    ends = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inode = next(end[9] for end in ends if end[1] == f"0100007F:{port:04X}")
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # It ended meanwhile.
            for number in os.listdir(process / "fd"):
                if target(process / "fd" / number) == f"socket:[{inode}]":
                    return (process / "comm").read_text().strip()
    return "nobody"


def target(link: Path) -> str:
    try:
        return os.readlink(link)
    except FileNotFoundError:  # It was closed meanwhile.
        return ""


@pytest.mark.parametrize("has_login", [False, True])
def test_tokens_are_buildkitds_to_fetch(start_call, context, has_login):
    """A registry may send whoever asks it for an image to any URL: not into the service's network."""
    asked, logins = set(), set()

    def give_token(handler):
        asked.add(owner_of(handler.client_address[1]))
        logins.add(handler.headers.get("Authorization"))
        body = b'{"token": "x"}'
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def demand_token(handler):
        has_token = "Authorization" in handler.headers
        handler.send_response(404 if has_token else 401)
        if not has_token:
            handler.send_header("WWW-Authenticate", f'Bearer realm="http://{tokens}/token",service="x"')
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with serving(give_token) as tokens, serving(demand_token) as registry:
        spec = pb.BuildSpec()
        if has_login:
            spec.registry_auths.add(host=registry, username=USER, password=PASSWORD)
        build = start_call(context(base=f"FROM {registry}/evil\n"), spec=spec).finished()
    assert build.state == pb.Build.STATE_FAILED
    assert asked == {"buildkitd"}
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert logins == {f"Basic {login}" if has_login else None}
