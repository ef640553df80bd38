"""However a build is stopped, nothing of it runs afterwards: not nerdctl, not buildctl, not the step in BuildKit."""

import os
import signal
from pathlib import Path

import grpc
import pytest
from containerbuilder.v1 import container_builder_pb2 as pb


@pytest.fixture
def long_context(context):
    """A build that takes a minute after it printed its first line."""
    return context("RUN echo the first line; sleep 60; echo the last line")


@pytest.fixture
def wait_for_step(eventually, processes_with, marker):
    """Waits for the first line, and makes sure that the step, nerdctl and buildctl run: else their end says nothing."""

    def wait(output, context):
        output.wait_for(b" the first line\n")
        eventually(lambda: len(processes_with(marker)) >= 1, "the step's process")
        programs = {Path(line.split()[0]).name for line in processes_with(str(context)).values()}
        assert {"nerdctl", "buildctl"} <= programs

    return wait


def assert_service_goes_on(daemon):
    assert daemon.stub.Health(pb.HealthRequest(), timeout=30).state == pb.HealthResponse.STATE_HEALTHY
    assert daemon.process.poll() is None


@pytest.mark.parametrize("before", ["", "trap '' TERM INT HUP; setsid sleep 61 &"], ids=["plain", "stubborn"])
def test_call_is_cancelled(start_call, wait_for_step, assert_nothing_runs, daemon, context, image, before):
    path = context(f"RUN {before} echo the first line; sleep 60; echo the last line")
    call = start_call(path, tag=[image()])
    wait_for_step(call.output, path)
    call.call.cancel()
    call.wait(5)
    assert call.error.code() == grpc.StatusCode.CANCELLED
    assert_nothing_runs(path)
    assert_service_goes_on(daemon)


def test_deadline_passes(start_call, wait_for_step, assert_nothing_runs, daemon, long_context, image):
    call = start_call(long_context, timeout=20, tag=[image()])
    wait_for_step(call.output, long_context)
    call.wait(40)
    assert call.error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert_nothing_runs(long_context)
    assert_service_goes_on(daemon)


def test_client_is_killed(start_cli, wait_for_step, assert_nothing_runs, daemon, long_context, image):
    cli = start_cli("build", "--linger", "1s", "-t", image(), long_context)
    wait_for_step(cli.output, long_context)
    cli.process.kill()
    assert_nothing_runs(long_context)
    assert_service_goes_on(daemon)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_client_is_interrupted(
    start_cli, wait_for_step, assert_nothing_runs, daemon, long_context, image, number, code
):
    cli = start_cli("build", "-t", image(), long_context)
    wait_for_step(cli.output, long_context)
    cli.process.send_signal(number)
    assert cli.wait(20) == code
    assert_nothing_runs(long_context)
    assert_service_goes_on(daemon)


def test_daemon_is_stopped(start_call, start_cli, wait_for_step, assert_nothing_runs, daemon, context, image):
    by_call = context("RUN echo the first line; sleep 60", name="by-call")
    by_cli = context("RUN echo the first line; sleep 61", name="by-cli")
    call = start_call(by_call, tag=[image()])
    cli = start_cli("build", "-t", image(), by_cli)
    wait_for_step(call.output, by_call)
    wait_for_step(cli.output, by_cli)
    daemon.process.terminate()
    build = call.finished(30)
    assert build.state == pb.Build.STATE_INTERRUPTED, build
    assert build.failure.reason == "SHUTDOWN"
    assert cli.wait(30) == 78
    assert daemon.process.wait(30) == 0
    assert_nothing_runs(by_call)
    assert_nothing_runs(by_cli)


def test_policy_timeout(start_call, assert_nothing_runs, daemon, long_context, image):
    request = pb.BuildRequest()
    request.spec.options.context_path = str(long_context)
    request.spec.options.options.add(name="tag").value.values.values.append(image())
    request.policy.timeout.seconds = 3
    events = [response.event for response in daemon.stub.Build(request, timeout=60)]
    build = events[-1].finished.build
    assert (build.state, build.failure.reason) == (pb.Build.STATE_TIMED_OUT, "TIMED_OUT")
    assert_nothing_runs(long_context)
    assert_service_goes_on(daemon)


def test_nerdctl_is_killed(start_call, wait_for_step, assert_nothing_runs, daemon, long_context, image):
    call = start_call(long_context, tag=[image()])
    wait_for_step(call.output, long_context)
    os.kill(call.started.pid, signal.SIGKILL)
    build = call.finished(30)
    assert (build.state, build.term_signal) == (pb.Build.STATE_FAILED, signal.SIGKILL), build
    assert build.failure.reason == "KILLED"
    assert_nothing_runs(long_context)
    assert_service_goes_on(daemon)


def test_buildctl_is_killed(
    start_call, wait_for_step, assert_nothing_runs, processes_with, daemon, long_context, image
):
    call = start_call(long_context, tag=[image()])
    wait_for_step(call.output, long_context)
    for pid, command_line in processes_with(str(long_context)).items():
        if Path(command_line.split()[0]).name == "buildctl":
            os.kill(pid, signal.SIGKILL)
    build = call.finished(30)
    assert build.state == pb.Build.STATE_FAILED, build
    assert build.exit_code != 0
    assert_nothing_runs(long_context)
    assert_service_goes_on(daemon)
