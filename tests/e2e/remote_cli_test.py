"""The CLI and the service in network namespaces of their own, and with no folder that both see: as on two machines."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from machines import PORT, SERVER, checked, namespaces  # noqa: F401 a fixture

def run(*command, **options):
    return subprocess.run(command, capture_output=True, timeout=120, **options)


@pytest.fixture
def remote_daemon(namespaces, daemon_in, folder):
    home = folder / "server"
    home.mkdir()
    daemon = daemon_in(
        home,
        [
            f"--containerd_address={os.environ['CONTAINERD_ADDRESS']}",
            f"--buildkit_host={os.environ['BUILDKIT_HOST']}",
            f"--listen=unix://{home}/daemon.sock,{SERVER}:{PORT}",
            "--insecure",
        ],
        wrapper=("ip", "netns", "exec", namespaces[0]),
    )
    yield daemon
    code = daemon.stop()
    print(daemon.log.read_text(errors="replace"))
    assert code == 0


class Client:
    """The client's machine: a namespace in which `folder` has files that are nowhere else."""

    def __init__(self, namespace: str, folder: Path, program: str):
        self.folder = folder
        folder.mkdir()
        self.program = program
        mount = f'mount -t tmpfs tmpfs "{folder}" && echo ready && exec cat'
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, "unshare", "--mount", "sh", "-c", mount],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout.readline() == b"ready\n"
        # The same files, as seen from outside.
        self.files = Path(f"/proc/{self.process.pid}/root{folder}")

    def build(self, *arguments, address=f"{SERVER}:{PORT}", cwd="", **options):
        return self.run(self.program, f"--address={address}", "build", *arguments, cwd=cwd, **options)

    def run(self, *command, cwd="", **options):
        there = f'cd "{self.folder}/{cwd}" && exec "$@"'
        enter = ("nsenter", "--target", str(self.process.pid), "--mount", "--net", "sh", "-c", there, "sh")
        return run(*enter, *command, **options)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)


@pytest.fixture
def client(namespaces, remote_daemon, folder, cli_program):
    client = Client(namespaces[1], folder / "client", cli_program)
    yield client
    client.close()


@pytest.fixture
def remote_context(client, context):
    """Makes a context on the client's machine alone."""

    def make(*lines, **files) -> Path:
        path = context(*lines, **files)
        checked("cp", "-a", path, client.files / "context")
        checked("rm", "-r", path)
        return client.files / "context"

    return make


def contents(archive) -> dict:
    with tarfile.open(fileobj=archive) as tar:
        return {member.name.strip("/"): member for member in tar.getmembers()}


def test_a_build_with_all_that_it_needs(client, remote_context, marker):
    path = remote_context(
        "COPY . /context",
        "ARG WORD",
        'RUN --mount=type=secret,id=s test "$(cat /run/secrets/s)" = by-value && echo $WORD > /word',
        **{".dockerignore": "*.log\n!keep.log\n", "a.log": "x", "keep.log": "x", "sub.txt": "x"},
    )
    (client.files / "secret").write_text("by-value\n")
    (path / "odd\nname ü").write_text("odd")
    (path / "empty").mkdir()
    (path / "link").symlink_to("sub.txt")
    result = client.build(
        "--secret=id=s,src=secret",
        "--build-arg=WORD",
        "--output=type=oci,dest=image.tar",
        "context",
        env={**os.environ, "WORD": "from-the-client"},
    )
    assert result.returncode == 0, result
    assert b"by-value" not in result.stderr
    assert "index.json" in contents(open(client.files / "image.tar", "rb"))

    result = client.build("-o", "out", "--secret=id=s,src=secret", "--build-arg=WORD=other", "context")
    assert result.returncode == 0, result
    out = client.files / "out"
    assert (out / "word").read_text() == "other\n"
    copied = {str(file.relative_to(out / "context")) for file in (out / "context").rglob("*")}
    sent = {str(file.relative_to(path)) for file in path.rglob("*")}
    assert copied == sent - {"a.log"}
    assert (out / "context" / "odd\nname ü").read_text() == "odd"
    assert os.readlink(out / "context" / "link") == "sub.txt"


def test_the_second_build_sends_what_changed(client, remote_context, remote_daemon):
    path = remote_context("COPY . /", **{f"file{i}": str(i) * 1000 for i in range(20)})
    assert client.build("-o", "out", "context").returncode == 0
    # Not the dialogue but what the service has: one new file, and the folder.
    blobs = remote_daemon.state / "blobs"

    def count():
        return sum(1 for file in blobs.rglob("*") if file.is_file())

    before = count()
    assert client.build("-o", "out", "context").returncode == 0
    assert count() == before
    (path / "file3").write_text("changed")
    assert client.build("-o", "out", "context").returncode == 0
    assert count() == before + 2
    assert (client.files / "out" / "file3").read_text() == "changed"


def test_standard_input_and_output(client, remote_context):
    path = remote_context("COPY a /a", a="from a tar")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.add(path, ".")
    result = client.build("-o", "-", "-", input=archive.getvalue())
    assert result.returncode == 0, result
    assert "a" in contents(io.BytesIO(result.stdout))
    dockerfile = b"FROM scratch\nCOPY a /from-stdin\n"
    result = client.build("-f", "-", "-o", "type=tar,dest=-", "context", input=dockerfile)
    assert result.returncode == 0, result
    assert list(contents(io.BytesIO(result.stdout))) == ["from-stdin"]


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.dockerignore", ".dockerignore"])
def test_an_archive_cannot_fetch_what_is_the_callers(client, remote_context, name):
    path = remote_context("COPY a /a", a="x")
    (client.files / "mine").write_text("FROM scratch\n# mine\n")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(path / "a", "a")
        if name != "Dockerfile":
            tar.add(path / "Dockerfile", "Dockerfile")
        link = tarfile.TarInfo(name)
        link.type, link.linkname = tarfile.SYMTYPE, f"{client.folder}/mine"
        tar.addfile(link)
    result = client.build("-o", "out", "-", input=archive.getvalue())
    assert result.returncode != 0
    assert f'"{name}" of the context on standard input is a link'.encode() in result.stderr


def test_the_image_id_comes_back(client, remote_context, image):
    remote_context("COPY a /a", a="x")
    result = client.build("-t", image(), "--iidfile", "iid", "context")
    assert result.returncode == 0, result
    assert (client.files / "iid").read_text().startswith("sha256:")


def test_a_failed_build_exits_as_nerdctl(client, remote_context):
    remote_context("RUN exit 7")
    result = client.build("-o", "out", "context")
    assert result.returncode == 1
    assert b"exit code: 7" in result.stderr
    assert not (client.files / "out").exists()


def test_a_link_out_of_the_context_is_named(client, remote_context):
    path = remote_context("COPY . /")
    (path / "out").symlink_to("/etc/passwd")
    result = client.build("-o", "x", "context")
    assert result.returncode == 64 + 3
    assert b'"out" is a link out of the context, to "/etc/passwd"' in result.stderr
    assert b".dockerignore" in result.stderr


def test_a_forwarded_socket_is_no_same_folder(client, remote_context, remote_daemon):
    """The service is reached by its unix socket, and the context's path is empty there."""
    remote_context("COPY a /a", a="uploaded")
    assert list(client.folder.iterdir()) == []
    result = client.build("-o", "out", "context", address=remote_daemon.address)
    assert result.returncode == 0, result
    assert (client.files / "out" / "a").read_text() == "uploaded"


IGNORED = [
    "",
    "*.log\n!keep.log\n",
    "*\n!sub/**/deep.txt\n",
    "**/deep*\n!sub/a/deep.txt\nDockerfile\n.dockerignore\n",
    "sub\n!sub/a\n/keep.log\n",
    "# nothing\n\n ./sub/../sub/b \n",
    "**/{a|b}\n!sub/[ab]\n",
]


@pytest.mark.parametrize("ignored", IGNORED)
@pytest.mark.parametrize("own", [False, True], ids=["contexts", "dockerfiles"])
def test_the_same_files_as_in_place(daemon, context, folder, cli_program, ignored, own):
    """What the client leaves out of an upload is what BuildKit leaves out of a folder."""
    path = context("COPY . /", base="FROM scratch\n", **{"keep.log": "x", "a.log": "x"})
    for name in ("sub/a/deep.txt", "sub/b/deep.txt", "sub/b/other", "other/deep.log"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(name)
    (path / ".dockerignore").write_text("*" if own else ignored)
    if own:
        (path / "Dockerfile.dockerignore").write_text(ignored)
    # An archive of BuildKit's has whole seconds, rounded.
    for name in path.rglob("*"):
        os.utime(name, (1_700_000_000, 1_700_000_000))
    files = {}
    for mode in ("path", "upload"):
        out = folder / mode
        command = [cli_program, f"--address={daemon.address}", "build", f"--context-mode={mode}", "-o", out, path]
        result = run(*command)
        assert result.returncode == 0, result
        files[mode] = {
            # A folder that is there for what is in it has the time of the copy.
            (str(file.relative_to(out)), file.lstat().st_mode, file.is_dir() or file.lstat().st_mtime)
            for file in out.rglob("*")
        }
    assert files["path"] == files["upload"]
