"""Each write, sync, open, pipe, spawn, folder and rename of the daemon is made to fail once.

The call or the build fails and says why; the daemon goes on, and so does the next build; after a restart all that was
acknowledged is there. CONTAINERBUILDER_FAULT_STRIDE: of the calls that are many every so-manieth is tried (4; 1: all).
"""

import errno
import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import grpc
import pytest
from conftest import Daemon, eventually, is_traced, required
from containerbuilder.v1 import container_builder_pb2 as pb
from world import TERMINAL, processes_of, zombies_of

STRIDE = int(os.environ.get("CONTAINERBUILDER_FAULT_STRIDE", "4"))
# The same in CI each time; else others.
SEED = int(os.environ.get("CONTAINERBUILDER_CRASH_SEED", 0 if os.environ.get("CI") else time.time_ns() % 1_000_000))

SCRIPT = "stdout one\\n\nsleep 0.01\nstderr two\\n\nsleep 0.01\nbytes stdout 70000 1\nstderr end\n"
STDERR = b"two\nend"

CLEAN = (
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.FAILED_PRECONDITION,
)
REASONS = ("NO_SPACE", "STORAGE", "SPAWN_FAILED")


class Life:
    """A state folder, the daemon on it, and what was seen of its builds."""

    def __init__(self, folder: Path):
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.state = self.home / "state"
        self.context = folder / "context"
        self.context.mkdir()
        (self.context / "fake.txt").write_text(SCRIPT)
        self.failed = folder / "failed"
        self.seen = {}  # name -> {sequence: response}
        self.ended = {}  # name -> the build as its last event told it
        self.daemon = None

    def start(self, plan: str = ""):
        """False where it does not start for the failure that was planned."""
        env = dict(os.environ)
        self.failed.unlink(missing_ok=True)
        if plan:
            env |= {"LD_PRELOAD": required("FAIL_CALLS"), "FAIL_CALLS": f"{plan}:{self.state}"}
            env["FAIL_CALLS_LOG"] = str(self.failed)
        flags = [f"--nerdctl={required('FAKE_NERDCTL')}", "--max_running_builds=2", "--health_interval=60s"]
        flags += ["--min_free_bytes=0", "--drain_timeout=0s"]
        try:
            self.daemon = Daemon(self.home, flags, None, env)
        except Daemon.Ended as ended:
            assert ended.code == 1 and self.failed.exists(), ended
            lines = (self.home / "daemon.log").read_text().splitlines()
            assert lines[-1].startswith("container-builderd: "), lines
            return False
        return True

    def request(self, request_id: str = "") -> pb.BuildRequest:
        request = pb.BuildRequest(request_id=request_id)
        request.spec.options.context_path = str(self.context)
        return request

    def build(self, request=None):
        """A Build call to its end; nothing where it is refused, or the log cannot be read."""
        name = ""
        try:
            for response in self.daemon.stub.Build(request or self.request(), timeout=60):
                name = self.take(response.event)
        except grpc.RpcError as error:
            assert error.code() in CLEAN, error
            return None
        return self.ended[name]

    def take(self, event) -> str:
        events = self.seen.setdefault(event.name, {})
        assert events.setdefault(event.sequence, event) == event
        if event.HasField("finished"):
            self.ended[event.name] = event.finished.build
        return event.name

    def create(self):
        request = pb.CreateBuildRequest.FromString(self.request("the-same").SerializeToString())
        try:
            name = self.daemon.stub.CreateBuild(request, timeout=60).build.name
        except grpc.RpcError as error:
            assert error.code() in CLEAN, error
            return None
        self.seen.setdefault(name, {})
        return name

    def watch(self, name: str):
        for response in self.daemon.stub.WatchBuild(pb.WatchBuildRequest(name=name), timeout=60):
            self.take(response.event)

    def stop(self):
        eventually(lambda: not zombies_of(self.daemon.process.pid), "all children are waited for")
        assert self.daemon.stop() == 0
        assert not processes_of(self.state)
        self.daemon = None

    def close(self):
        if self.daemon is not None:
            self.daemon.process.kill()
            self.daemon.process.wait()
            self.daemon.close()

    def restart_once(self):
        """Stops it, and sees that it starts again with everything."""
        self.stop()
        assert self.start()
        self.check_after_restart()
        self.stop()

    def check_after_restart(self):
        """Everything that was acknowledged is there, as it was told."""
        builds = {b.name: b for b in self.daemon.stub.ListBuilds(pb.ListBuildsRequest(), timeout=60).builds}
        assert set(self.seen) <= set(builds)
        for name in self.seen:
            before = dict(self.seen[name])
            self.watch(name)  # runs into a difference
            events = self.seen[name]
            assert sorted(events) == list(range(1, len(events) + 1))
            assert set(before) <= set(events)
            build = self.daemon.stub.GetBuild(pb.GetBuildRequest(name=name), timeout=60).build
            assert build.state in TERMINAL and build == self.ended[name], (build, self.ended[name])

    def check_end(self, build):
        if build is None:
            return
        printed = b"".join(
            e.output.data for e in self.seen[build.name].values() if e.output.stream == pb.BuildOutput.STREAM_STDERR
        )
        if build.state == pb.Build.STATE_SUCCEEDED:
            assert printed == STDERR
        else:
            assert (build.state, build.failure.reason in REASONS) == (pb.Build.STATE_FAILED, True), build
            assert build.failure.retryable, build
            assert STDERR.startswith(printed)
        assert build.last_sequence == max(self.seen[build.name])


def scenario(folder: Path, plan: str) -> str:
    """One run with the failure; answers what was made to fail, or nothing where there was no such call any more."""
    life = Life(folder)
    try:
        if life.start(plan):
            first = life.build()
            life.check_end(first)
            second = life.create()
            if second:
                life.watch(second)
                life.check_end(life.ended[second])
            if first and life.failed.exists() and "fsync" in life.failed.read_text():
                check_sync(life, life.failed.read_text().split()[1])
            delete(life, first)
            # What failed once does not keep the next from working.
            if life.failed.exists():
                third = life.build()
                assert third and third.state == pb.Build.STATE_SUCCEEDED, third
                life.check_end(third)
            assert life.daemon.process.poll() is None
            life.stop()
        failed = life.failed.read_text() if life.failed.exists() else ""
        assert life.start(), "it does not start again"
        life.check_after_restart()
        assert life.build().state == pb.Build.STATE_SUCCEEDED
        again = life.create()
        life.watch(again)
        assert not list((life.state / "new").iterdir()) and not list((life.state / "trash").iterdir())
        life.stop()
        return failed
    except BaseException:
        print(f"plan {plan}; failed: {life.failed.read_text() if life.failed.exists() else ''}")
        print((life.home / "daemon.log").read_text(errors="replace")[-3000:])
        raise
    finally:
        life.close()


def check_sync(life: Life, path: str):
    """A build whose log could not be put on disk did not succeed."""
    parts = Path(path).relative_to(life.state).parts
    if len(parts) != 3 or parts[0] != "builds":
        return
    build = life.ended.get(f"builds/{parts[1]}")
    if build is not None:
        assert (build.state, build.failure.reason) == (pb.Build.STATE_FAILED, "STORAGE"), build


def delete(life: Life, build):
    if build is None:
        return
    try:
        life.daemon.stub.DeleteBuild(pb.DeleteBuildRequest(name=build.name), timeout=60)
    except grpc.RpcError as error:
        assert error.code() in CLEAN, error
        # It is there, or it is gone; a restart decides.
        del life.seen[build.name]
        return
    del life.seen[build.name]


# --- The same while the service takes up what a crash left ------------------------------------------------------------


@pytest.fixture
def crashed(folder) -> Life:
    """Two builds that ran and two that waited when the daemon died; the journals of the first end with rubbish."""
    life = Life(folder / "crashed")
    (life.context / "fake.txt").write_text("stdout up\\n\nwait-file go\n")
    assert life.start()
    try:
        names = []
        for number in range(4):
            request = pb.CreateBuildRequest.FromString(life.request(f"request-{number}").SerializeToString())
            names.append(life.daemon.stub.CreateBuild(request, timeout=60).build.name)
        for name in names[:2]:
            for response in life.daemon.stub.WatchBuild(pb.WatchBuildRequest(name=name), timeout=60):
                life.take(response.event)
                if response.event.HasField("output"):
                    break
        for name in names[2:]:
            for response in life.daemon.stub.WatchBuild(pb.WatchBuildRequest(name=name, no_follow=True), timeout=60):
                life.take(response.event)
    finally:
        life.close()
        life.daemon = None
    for name in names[:2]:
        with open(life.state / name / "journal", "ab") as file:
            file.write(b"rubbish")
    for pid in processes_of(life.state):
        os.kill(pid, signal.SIGKILL)
    # What waited can end now.
    (life.context / "go").touch()
    return life


def recovery(crashed: Life, folder: Path, plan: str) -> str:
    life = Life(folder)
    shutil.copytree(crashed.state, life.state)
    life.seen = {name: dict(events) for name, events in crashed.seen.items()}
    try:
        if life.start(plan):
            watch_all(life)
            assert life.daemon.process.poll() is None
            life.stop()
        failed = life.failed.read_text() if life.failed.exists() else ""
        assert life.start(), "it does not start again"
        watch_all(life)
        life.check_after_restart()
        states = [life.ended[name].state for name in sorted(life.seen)]
        told = {pb.Build.STATE_INTERRUPTED}
        waited = {pb.Build.STATE_SUCCEEDED, pb.Build.STATE_FAILED, pb.Build.STATE_INTERRUPTED}
        assert set(states[:2]) <= told and set(states[2:]) <= waited, life.ended
        for name in sorted(life.seen)[2:]:
            end = life.ended[name]
            assert end.state == pb.Build.STATE_SUCCEEDED or failed and end.failure.retryable, end
        life.stop()
        return failed
    except BaseException:
        print(f"plan {plan}; failed: {life.failed.read_text() if life.failed.exists() else ''}")
        print((life.home / "daemon.log").read_text(errors="replace")[-3000:])
        raise
    finally:
        life.close()


def watch_all(life: Life):
    for name in life.seen:
        try:
            life.watch(name)
        except grpc.RpcError as error:
            assert error.code() in (*CLEAN, grpc.StatusCode.DATA_LOSS), error


SWEEPS = [
    ("fsync", errno.EIO, 1),
    ("write", errno.ENOSPC, STRIDE),
    ("write", errno.EIO, STRIDE),
    ("open", errno.EMFILE, STRIDE),
    ("ftruncate", errno.EIO, 1),
    ("rename", errno.EIO, 1),
    ("mkdir", errno.ENOSPC, 1),
    ("pipe2", errno.EMFILE, 1),
    ("posix_spawn", errno.EAGAIN, 1),
]


@pytest.mark.parametrize(("call", "error", "stride"), SWEEPS, ids=[f"{c}-{errno.errorcode[e]}" for c, e, _ in SWEEPS])
def test_a_call_fails(folder, call, error, stride):
    sweep(lambda number: scenario(folder / str(number), f"{call}:{error}:{number}"), call, stride)


def sweep(run, call: str, stride: int):
    """Lets the N-th call fail, for rising N, until there is no N-th call."""
    randomness = random.Random(SEED)
    print(f"CONTAINERBUILDER_CRASH_SEED={SEED}")
    number = randomness.randint(1, stride)
    tried = 0
    while failed := run(number):
        print(number, failed.strip())
        tried += 1
        number += randomness.randint(1, 2 * stride - 1)
        assert tried < 1000, "there is no end to it"
    print(f"{call}: {tried} failures of {number - 1} calls tried")
    assert tried > 0


RECOVERY_SWEEPS = [
    ("fsync", errno.EIO, 1),
    ("write", errno.ENOSPC, STRIDE),
    ("open", errno.EMFILE, 2),
    ("ftruncate", errno.EIO, 1),
    ("posix_spawn", errno.EAGAIN, 1),
]


@pytest.mark.parametrize(("call", "error", "stride"), RECOVERY_SWEEPS, ids=[call for call, _, _ in RECOVERY_SWEEPS])
def test_a_call_fails_in_a_recovery(crashed, folder, call, error, stride):
    sweep(lambda number: recovery(crashed, folder / str(number), f"{call}:{error}:{number}"), call, stride)


def test_what_a_build_reads_is_on_disk_before_it_is_admitted(folder):
    life = Life(folder)
    request = pb.CreateBuildRequest()
    request.spec.options.context_path = str(life.context)
    request.spec.dockerfile = "FROM scratch\n"  # which is copied
    try:
        assert life.start(f"syncfs:{errno.EIO}:1")
        with pytest.raises(grpc.RpcError) as error:
            life.daemon.stub.CreateBuild(request, timeout=60)
        assert error.value.code() == grpc.StatusCode.INTERNAL, error.value
        assert life.failed.read_text().startswith(f"syncfs {life.state}/new/")
        assert not life.daemon.stub.ListBuilds(pb.ListBuildsRequest(), timeout=60).builds
        assert not list((life.state / "new").iterdir()) and not list((life.state / "trash").iterdir())
        name = life.daemon.stub.CreateBuild(request, timeout=60).build.name
        life.watch(name)
        assert life.ended[name].state == pb.Build.STATE_SUCCEEDED
        life.stop()
    finally:
        life.close()


@pytest.mark.parametrize("how", [-1, -2, errno.EINTR], ids=["half", "one byte", "EINTR"])
def test_writes_are_short(folder, how):
    """All of them, or where they are interrupted, one after the other: the records are whole."""
    plans = [f"write:{how}:1+"] if how < 0 else [f"write:{how}:{n}" for n in range(1, 60, STRIDE)]
    for i, plan in enumerate(plans):
        life = Life(folder / str(i))
        try:
            assert life.start(plan)
            for _ in range(2):
                build = life.build()
                assert build.state == pb.Build.STATE_SUCCEEDED, build
                life.check_end(build)
            life.stop()
            assert life.failed.exists()
            assert life.start()
            life.check_after_restart()
            life.stop()
        finally:
            life.close()


def test_a_full_table_of_files_and_processes_passes(folder):
    """While no process can be started builds fail, and say so; afterwards they run."""
    life = Life(folder)
    try:
        assert life.start()
        assert life.build().state == pb.Build.STATE_SUCCEEDED
        pid = life.daemon.process.pid
        used = len(os.listdir(f"/proc/{pid}/fd"))
        limits = subprocess.run(
            ["prlimit", f"--pid={pid}", f"--nofile={used + 8}:20000"], capture_output=True, text=True, check=False
        )
        assert limits.returncode == 0, limits
        for _ in range(3):
            build = life.build()
            assert build is None or build.state in (pb.Build.STATE_SUCCEEDED, pb.Build.STATE_FAILED)
        subprocess.run(["prlimit", f"--pid={pid}", "--nofile=20000:20000"], check=True)
        assert life.build().state == pb.Build.STATE_SUCCEEDED
        life.restart_once()
    finally:
        life.close()


@pytest.mark.parametrize("then", ["", "close-pipes\n"], ids=["keeps its pipes", "closes its pipes"])
def test_nerdctl_hangs_after_its_last_byte(folder, then):
    """It is stopped when its time is over, with all that it printed, and the next is not kept waiting."""
    life = Life(folder)
    (life.context / "fake.txt").write_text(f"stdout x\n{then}sleep 600\n")
    request = life.request()
    request.policy.timeout.FromSeconds(5)
    try:
        assert life.start()
        build = life.build(request)
        assert (build.state, build.failure.reason) == (pb.Build.STATE_TIMED_OUT, "TIMED_OUT"), build
        assert (build.term_signal, build.failure.retryable) == (signal.SIGTERM, False), build
        output = [event.output for event in life.seen[build.name].values() if event.HasField("output")]
        assert [(part.stream, part.data) for part in output] == [(pb.BuildOutput.STREAM_STDOUT, b"x")]
        assert (build.stdout_bytes, build.stderr_bytes) == (1, 0)
        (life.context / "fake.txt").write_text(SCRIPT)
        assert life.build().state == pb.Build.STATE_SUCCEEDED
        life.restart_once()
    finally:
        life.close()


# --- By the kernel: where the daemon does not call by a function that can be replaced, and where it is slow -----------


@pytest.fixture
def strace():
    """strace as a wrapper; where ptrace is not allowed the test fails, for it would show nothing."""
    probe = subprocess.run(
        ["strace", "-f", "-o", "/dev/null", "-e", "inject=getppid:error=EPERM", "true"], capture_output=True, text=True
    )
    if probe.returncode != 0:
        pytest.fail(f"strace cannot trace here (ptrace is needed, and the strace package): {probe.stderr}", pytrace=False)

    def wrapper(*options):
        return ["strace", "-f", "--seccomp-bpf", "-qqq", "-o", "/dev/null", *options]

    return wrapper


@pytest.mark.parametrize(
    "injected",
    [
        ["inject=clone3,clone,vfork:error=EAGAIN"],
        # As where a sandbox does not know the first of them, and glibc takes another.
        ["inject=clone3:error=ENOSYS", "inject=clone,vfork:error=EAGAIN"],
    ],
    ids=["clone3", "clone"],
)
def test_clone_fails(folder, strace, injected):
    """Threads and children both come from it; it is refused once the daemon is ready."""
    life = Life(folder)
    flags = [f"--nerdctl={required('FAKE_NERDCTL')}", "--max_running_builds=2", "--health_interval=60s"]
    life.daemon = Daemon(life.home, [*flags, "--min_free_bytes=0"])
    tracer = None
    trace = folder / "trace"
    try:
        assert life.build().state == pb.Build.STATE_SUCCEEDED
        tracer = attach(life.daemon.process.pid, "trace=clone3,clone,vfork", *injected, log=trace)
        builds = [life.build() for _ in range(2)]
        detach(tracer)
        tracer = None
        refused = re.findall(r"(\w+)\(.* EAGAIN .*\(INJECTED\)", trace.read_text())
        print(f"refused: {refused}")
        assert refused
        for build in builds:
            life.check_end(build)
        # posix_spawn takes one of them.
        assert [b and b.failure.reason for b in builds] == ["SPAWN_FAILED"] * 2
        assert life.build().state == pb.Build.STATE_SUCCEEDED
        life.stop()
    finally:
        if tracer:
            detach(tracer)
        life.close()


def attach(pid: int, *expressions, log="/dev/null") -> subprocess.Popen:
    """strace on all threads of a process that runs."""
    command = ["strace", "-f", "-o", log]
    for expression in expressions:
        command += ["-e", expression]
    tracer = subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.PIPE, text=True)
    traced = eventually(lambda: tracer.poll() is not None or is_traced(pid), "strace has all threads")
    if not traced or tracer.poll() is not None:
        pytest.fail(f"strace cannot attach (ptrace is needed): {tracer.stderr.read()}", pytrace=False)
    return tracer


def detach(tracer: subprocess.Popen):
    tracer.send_signal(signal.SIGINT)
    tracer.wait(10)
    tracer.stderr.close()


def test_a_slow_disk_holds_nobody_else_up(folder, strace):
    """With five seconds for each sync, what a build prints reaches its watchers at once, and calls are answered."""
    del strace  # it can be used
    life = Life(folder)
    flags = [f"--nerdctl={required('FAKE_NERDCTL')}", "--max_running_builds=2", "--health_interval=60s"]
    life.daemon = Daemon(life.home, [*flags, "--min_free_bytes=0", "--drain_timeout=0s"])
    tracer = None
    try:
        steps = 40
        for i in range(steps):
            (life.context / f"go{i}").unlink(missing_ok=True)
        (life.context / "fake.txt").write_text("".join(f"wait-file go{i}\nstdout {i}\\n\n" for i in range(steps)))
        call = life.daemon.stub.Build(life.request(), timeout=120)
        stream = iter(call)
        while not life.take(next(stream).event) or not any(
            e.HasField("started") for e in next(iter(life.seen.values())).values()
        ):
            pass
        tracer = attach(life.daemon.process.pid, "inject=fdatasync,fsync:delay_enter=5s")
        slow = life.daemon.stub.CreateBuild.future(
            pb.CreateBuildRequest.FromString(life.request("slow").SerializeToString()), timeout=120
        )
        waits = []
        for i in range(steps):
            began = time.monotonic()
            (life.context / f"go{i}").touch()
            event = next(stream).event
            life.take(event)
            assert event.output.data == b"%d\n" % i
            waits.append(time.monotonic() - began)
            time.sleep(0.1)  # so that it prints for longer than it takes until its output is synced
            life.daemon.stub.ListBuilds(pb.ListBuildsRequest(), timeout=5)
        print(f"waits for a line: median {sorted(waits)[steps // 2] * 1000:.1f} ms, longest {max(waits) * 1000:.1f} ms")
        assert not slow.done(), "the disk is not slow"
        assert sorted(waits)[-3] < 3, waits
        detach(tracer)
        tracer = None
        for response in stream:
            life.take(response.event)
        life.seen.setdefault(slow.result().build.name, {})
        life.watch(slow.result().build.name)
        life.stop()
    finally:
        if tracer:
            detach(tracer)
        life.close()
