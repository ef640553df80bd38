"""A state folder on a small file system that fills up; and one with very many builds."""

import hashlib
import os
import sqlite3
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from conftest import Daemon, eventually, required
from containerbuilder.v1 import container_builder_pb2 as pb
from world import READY_SECONDS, processes_of, waited_for_the_cpu

MIB = 1024 * 1024


@contextmanager
def disk_at(path: Path, size: str):
    """A file system of its own, of that size."""
    path.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(path)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.fail(f"cannot mount a tmpfs (root and CAP_SYS_ADMIN are needed): {mounted.stderr}", pytrace=False)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def small_disk(folder, request):
    """A home for a daemon whose state folder has 12 MiB, or what the parameter says."""
    home = folder / "home"
    with disk_at(home / "state", getattr(request, "param", "12m")):
        yield home


class Service:
    def __init__(self, home: Path, *flags):
        self.home = home
        self.state = home / "state"
        self.flags = [
            f"--nerdctl={required('FAKE_NERDCTL')}",
            "--max_running_builds=4",
            "--drain_timeout=0s",
            "--health_interval=60s",
            *flags,
        ]
        self.daemon = None

    def start(self):
        self.daemon = Daemon(self.home, self.flags)

    def kill(self):
        self.daemon.process.kill()
        self.daemon.process.wait()
        self.daemon.close()

    def request(self, context: Path) -> pb.BuildRequest:
        request = pb.BuildRequest()
        request.spec.options.context_path = str(context)
        request.policy.grace_period.FromMilliseconds(200)
        request.policy.disconnect_policy = pb.DISCONNECT_POLICY_DETACH
        return request

    def build(self, context: Path) -> list:
        return [response.event for response in self.daemon.stub.Build(self.request(context), timeout=60)]

    def watch(self, name: str) -> list:
        return [
            response.event
            for response in self.daemon.stub.WatchBuild(pb.WatchBuildRequest(name=name, no_follow=True), timeout=60)
        ]

    def disk_health(self):
        checks = self.daemon.stub.Health(pb.HealthRequest(), timeout=30).checks
        return next(check for check in checks if check.name == "disk")


@pytest.fixture
def service(small_disk, request):
    service = Service(small_disk, *getattr(request, "param", ()))
    service.start()
    yield service
    code = service.daemon.stop()
    print((small_disk / "daemon.log").read_text(errors="replace")[-4000:])
    assert code == 0
    assert not processes_of(service.state)


def context(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.mkdir()
    (path / "fake.txt").write_text(script)
    return path


def output(events) -> bytes:
    return b"".join(event.output.data for event in events if event.HasField("output"))


LINES = b"".join(b"line %d\n" % i for i in range(1, 3_000_000))


@pytest.mark.parametrize("service", [["--min_free_bytes=0"], ["--min_free_bytes=3145728"]], ids=["full", "floor"], indirect=True)
def test_the_disk_fills_up(service, folder):
    floor = "--min_free_bytes=0" not in service.flags
    small = context(folder, "small", "stdout small\\n\n")
    assert service.build(small)[-1].finished.build.state == pb.Build.STATE_SUCCEEDED
    other = service.daemon.stub.Build(service.request(context(folder, "other", "stdout up\\n\nwait-file go\nstdout down\\n\n")))
    events_of_other = []
    for response in other:
        events_of_other.append(response.event)
        if response.event.HasField("output"):
            break

    events = service.build(context(folder, "flood", "lines stdout 3000000\n"))
    end = events[-1].finished.build
    assert (end.state, end.failure.reason) == (pb.Build.STATE_FAILED, "NO_SPACE"), end
    assert end.failure.retryable
    assert LINES.startswith(output(events)) and len(output(events)) == end.stdout_bytes > MIB
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert service.watch(end.name) == events, "all of it is on the disk, its end too"

    if floor:
        # The others go on.
        # An answer may be a second old.
        eventually(lambda: service.disk_health().state != pb.HealthCheck.STATE_OK, "health tells of the disk")
        with pytest.raises(grpc.RpcError) as refused:
            service.build(small)
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    (folder / "other" / "go").touch()
    events_of_other += [response.event for response in other]
    end_of_other = events_of_other[-1].finished.build
    if floor:
        assert end_of_other.state == pb.Build.STATE_SUCCEEDED and output(events_of_other) == b"up\ndown\n"

    # Not even what was kept back is left now, and the daemon dies.
    filler = service.state / "filler"
    fill(filler)
    names = [end.name, end_of_other.name]
    service.kill()
    try:
        service.start()
    except Daemon.Ended as ended:
        # It says why, and works when there is room for its own records.
        assert ended.code == 1 and "full" in str(ended), ended
        filler.unlink()
        service.start()
    assert service.watch(end.name) == events
    assert service.watch(end_of_other.name) == events_of_other
    if filler.exists():
        # The start may have found room of its own, in SQLite's files: a build is refused, or it runs to an honest end.
        fill(filler)
        try:
            last = service.build(small)[-1].finished.build
            names.append(last.name)
            honest = last.state == pb.Build.STATE_SUCCEEDED or last.failure.reason == "NO_SPACE"
            assert honest, last
        except grpc.RpcError as refused:
            assert refused.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, refused
        filler.unlink()
        if not floor:
            eventually(lambda: works(service, small), "builds run without a restart")

    # There is room again, above the floor, too; nobody has to repair anything.
    for name in names:
        service.daemon.stub.DeleteBuild(pb.DeleteBuildRequest(name=name), timeout=30)
    eventually(lambda: works(service, small), "builds run again")


def works(service: Service, small: Path) -> bool:
    try:
        return service.build(small)[-1].finished.build.state == pb.Build.STATE_SUCCEEDED
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error
        return False


def fill(path: Path):
    block = b"x" * 4096
    with open(path, "ab", buffering=0) as file:
        try:
            while True:
                file.write(block)
        except OSError:
            pass


@pytest.mark.parametrize("service", [["--min_free_bytes=0"]], ids=["full"], indirect=True)
def test_many_builds_meet_a_full_disk(service, folder):
    """All of them end, each with its reason, and all ends are read again after a crash."""
    floods = context(folder, "flood", "lines stdout 3000000\n")
    calls = [service.daemon.stub.Build(service.request(floods), timeout=60) for _ in range(4)]
    seen = [[response.event for response in call] for call in calls]
    for events in seen:
        end = events[-1].finished.build
        assert (end.state, end.failure.reason) == (pb.Build.STATE_FAILED, "NO_SPACE"), end
        assert LINES.startswith(output(events))
        assert service.watch(end.name) == events
    service.kill()
    service.start()
    for events in seen:
        assert service.watch(events[0].name) == events
        service.daemon.stub.DeleteBuild(pb.DeleteBuildRequest(name=events[0].name), timeout=30)
    small = context(folder, "small", "stdout small\\n\n")
    eventually(lambda: works(service, small), "builds run again")


# --- Where outputs go ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["local", "tar"])
def test_the_place_of_an_output_is_full(folder, kind):
    """It is another disk than the service's: the build says so, and what is delivered is whole or not there."""
    (folder / "home").mkdir()
    out = folder / "out"
    made = {"large": b"x" * 2 * MIB, "small": b"made\n"}
    sources = context(folder, "context", "".join(f"copy {name} ../out/0/output/{name}\n" for name in made))
    for name, data in made.items():
        (sources / name).write_bytes(data)
    if kind == "tar":
        (sources / "fake.txt").write_text("copy large ../out/0/output\n")
    with disk_at(out, "1m"):
        roots = (f"--read_roots={folder}", f"--write_roots={out}")
        service = Service(folder / "home", *roots, "--allowed_options=output", "--min_free_bytes=0")
        service.start()
        try:
            # One that was there stays as it was.
            (out / "large").write_bytes(b"before")
            request = service.request(sources)
            place = out if kind == "local" else out / "large"
            request.spec.options.output.values.values.append(f"type={kind},dest={place}")

            def run() -> pb.Build:
                build = list(service.daemon.tcp_stub.Build(request, timeout=60))[-1].event.finished.build
                assert not (service.state / build.name / "staging").exists()
                return build

            for fills in (False, True):
                if fills:
                    fill(out / "filler")
                end = run()
                assert (end.state, end.failure.reason) == (pb.Build.STATE_FAILED, "NO_SPACE"), end
                assert end.failure.retryable and "spec.options.output" in end.failure.message, end
                left = {path.name: path.read_bytes() for path in out.iterdir() if path.name != "filler"}
                assert left.pop("large") == b"before"
                assert left in ({}, {"small": made["small"]}), left
            # The service's own disk has room.
            assert service.disk_health().state == pb.HealthCheck.STATE_OK
            (out / "filler").unlink()
            (sources / "large").write_bytes(b"less")
            assert run().state == pb.Build.STATE_SUCCEEDED
            assert (out / "large").read_bytes() == b"less"
        finally:
            assert service.daemon.stop() == 0


# --- Many builds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("small_disk", ["2g"], indirect=True)
def test_a_hundred_thousand_builds(small_disk, folder):
    """It is ready as soon as with none."""
    home = small_disk
    service = Service(home, "--retain_builds=1000000", "--min_free_bytes=0")
    service.start()
    try:
        name = service.build(context(folder, "small", "stdout small\\n\n"))[-1].name
    finally:
        assert service.daemon.stop() == 0
    count = 100_000
    multiply(service.state, name, count)
    # Of three, the quickest: it is one thread that may stand still for others.
    starts = []
    while not starts or (starts[-1] >= READY_SECONDS and len(starts) < 3):
        if starts:
            assert service.daemon.stop() == 0
        began = time.monotonic()
        service.start()
        starts.append(time.monotonic() - began - waited_for_the_cpu(service.daemon.process.pid))
    try:
        status = Path(f"/proc/{service.daemon.process.pid}/status").read_text()
        memory = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        print(f"ready after {', '.join(f'{took:.2f}' for took in starts)} s with {count} builds; {memory}")
        assert not list(service.state.glob("*.corrupt-*"))
        assert min(starts) < READY_SECONDS
        began = time.monotonic()
        assert len(service.daemon.stub.ListBuilds(pb.ListBuildsRequest(page_size=100), timeout=30).builds) == 100
        print(f"a page took {(time.monotonic() - began) * 1000:.0f} ms")
        assert service.watch(name)[-1].HasField("finished")
    finally:
        assert service.daemon.stop() == 0


def multiply(state: Path, name: str, count: int):
    """More builds like that one, by name and record; their logs are not looked at by a start."""
    with sqlite3.connect(state / "records.db") as database:
        (arrival,) = database.execute("SELECT arrival FROM builds WHERE name = ?", (name,)).fetchone()
        (record,) = database.execute("SELECT record FROM records WHERE arrival = ?", (arrival,)).fetchone()
        columns = [c[1] for c in database.execute("PRAGMA table_info(builds)") if c[1] not in ("arrival", "name")]
        for i in range(count):
            other = f"{name[:-6]}{i:06}"
            database.execute(
                f"INSERT INTO builds (name, {', '.join(columns)}) SELECT ?, {', '.join(columns)} "
                "FROM builds WHERE arrival = ?",
                (other, arrival),
            )
            (last,) = database.execute("SELECT last_insert_rowid()").fetchone()
            # Names have one length, so that the record still parses.
            blob = record.replace(name.encode(), other.encode())
            database.execute("INSERT INTO records VALUES (?, ?, ?)", (last, blob, hashlib.sha256(blob).digest()))
            os.mkdir(state / other, 0o700)
        # The file is whole: who opens it may take the -wal away.
        database.execute("UPDATE session SET open = 0")
    database.close()
