"""BuildKit and containerd go away and come back: Health and grpc.health.v1 tell, and builds say whose fault it is."""

import os
import queue
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import grpc
import pytest
from containerbuilder.v1 import container_builder_pb2 as pb
from grpc_health.v1 import health_pb2, health_pb2_grpc

NAMES = ["", "containerbuilder.v1.ContainerBuilder"]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def buildkitd(eventually, private_engine):
    """Stops and starts the engine's buildkitd; it runs again in the end, whatever happens."""

    class Buildkitd:
        running = True

        def stop(self):
            pid = int((private_engine / "buildkitd.pid").read_text())
            assert b"buildkitd" in Path(f"/proc/{pid}/cmdline").read_bytes()
            self.running = False
            os.kill(pid, signal.SIGTERM)
            eventually(lambda: has_ended(pid), "buildkitd ends", 30)

        def start(self):
            subprocess.run([private_engine / "start-buildkitd"], check=True, timeout=60)
            self.running = True

    instance = Buildkitd()
    yield instance
    if not instance.running:
        instance.start()


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


class Watch:
    """The statuses that a Watch of grpc.health.v1 told, in order, each change once."""

    def __init__(self, stub, name):
        self._call = stub.Watch(health_pb2.HealthCheckRequest(service=name))
        self._statuses = queue.Queue()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self):
        last = None
        try:
            for answer in self._call:
                if answer.status != last:
                    last = answer.status
                    self._statuses.put(last)
        except grpc.RpcError:
            pass  # The call was cancelled in the end.

    def next(self):
        return self._statuses.get(timeout=30)

    def cancel(self):
        self._call.cancel()
        self._thread.join(10)


def state_of(daemon, name):
    health = daemon.stub.Health(pb.HealthRequest(), timeout=30)
    return health.state, next(check for check in health.checks if check.name == name)


def test_buildkitd_stops_and_starts(daemon, buildkitd, eventually, start_call, cli, context, image):
    path = context("RUN echo here")
    health = health_pb2_grpc.HealthStub(daemon.channel())
    watches = [Watch(health, name) for name in NAMES]
    try:

        def statuses():
            return [health.Check(health_pb2.HealthCheckRequest(service=name)).status for name in NAMES]

        assert [watch.next() for watch in watches] == [SERVING, SERVING]
        assert statuses() == [SERVING, SERVING]

        buildkitd.stop()
        assert [watch.next() for watch in watches] == [NOT_SERVING, NOT_SERVING]
        assert statuses() == [NOT_SERVING, NOT_SERVING]
        verdict, check = state_of(daemon, "buildkitd")
        assert verdict == pb.HealthResponse.STATE_UNHEALTHY
        assert check.state == pb.HealthCheck.STATE_FAILED and check.message and check.hint
        assert state_of(daemon, "containerd")[1].state == pb.HealthCheck.STATE_OK

        # Builds are still taken: it may be back by the time they need it.
        call = start_call(path, tag=[image()])
        build = call.finished()
        assert build.state == pb.Build.STATE_FAILED
        assert build.failure.reason == "BUILDKIT_UNAVAILABLE", build
        assert build.failure.retryable

        buildkitd.start()
        assert [watch.next() for watch in watches] == [SERVING, SERVING]
        assert statuses() == [SERVING, SERVING]
        eventually(
            lambda: state_of(daemon, "buildkitd")[0] == pb.HealthResponse.STATE_HEALTHY, "Health is well again"
        )
        cli("build", "-t", image(), path)
    finally:
        for watch in watches:
            watch.cancel()


def test_buildctl_is_not_on_path(start_daemon, start_call, folder, context, image):
    (folder / "bin").mkdir()
    (folder / "bin" / "nerdctl").symlink_to(shutil.which("nerdctl"))
    daemon = start_daemon(env={**os.environ, "PATH": str(folder / "bin")})
    verdict, check = state_of(daemon, "buildkit")
    assert verdict == pb.HealthResponse.STATE_UNHEALTHY
    assert check.state == pb.HealthCheck.STATE_FAILED and "buildctl" in check.message + check.hint
    build = start_call(context(), stub=daemon.stub, tag=[image()]).finished()
    assert build.state == pb.Build.STATE_FAILED
    assert build.failure.reason == "BUILDKIT_UNAVAILABLE", build


def test_containerd_is_not_there(start_daemon, start_call, folder, context, image):
    daemon = start_daemon(f"--containerd_address={folder}/nobody.sock")
    verdict, check = state_of(daemon, "containerd")
    assert verdict == pb.HealthResponse.STATE_UNHEALTHY
    assert check.state == pb.HealthCheck.STATE_FAILED and check.message and check.hint
    assert state_of(daemon, "buildkitd")[1].state == pb.HealthCheck.STATE_OK
    build = start_call(context(), stub=daemon.stub, tag=[image()]).finished()
    assert build.state == pb.Build.STATE_FAILED
    assert build.failure.reason == "CONTAINERD_UNAVAILABLE", build
    assert build.failure.retryable
