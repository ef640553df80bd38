"""After kill -9 of the daemon and a restart nothing of its builds runs: not nerdctl, not buildctl, not the RUN step."""

import os
import shutil

import grpc
import pytest
from containerbuilder.v1 import container_builder_pb2 as pb


@pytest.fixture
def restartable(folder, daemon_in):
    """Starts a daemon on one state folder, again and again."""
    home = folder / "home"
    home.mkdir()
    flags = [f"--containerd_address={os.environ['CONTAINERD_ADDRESS']}", f"--buildkit_host={os.environ['BUILDKIT_HOST']}"]
    if "CONTAINERD_SNAPSHOTTER" in os.environ:
        flags.append(f"--snapshotter={os.environ['CONTAINERD_SNAPSHOTTER']}")
    daemons = []

    def start():
        daemons.append(daemon_in(home, flags))
        return daemons[-1]

    yield start
    for daemon in daemons:
        daemon.process.kill()
        daemon.process.wait()
        daemon.close()
    shutil.rmtree(home)


@pytest.mark.parametrize("life", range(5))
def test_daemon_is_killed(restartable, context, image, eventually, processes_with, assert_nothing_runs, marker, life):
    before = "trap '' TERM INT HUP; setsid sleep 62 &" if life % 2 else ""
    path = context(f"RUN {before} echo the first line; sleep 60; echo the last line")
    daemon = restartable()
    request = pb.BuildRequest()
    request.spec.options.context_path = str(path)
    request.spec.options.options.add(name="tag").value.values.values.append(image())
    seen = []
    printed = b""
    with pytest.raises(grpc.RpcError) as lost:
        for response in daemon.stub.Build(request, timeout=120):
            seen.append(response.event)
            # A line may come in several events.
            printed += response.event.output.data
            if b" the first line\n" in printed and daemon.process.poll() is None:
                eventually(lambda: len(processes_with(marker)) >= 1, "the step's process")
                daemon.process.kill()
    assert lost.value.code() == grpc.StatusCode.UNAVAILABLE, "the daemon was killed, and nothing else"
    daemon.process.wait()

    daemon = restartable()
    # nerdctl and buildctl were ended before it was ready; BuildKit then ends the step.
    assert not processes_with(f"CONTAINER_BUILDER_BUILD={seen[0].name}")
    assert_nothing_runs(path)
    build = daemon.stub.GetBuild(pb.GetBuildRequest(name=seen[0].name), timeout=20).build
    assert (build.state, build.failure.reason) == (pb.Build.STATE_INTERRUPTED, "CRASHED"), build
    assert build.failure.retryable
    events = [r.event for r in daemon.stub.WatchBuild(pb.WatchBuildRequest(name=seen[0].name), timeout=20)]
    assert events[: len(seen)] == seen
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert events[-1].finished.build == build

    # BuildKit is none the worse: the same step, cut short, builds.
    (path / "Dockerfile").write_text((path / "Dockerfile").read_text().replace("sleep 60", "sleep 0"))
    last = [r.event for r in daemon.stub.Build(request, timeout=120)][-1]
    assert last.finished.build.state == pb.Build.STATE_SUCCEEDED, last
    assert daemon.stop() == 0
