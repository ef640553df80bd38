"""The example program of one language, EXAMPLE: what it prints in each scenario. Those of all languages are run through
these same scenarios, so they behave alike. client/examples/README.md says what the commands do."""

import hashlib
import json
import os
import queue
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import required
from containerbuilder.v1 import container_builder_pb2 as pb
from peers import Authority, bearer, new_token, stub_of, tls_channel, token_line

TAG = "example:latest"


class Example:
    """A running example, whose lines are read as they come."""

    SECONDS = 60

    def __init__(self, arguments, env):
        command = [required("EXAMPLE"), *map(str, arguments)]
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines = []
        self._queue = queue.Queue()
        self._stderr = []
        self._threads = [
            threading.Thread(target=self._read_lines, daemon=True),
            threading.Thread(target=lambda: self._stderr.append(self.process.stderr.read()), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _read_lines(self):
        for line in self.process.stdout:
            self._queue.put(line)
        self._queue.put("")

    def next_line(self) -> dict | None:
        """None at the end."""
        try:
            line = self._queue.get(timeout=self.SECONDS)
        except queue.Empty:
            pytest.fail(f"no further line after {self.lines}")
        if not line:
            return None
        self.lines.append(json.loads(line))
        return self.lines[-1]

    def until(self, condition) -> dict:
        """Reads lines up to the first for which that holds."""
        while (line := self.next_line()) is not None:
            if condition(line):
                return line
        pytest.fail(f"not among the lines: {self.lines}\n{self.end()}")

    def end(self) -> tuple[int, list[dict]]:
        """Reads the rest; answers the exit code and all lines."""
        while self.next_line() is not None:
            pass
        code = self.process.wait(self.SECONDS)
        for thread in self._threads:
            thread.join(self.SECONDS)
        # What a user of the example would have seen, where the test fails.
        print(f"--- {self.process.args}\n{self.lines}\n{''.join(self._stderr)}")
        return code, self.lines

    def close(self):
        self.process.kill()
        self.process.wait()


@dataclass
class Service:
    """A daemon and how an example reaches it."""

    arguments: list
    stub: object
    metadata: tuple = ()
    token: str = ""
    examples: list = field(default_factory=list)

    def start(self, *arguments, token: str | None = None, **variables: str) -> Example:
        env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "CONTAINER_BUILDER_TOKEN")}
        if token or self.token:
            env["CONTAINER_BUILDER_TOKEN"] = token or self.token
        env.update(variables)
        self.examples.append(Example([*self.arguments, *arguments], env))
        return self.examples[-1]

    def run(self, *arguments, **kwargs) -> tuple[int, list[dict]]:
        return self.start(*arguments, **kwargs).end()


@pytest.fixture
def over_unix(start_daemon, fake_nerdctl, folder):
    daemon = start_daemon(f"--nerdctl={fake_nerdctl}", f"--buildkit_host=unix://{folder}/nobody.sock")
    service = Service([f"--address={daemon.address}"], daemon.stub)
    yield service
    for example in service.examples:
        example.close()


@pytest.fixture
def over_tls(start_daemon, fake_nerdctl, folder):
    authority = Authority(folder)
    server = authority.issue("server", "DNS:localhost,IP:127.0.0.1")
    token = new_token()
    callers = folder / "callers"
    callers.touch(0o600)
    callers.write_text(token_line("builder", "ci", token))
    daemon = start_daemon(
        *(f"--nerdctl={fake_nerdctl}", f"--buildkit_host=unix://{folder}/nobody.sock", f"--read_roots={folder}"),
        *(f"--tls_cert={server.cert}", f"--tls_key={server.key}", f"--callers_file={callers}"),
    )
    with tls_channel(daemon.tcp_address, authority.cert) as channel:
        arguments = [f"--address={daemon.tcp_address}", f"--ca={authority.cert}"]
        service = Service(arguments, stub_of(channel, token), bearer(token), token)
        yield service
        for example in service.examples:
            example.close()


@pytest.fixture(params=["unix", "tls"])
def service(request) -> Service:
    return request.getfixturevalue(f"over_{request.param}")


def folded(lines: list[dict]) -> tuple[dict[str, str], dict]:
    """What a build printed, and its end. How nerdctl's bytes are cut into events is not the example's."""
    assert [line["sequence"] for line in lines] == list(range(1, len(lines) + 1)), "each event once and in order"
    assert all(set(line) == {"sequence", "event"} for line in lines if line["event"] not in ("output", "finished"))
    output = {"STREAM_STDOUT": "", "STREAM_STDERR": ""}
    for line in lines:
        if line["event"] == "output":
            assert set(line) == {"sequence", "event", "stream", "text"}
            output[line["stream"]] += line["text"]
    return output, {k: v for k, v in lines[-1].items() if k != "sequence"}


def finished(state: str, exit_code: int = 0, reason: str = "") -> dict:
    return {"event": "finished", "state": state, "exit_code": exit_code, "reason": reason}


# --- Calls that answer once ------------------------------------------------------------------------------------------


def test_health(service):
    answer = service.stub.Health(pb.HealthRequest(), timeout=20)
    checks = {check.name: pb.HealthCheck.State.Name(check.state) for check in answer.checks}
    assert checks["nerdctl"] == "STATE_OK" and "STATE_FAILED" in checks.values()
    assert service.run("health") == (
        0,
        [{"state": "STATE_UNHEALTHY", "nerdctl_version": "1.7.7", "checks": checks}],
    )


def test_args(service):
    assert service.run("args", "/src/app", TAG) == (
        0,
        [{"args": ["--build-arg", "VERSION=1.0", "--tag", TAG, "--no-cache", "/src/app"]}],
    )


# --- Builds ----------------------------------------------------------------------------------------------------------


def test_output_comes_while_the_build_runs(service, context, folder):
    path = context(f"stderr first \u00e9\\n\nwait-file {folder}/go\nstdout last\\n\n")
    example = service.start("build", path, TAG)
    shown = ""
    while "first \u00e9\n" not in shown:
        shown += example.until(lambda line: line["event"] == "output")["text"]
    # The build waits for that file, so all of this was said while it ran.
    (folder / "go").touch()
    code, lines = example.end()
    assert code == 0
    output, end = folded(lines)
    assert output == {"STREAM_STDOUT": "last\n", "STREAM_STDERR": "first \u00e9\n"}
    assert end == finished("STATE_SUCCEEDED")


def test_a_build_that_fails(service, context):
    code, lines = service.run("build", context("stderr no\\n\nexit 7\n"), TAG)
    assert code == 1
    output, end = folded(lines)
    assert output["STREAM_STDERR"] == "no\n"
    assert end == finished("STATE_FAILED", 7, "UNKNOWN")


def test_detached_and_joined_again(service, context, folder):
    path = context(f"lines stderr 50\nstderr first\\n\nwait-file {folder}/go\nlines stdout 50\n")
    example = service.start("detach", path, TAG)
    dropped = example.until(lambda line: "dropped_at" in line)
    before = len(example.lines) - 1
    assert dropped == {"dropped_at": before} and example.lines[before - 1]["event"] == "output"
    (folder / "go").touch()
    code, lines = example.end()
    assert code == 0
    output, end = folded([line for line in lines if line is not dropped])
    numbered = "".join(f"line {n}\n" for n in range(1, 51))
    assert output == {"STREAM_STDOUT": numbered, "STREAM_STDERR": numbered + "first\n"}
    assert end == finished("STATE_SUCCEEDED")


def test_cancelled(service, context, folder, eventually):
    path = context(f"pid {folder}/pids\nstderr up\\n\nwait-file {folder}/never\n")
    code, lines = service.run("cancel", path, TAG)
    assert code == 1
    output, end = folded(lines)
    assert output == {"STREAM_STDOUT": "", "STREAM_STDERR": "up\n"}
    assert end == finished("STATE_CANCELLED", 0, "CANCELLED_BY_CALLER")
    pids = (folder / "pids").read_text().split()
    assert pids and not any(os.path.exists(f"/proc/{pid}") for pid in pids)


# --- Uploads ---------------------------------------------------------------------------------------------------------


def digest_of(folder: Path) -> pb.BlobDigest:
    """Written apart from the package: what all languages must come to."""
    directory = pb.Directory()
    for path in sorted(folder.iterdir(), key=lambda path: os.fsencode(path.name)):
        status, name = path.lstat(), os.fsencode(path.name)
        if path.is_symlink():
            entry = directory.symlinks.add(name=name, target=os.fsencode(os.readlink(path)))
        elif path.is_dir():
            entry = directory.directories.add(name=name, blob=digest_of(path), mode=status.st_mode & 0o777)
        else:
            entry = directory.files.add(name=name, blob=blob_of(path.read_bytes()), mode=status.st_mode & 0o777)
        entry.modify_time.FromNanoseconds(status.st_mtime_ns)
    return blob_of(directory.SerializeToString())


def blob_of(content: bytes) -> pb.BlobDigest:
    return pb.BlobDigest(digest="sha256:" + hashlib.sha256(content).hexdigest(), size_bytes=len(content))


def test_an_upload_sends_what_changed(service, context):
    path = context("stdout built\\n\n")
    (path / "empty").touch()
    (path / "large").write_bytes(bytes(range(256)) * 10_000)
    odd = path / "sub" / "odd \u00e9\n name"
    odd.mkdir(parents=True)
    (odd / "one").write_text("1")
    (odd / "same").write_text("1")
    (path / "sub" / "empty folder").mkdir()
    (path / "sub" / "script").write_text("#!/bin/sh\n")
    (path / "sub" / "script").chmod(0o755)
    (path / "sub" / "link").symlink_to("odd \u00e9\n name/one")
    os.utime(path / "sub", ns=(0, 1_600_000_000_123_456_789))
    # 5 contents in 6 files; the folders are the root, sub, odd and the empty one, whose Directory is the empty file's.
    code, lines = service.run("upload", path, TAG)
    assert code == 0
    upload = lines[0]
    assert upload["context_digest"] == digest_of(path).digest
    assert (upload["blobs"], upload["uploaded_blobs"]) == (8, 8)
    assert upload["uploaded_bytes"] > 2_560_000
    assert folded(lines[1:]) == ({"STREAM_STDOUT": "built\n", "STREAM_STDERR": ""}, finished("STATE_SUCCEEDED"))

    (odd / "one").write_text("2")
    code, lines = service.run("upload", path, TAG)
    assert code == 0
    # The file, and the three folders above it.
    assert (lines[0]["blobs"], lines[0]["uploaded_blobs"]) == (9, 4)
    assert lines[0]["uploaded_bytes"] < 2000
    assert lines[-1]["state"] == "STATE_SUCCEEDED"

    code, lines = service.run("upload", path, TAG)
    assert (code, lines[0]["uploaded_blobs"], lines[0]["uploaded_bytes"]) == (0, 0, 0)


def test_what_a_build_makes_comes_back(service, context, folder):
    """With a secret and a registry's credentials by value, and nothing that both machines have."""
    image = b"an image " * 1_000_000
    path = context(
        "secret stdout token\nstdout \\n\ndocker-config stdout\ncopy image ../artifacts/1/file\n"
        f"dump-args {folder}/args\n"
    )
    (path / "image").write_bytes(image)
    file = folder / "image.tar"
    credentials = {"REGISTRY_HOST": "registry.test", "REGISTRY_USER": "me", "REGISTRY_PASSWORD": "pass-word-1"}
    code, lines = service.run("export", path, TAG, file, SECRET_TOKEN="secret-value-1", **credentials)
    assert code == 0
    blob = blob_of(image)
    assert lines[-1] == {"file": str(file), "size_bytes": len(image), "digest": blob.digest}
    assert file.read_bytes() == image
    output, end = folded(lines[1:-1])
    assert end == finished("STATE_SUCCEEDED")
    # What the build prints of them is hidden.
    assert output["STREAM_STDOUT"].startswith("***\n") and "registry.test" in output["STREAM_STDOUT"]
    assert "pass-word-1" not in output["STREAM_STDOUT"]
    arguments = (folder / "args").read_bytes().split(b"\0")
    assert any(argument.startswith(b"type=oci,dest=") for argument in arguments)


# --- Refusals --------------------------------------------------------------------------------------------------------


def test_details_of_a_refusal(over_unix, folder):
    code, lines = over_unix.run("build", folder / "missing", TAG)
    assert code == 1
    field = "spec.options.context_path"
    assert lines == [
        {"code": "INVALID_ARGUMENT", "reason": "CONTEXT_NOT_FOUND", "metadata": {"field": field}, "fields": [field]}
    ]


def test_a_strangers_paths_are_refused(over_tls):
    code, lines = over_tls.run("build", "/etc", TAG)
    assert code == 1
    assert (lines[0]["code"], lines[0]["reason"]) == ("PERMISSION_DENIED", "PATH_NOT_ALLOWED")
    assert lines[0]["metadata"]["setting"] == "--read_roots" and lines[0]["fields"] == ["spec.options.context_path"]


def test_an_unknown_token(over_tls):
    code, lines = over_tls.run("health", token=new_token())
    assert (code, lines) == (
        1,
        [{"code": "UNAUTHENTICATED", "reason": "TOKEN_INVALID", "metadata": {}, "fields": []}],
    )


def test_another_authority_is_not_trusted(over_tls, folder):
    other = Authority(folder, "other")
    code, lines = over_tls.run(f"--ca={other.cert}", "health")
    assert code == 1
    assert [(line["code"], line["reason"]) for line in lines] == [("UNAVAILABLE", "")]


def test_nobody_listens(over_unix, folder):
    code, lines = over_unix.run(f"--address=unix://{folder}/nobody.sock", "health")
    assert (code, lines) == (1, [{"code": "UNAVAILABLE", "reason": "", "metadata": {}, "fields": []}])
