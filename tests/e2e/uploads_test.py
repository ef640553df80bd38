"""Builds of contexts that were uploaded, as by a client on another machine: what goes in, and what comes back."""

import io
import os
import re
import tarfile

import pytest
from containerbuilder.v1 import container_builder_pb2 as pb
from uploads import Tree, download, missing, upload


@pytest.fixture(params=["local", "stranger"])
def stub(daemon, request):
    """A caller who is trusted, and one who is not."""
    return daemon.stub if request.param == "local" else daemon.tcp_stub


@pytest.fixture
def build(start_call, stub):
    """Uploads a folder and builds it; the build has to succeed."""

    def run(folder, context_path="", **options):
        spec = options.pop("spec", pb.BuildSpec())
        tree = Tree(folder)
        upload(stub, tree)
        assert not missing(stub, tree)
        spec.context_digest = tree.root.digest
        call = start_call(context_path, stub=stub, spec=spec, **options)
        built = call.finished()
        assert built.state == pb.Build.STATE_SUCCEEDED, (built, call.output.stderr.decode())
        assert built.exit_code == 0
        return built

    return run


def entries(archive: bytes) -> dict:
    """{name: (type, mode, content or target)} of a tar archive, without folders' trailing slashes."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {
            member.name.strip("/"): (
                member.type,
                oct(member.mode),
                tar.extractfile(member).read() if member.isreg() else member.linkname,
            )
            for member in tar.getmembers()
        }


def entries_of_folder(folder) -> dict:
    """The same of a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            kind, content = tarfile.SYMTYPE, os.readlink(path)
        elif path.is_dir():
            kind, content = tarfile.DIRTYPE, ""
        else:
            kind, content = tarfile.REGTYPE, path.read_bytes()
        mode = "0o777" if path.is_symlink() else oct(path.lstat().st_mode & 0o7777)
        found[str(path.relative_to(folder))] = (kind, mode, content)
    return found


@pytest.fixture
def odd_context(folder):
    """Files, modes, links, an empty folder and odd names."""
    path = folder / "odd"
    (path / "deep" / "er").mkdir(parents=True)
    (path / "empty").mkdir()
    (path / "deep" / "er" / "file").write_text("far down")
    (path / "run.sh").write_text("#!/bin/sh\n")
    (path / "run.sh").chmod(0o755)
    (path / "private").write_text("0600")
    (path / "private").chmod(0o600)
    (path / "with space and ünïcödé\n").write_text("odd name")
    (path / "link").symlink_to("deep/er/file")
    (path / "deep" / "up").symlink_to("../run.sh")
    (path / "nowhere").symlink_to("not/there")
    os.utime(path / "run.sh", ns=(0, 1_000_000_000 * 10**9))
    (path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    return path


def test_a_tree_arrives_as_it_left(build, stub, odd_context):
    built = build(odd_context, output=["type=local,dest=somewhere"])
    (artifact,) = built.artifacts
    assert (artifact.kind, artifact.filename) == (pb.Artifact.KIND_FOLDER, "somewhere")
    assert artifact.name == f"{built.name}/artifacts/1"
    archive = download(stub, artifact)
    assert entries(archive) == entries_of_folder(odd_context)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert tar.getmember("run.sh").mtime == 1_000_000_000


def test_folder_and_archive_are_the_same(build, stub, start_call, daemon, odd_context, folder):
    """What BuildKit writes for type=local in place is what comes back of an upload."""
    call = start_call(odd_context, stub=daemon.stub, output=[f"type=local,dest={folder / 'in-place'}"])
    assert call.finished().state == pb.Build.STATE_SUCCEEDED
    (artifact,) = build(odd_context, output=["type=local,dest=x"]).artifacts
    assert entries(download(stub, artifact)) == entries_of_folder(folder / "in-place")


@pytest.mark.parametrize("kind", ["oci", "docker"])
def test_image_archives_come_back(build, stub, context, kind):
    path = context()
    (artifact,) = build(path, output=[f"type={kind},dest=image.tar"]).artifacts
    assert (artifact.kind, artifact.filename) == (pb.Artifact.KIND_FILE, "image.tar")
    archive = download(stub, artifact)
    assert "index.json" in entries(archive)
    assert download(stub, artifact, artifact.size_bytes - 1000) == archive[-1000:]
    assert not (path / "image.tar").exists()


def test_standard_output_comes_back(build, stub, context):
    (artifact,) = build(context(), output=["type=tar,dest=-"]).artifacts
    assert artifact.filename == "-"
    assert "bin/busybox" in entries(download(stub, artifact))


def test_the_image_id_comes_back(build, stub, context, image):
    built = build(context(), iidfile=["/home/user/id"], tag=[image()])
    (artifact,) = built.artifacts
    assert (artifact.kind, artifact.filename) == (pb.Artifact.KIND_IMAGE_ID, "/home/user/id")
    assert re.fullmatch(rb"sha256:[0-9a-f]{64}", download(stub, artifact))


def test_a_dockerfile_by_value_and_its_ignore_file(build, stub, folder):
    path = folder / "context"
    path.mkdir()
    for name in ("a", "b", ".dockerignore"):
        (path / name).write_text("a\n")
    text = "FROM scratch\nCOPY . /\n"

    def names(spec):
        (artifact,) = build(path, spec=spec, output=["type=tar,dest=x"]).artifacts
        return set(entries(download(stub, artifact)))

    assert names(pb.BuildSpec(dockerfile=text)) == {"b", ".dockerignore"}
    assert names(pb.BuildSpec(dockerfile=text, dockerignore="b")) == {"a", ".dockerignore"}
    # Nothing is ignored, whatever the context says.
    assert names(pb.BuildSpec(dockerfile=text, dockerignore="")) == {"a", "b", ".dockerignore"}


def test_a_dockerfile_by_value_for_a_context_in_place(daemon, start_call, folder):
    (folder / "context").mkdir()
    (folder / "context" / "a").write_text("text")
    spec = pb.BuildSpec(dockerfile="FROM scratch\nCOPY a /\n")
    call = start_call(folder / "context", spec=spec, output=[f"type=local,dest={folder / 'out'}"])
    assert call.finished().state == pb.Build.STATE_SUCCEEDED, call.output.stderr
    assert (folder / "out" / "a").read_text() == "text"


def test_a_context_and_a_dockerfile_inside_the_upload(build, stub, folder):
    path = folder / "project"
    (path / "app").mkdir(parents=True)
    (path / "docker").mkdir()
    (path / "app" / "file").write_text("app")
    (path / "docker" / "Other").write_text("FROM scratch\nCOPY file /\n")
    (path / "docker" / "Other.dockerignore").write_text("nothing\n")
    (artifact,) = build(path, "app", file=["docker/Other"], output=["type=tar,dest=x"]).artifacts
    assert entries(download(stub, artifact))["file"][2] == b"app"


def test_one_changed_file_is_all_that_is_sent(build, stub, folder, context):
    path = context("COPY sub /sub")
    (path / "sub" / "deep").mkdir(parents=True)
    for number in range(20):
        (path / "sub" / "deep" / str(number)).write_text(f"file {number}")
    build(path, output=["type=tar,dest=x"])
    (path / "sub" / "deep" / "7").write_text("changed")
    tree = Tree(path)
    # It, and the three folders above it.
    assert len(missing(stub, tree)) == 4
    (artifact,) = build(path, output=["type=tar,dest=x"]).artifacts
    assert entries(download(stub, artifact))["sub/deep/7"][2] == b"changed"
