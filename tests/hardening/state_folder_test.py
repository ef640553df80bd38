"""A state folder that cannot be used: at the start the reason is told, and while builds run nothing is lost silently."""

import os
import subprocess
from pathlib import Path

import grpc
import pytest
from conftest import Daemon, required
from containerbuilder.v1 import container_builder_pb2 as pb
from fixtures import request_of  # noqa: F401
from grpc_health.v1 import health_pb2, health_pb2_grpc


def mount(*arguments):
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.fail(f"cannot mount (root and CAP_SYS_ADMIN are needed): {done.stderr}", pytrace=False)


class ReadOnly:
    """A folder that is read-only, also for root, as long as this is entered; what is open stays so."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __enter__(self):
        mount("--bind", self.folder, self.folder)
        mount("-o", "remount,bind,ro", self.folder)

    def __exit__(self, *_):
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


@pytest.fixture
def refusal(daemon_in, folder):
    """Answers the one line that a daemon says that does not start."""

    def start(*flags) -> str:
        (folder / "daemon.log").unlink(missing_ok=True)
        with pytest.raises(Daemon.Ended) as ended:
            daemon_in(folder, [f"--nerdctl={required('FAKE_NERDCTL')}", *flags])
        assert ended.value.code == 1
        lines = (folder / "daemon.log").read_text().splitlines()
        assert len(lines) == 1 and lines[0].startswith("container-builderd: --state_dir"), lines
        return lines[0]

    return start


def test_refused_at_the_start(refusal, folder):
    state = folder / "state"
    state.write_text("a file")
    assert f"{state}" in refusal()
    assert "Not a directory" in refusal(f"--state_dir={state}/below")
    state.unlink()

    (folder / "target").mkdir()
    state.symlink_to(folder / "target")
    assert "is a link" in refusal()
    state.unlink()

    state.mkdir()
    state.chmod(0o777)
    assert "has mode 0777" in refusal()
    state.chmod(0o700)

    with ReadOnly(state):
        assert "Read-only file system" in refusal()


class Lost:
    """The state folder is moved away, as is what is mounted on another."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.moved = folder.with_name("moved")

    def __enter__(self):
        self.folder.rename(self.moved)

    def __exit__(self, *_):
        self.moved.rename(self.folder)


class Replaced(Lost):
    def __enter__(self):
        super().__enter__()
        self.folder.mkdir(mode=0o700)

    def __exit__(self, *_):
        self.folder.rmdir()
        super().__exit__()


@pytest.fixture
def healthy_daemon(start_daemon, folder):
    """With everything that a build needs, played by the fake."""
    (folder / "bin").mkdir()
    for name in ("nerdctl", "buildctl"):
        (folder / "bin" / name).symlink_to(required("FAKE_NERDCTL"))
    path = f"{folder}/bin:{os.environ['PATH']}"
    flags = ("--health_interval=50ms", "--min_free_bytes=0", "--buildkit_host=unix:///fake.sock")
    return start_daemon(*flags, env={**os.environ, "PATH": path})


def events_of(stream) -> list:
    return [response.event for response in stream]


@pytest.mark.parametrize(
    "loss, message", [(Lost, "removed"), (Replaced, "another folder"), (ReadOnly, "Read-only file system")]
)
def test_lost_while_builds_run(healthy_daemon, folder, request_of, loss, message):
    stub = healthy_daemon.stub
    watch = health_pb2_grpc.HealthStub(healthy_daemon.channel()).Watch(health_pb2.HealthCheckRequest(), timeout=60)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    running = stub.Build(request_of("running", "stdout up\\n\nwait-file go\nstdout down\\n\n"), timeout=60)
    name = next(running).event.name
    ended = events_of(stub.Build(request_of("ended", "stdout told\\n\n"), timeout=60))

    with loss(healthy_daemon.state):
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        answer = stub.Health(pb.HealthRequest(), timeout=30)
        check = next(check for check in answer.checks if check.name == "disk")
        assert (answer.state, check.state) == (pb.HealthResponse.STATE_UNHEALTHY, pb.HealthCheck.STATE_FAILED)
        assert message in check.message and "--state_dir" in check.hint

        with pytest.raises(grpc.RpcError) as refused:
            stub.CreateBuild(pb.CreateBuildRequest(spec=request_of("refused", "").spec), timeout=30)
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        assert b"STORAGE" in dict(refused.value.trailing_metadata())["grpc-status-details-bin"]
        assert message in refused.value.details()

        # What runs goes on, and its watchers get all of it.
        (folder / "running" / "go").touch()
        rest = events_of(running)
        assert rest[-1].finished.build.state == pb.Build.STATE_SUCCEEDED
        assert b"".join(event.output.data for event in rest) == b"up\ndown\n"

    # With the folder back nothing is missing, and builds are taken again.
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    for name, events in ((name, rest), (ended[0].name, ended)):
        request = pb.WatchBuildRequest(name=name, no_follow=True)
        assert events_of(stub.WatchBuild(request, timeout=30))[-len(events) :] == events
    watch.cancel()
    again = events_of(stub.Build(request_of("again", ""), timeout=60))
    assert again[-1].finished.build.state == pb.Build.STATE_SUCCEEDED
