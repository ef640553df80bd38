"""One state folder through many lives of the daemon, its clients, and all that they ever saw."""

import collections
import ctypes
import os
import random
import signal
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from conftest import Daemon, eventually, required
from containerbuilder.v1 import container_builder_pb2 as pb

# From the start of the process to its answers: usually, and where the disk is slow for once.
READY_SECONDS = 3
SLOW_READY_SECONDS = 20
BUILDS = 20
RUNNING = 8

TERMINAL = {
    pb.Build.STATE_SUCCEEDED,
    pb.Build.STATE_FAILED,
    pb.Build.STATE_CANCELLED,
    pb.Build.STATE_TIMED_OUT,
    pb.Build.STATE_EXPIRED,
    pb.Build.STATE_INTERRUPTED,
}

_SERVICE = "/containerbuilder.v1.ContainerBuilder/"


# --- What builds do --------------------------------------------------------------------------------------------------


@dataclass
class Kind:
    """A build that the fake nerdctl plays, and what it prints when nothing comes between."""

    script: str
    stdout: bytes = b""
    stderr: bytes = b""
    exit_code: int = 0
    endless: bool = False


def _lines(count: int) -> bytes:
    return b"".join(b"line %d\n" % i for i in range(1, count + 1))


_TICKS = range(40)

KINDS = {
    "short": Kind("stdout short\\n\n", stdout=b"short\n"),
    "lines": Kind("lines stdout 300\nlines stderr 100\n", stdout=_lines(300), stderr=_lines(100)),
    "steps": Kind(
        "stderr #1 [internal] load build definition\\n\nstderr #1 DONE 0.0s\\n\nstderr #2 [1/1] RUN x\\n\n"
        "stderr #2 0.1 hello\\n\nstderr #2 DONE 0.2s\\n\nstdout Loaded image: x\\n\n",
        stdout=b"Loaded image: x\n",
        stderr=b"#1 [internal] load build definition\n#1 DONE 0.0s\n#2 [1/1] RUN x\n#2 0.1 hello\n#2 DONE 0.2s\n",
    ),
    "fails": Kind("stderr \\x00\\xff no\nexit 3\n", stderr=b"\x00\xff no", exit_code=3),
    "ticks": Kind(
        "".join(f"stdout tick {i}\\n\nstderr tock {i}\\n\nsleep 0.01\n" for i in _TICKS),
        stdout=b"".join(b"tick %d\n" % i for i in _TICKS),
        stderr=b"".join(b"tock %d\n" % i for i in _TICKS),
    ),
    "flood": Kind("lines stdout 30000\n", stdout=_lines(30000)),
    # With a child in its group and a grandchild that left it.
    "long": Kind("pid pids\nstdout up\\n\nfork-hold 600\nsetsid-hold 600\nsleep 600\n", stdout=b"up\n", endless=True),
    "stubborn": Kind("pid pids\nignore-term\nstderr no\\n\nsleep 600\n", stderr=b"no\n", endless=True),
}


@dataclass
class Known:
    """A build that the service has acknowledged."""

    kind: str
    request: pb.CreateBuildRequest
    events: dict = field(default_factory=dict)  # sequence -> response, byte for byte
    finished: pb.Build | None = None
    started: bool = False
    cancelled: bool = False  # somebody asked for it, or his policy did
    torn: bool = False


class Violation(AssertionError):
    pass


def require(condition, *what):
    if not condition:
        raise Violation(" ".join(str(part) for part in what))


# --- Processes -------------------------------------------------------------------------------------------------------


def become_subreaper():
    """So that what a killed daemon leaves becomes our child, and we see and reap it."""
    PR_SET_CHILD_SUBREAPER = 36
    assert ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def stat_of(pid: int):
    """State and start time of a process; nothing where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[0].decode(), int(fields[19])


def waited_for_the_cpu(pid: int) -> float:
    """For how many seconds the main thread could have run, and others did."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) / 1e9


def processes_of(state: Path) -> dict:
    """What was started for builds of this state folder: {pid: (start time, build)}."""
    found = {}
    tmpdir = f"TMPDIR={state}/builds/".encode()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        if tmpdir not in environment:
            continue
        stat = stat_of(int(process.name))
        if stat and stat[0] != "Z":
            names = [v for v in environment.split(b"\0") if v.startswith(b"CONTAINER_BUILDER_BUILD=")]
            found[int(process.name)] = (stat[1], names[0].partition(b"=")[2].decode())
    return found


def zombies_of(pid: int) -> list:
    zombies = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue  # the thread has ended
        for child in children:
            stat = stat_of(int(child))
            if stat and stat[0] == "Z":
                zombies.append(child)
    return zombies


# --- The journal's files ---------------------------------------------------------------------------------------------


def synced_end(folder: Path):
    """Up to which byte and sequence the journal is known to be on disk."""
    marks = (folder / "journal.sync").read_bytes()[16:]
    count = len(marks) // 24
    offset, sequence, _, _ = struct.unpack_from("<QQII", marks, (count - 1) * 24)
    return offset, sequence


def tear(folder: Path, randomness: random.Random) -> tuple:
    """Does to the unsynced end of a journal what the loss of power may; answers (what, synced sequence)."""
    offset, sequence = synced_end(folder)
    journal = folder / "journal"
    size = journal.stat().st_size
    require(size >= offset, journal, "is shorter than what was on disk")
    what = randomness.choice(["cut", "scribble", "zeros", "append"])
    with open(journal, "r+b") as file:
        if what == "cut" and size > offset:
            file.truncate(randomness.randrange(offset, size))
        elif what == "scribble" and size > offset:
            at = randomness.randrange(offset, size)
            file.seek(at)
            file.write(randomness.randbytes(min(randomness.randrange(1, 64), size - at)))
        elif what == "zeros":
            at = randomness.randrange(offset, size + 1)
            file.truncate(at)
            file.truncate(at + randomness.randrange(1, 5000))
        else:
            what = "append"
            file.seek(size)
            file.write(randomness.randbytes(randomness.randrange(1, 300)))
    return what, sequence


# --- The world -------------------------------------------------------------------------------------------------------


class World:
    def __init__(self, folder: Path, seed: int, flags=()):
        self.randomness = random.Random(seed)
        self.home = folder / "home"
        self.home.mkdir()
        self.state = self.home / "state"
        self.flags = [
            f"--nerdctl={required('FAKE_NERDCTL')}",
            f"--max_running_builds={RUNNING}",
            "--max_queued_builds=1000",
            "--min_free_bytes=0",
            "--drain_timeout=0s",
            "--health_interval=60s",
            *flags,
        ]
        self.contexts = {}
        for name, kind in KINDS.items():
            self.contexts[name] = folder / name
            self.contexts[name].mkdir()
            (self.contexts[name] / "fake.txt").write_text(kind.script)
        self.daemon = None
        self.known: dict[str, Known] = {}
        self.by_request: dict[str, str] = {}  # request id -> name, where acknowledged
        self.sent: dict[str, pb.CreateBuildRequest] = {}  # request id -> request, acknowledged or not
        self.deleted: set = set()
        self.doomed: set = set()  # asked to be deleted, and not answered
        self.left: dict = {}  # what ran when the daemon was killed
        self.verified: set = set()  # ended, and found as they should be
        self.counts = collections.Counter()
        self.starts: list[float] = []  # how long each took
        self.lock = threading.Lock()
        self.pool = ThreadPoolExecutor(max_workers=3 * BUILDS + 8)
        self.futures = []
        become_subreaper()

    # --- Lives

    def start(self, failpoint: str = "", wrapper=()):
        """Starts the daemon; with a failpoint, it may die of it before it is ready: False then."""
        env = dict(os.environ)
        env.pop("CONTAINER_BUILDER_FAILPOINT", None)
        if failpoint:
            env["CONTAINER_BUILDER_FAILPOINT"] = failpoint
        began = time.monotonic()
        try:
            self.daemon = Daemon(self.home, self.flags, None, env, wrapper)
        except Daemon.Ended as ended:
            require(failpoint and ended.code == -signal.SIGKILL, "the daemon did not start:", ended)
            return False
        took = time.monotonic() - began - waited_for_the_cpu(self.daemon.process.pid)
        require(wrapper or took <= SLOW_READY_SECONDS, f"ready after {took:.2f} s")
        if not wrapper:
            self.starts.append(took)
        channel = self.daemon.channel()
        # The bytes as they came: nothing is to change in them, not even what a parser would not tell.
        self._build = channel.unary_stream(_SERVICE + "Build", pb.BuildRequest.SerializeToString, bytes)
        self._watch = channel.unary_stream(_SERVICE + "WatchBuild", pb.WatchBuildRequest.SerializeToString, bytes)
        return True

    def kill(self):
        """kill -9, and what then still runs is noted."""
        self.daemon.process.kill()
        self.after_death()

    def after_death(self, seconds: float = 60):
        code = self.daemon.process.wait(seconds)
        require(code == -signal.SIGKILL, "the daemon ended with", code)
        # More may come to light for a moment: what was being spawned.
        self.left.update(processes_of(self.state))
        self.join()
        self.daemon.close()
        self.daemon = None
        self.counts["kills"] += 1

    def stop(self):
        """SIGTERM: the daemon ends its builds and itself."""
        self.daemon.process.terminate()
        code = self.daemon.process.wait(60)
        require(code == 0, "exit code after SIGTERM:", code)
        self.join()
        self.daemon.close()
        self.daemon = None
        require(not processes_of(self.state), "left after SIGTERM:", processes_of(self.state))

    def close(self):
        if self.daemon is not None:
            self.daemon.process.kill()
            self.daemon.process.wait()
            self.join()
            self.daemon.close()
        self.pool.shutdown()
        for pid, (start, _) in {**processes_of(self.state), **self.left}.items():
            stat = stat_of(pid)
            if stat and stat[1] == start:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.reap()

    def reap(self):
        for pid in self.left:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass

    # --- Clients

    def post(self, work, *arguments):
        self.futures.append(self.pool.submit(self._client, work, *arguments))

    def _client(self, work, *arguments):
        try:
            work(*arguments)
        except grpc.RpcError as error:
            # The daemon was killed or told to stop, or the client gave up by itself.
            codes = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN]
            if self.doomed:
                # Its files go before its record.
                codes += [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.DATA_LOSS]
            require(error.code() in codes, work.__name__, error)

    def join(self):
        while self.futures:
            futures, self.futures = self.futures, []
            for future in futures:
                future.result(120)

    def request(self, kind: str) -> pb.CreateBuildRequest:
        request = pb.CreateBuildRequest()
        request.spec.options.context_path = str(self.contexts[kind])
        request.spec.options.options.add(name="tag").value.values.values.append(f"{kind}:latest")
        request.policy.grace_period.FromMilliseconds(200)
        request.annotations["kind"] = kind
        request.annotations["number"] = str(len(self.sent))
        request.policy.disconnect_policy = pb.DISCONNECT_POLICY_DETACH
        request.request_id = f"request-{len(self.sent)}"
        self.sent[request.request_id] = request
        return request

    def acknowledged(self, name: str, request: pb.CreateBuildRequest):
        with self.lock:
            known = self.known.setdefault(name, Known(request.annotations["kind"], request))
            require(known.request == request, name, "was joined by another request")
            before = self.by_request.setdefault(request.request_id, name)
            require(before == name, request.request_id, "made", before, "and", name)

    def see(self, name: str, response: bytes):
        """Takes an event in; heartbeats are nothing."""
        event = pb.WatchBuildResponse.FromString(response).event
        require(event.name == name, "an event of", event.name, "for", name)
        if event.HasField("heartbeat"):
            return event
        with self.lock:
            known = self.known[name]
            before = known.events.setdefault(event.sequence, response)
            if before != response:
                raise Violation(
                    f"{name}: event {event.sequence} was\n{pb.WatchBuildResponse.FromString(before)}\nand is\n{event}"
                )
            if event.HasField("started"):
                known.started = True
            if event.HasField("finished"):
                known.finished = event.finished.build
        return event

    def follow(self, stream, name: str, after: int = 0) -> int:
        """Reads a stream to its end; answers the sequence of the last event."""
        for response in stream:
            event = self.see(name, response)
            if event.sequence:
                # Who has the end already is told it again.
                follows = event.sequence == after + (event.sequence != after or not event.HasField("finished"))
                require(follows, f"{name}: event {event.sequence} came after {after}")
                after = event.sequence
        return after

    def build(self, request: pb.CreateBuildRequest, cancel: bool):
        """A Build call."""
        call = self._build(pb.BuildRequest.FromString(request.SerializeToString()))
        last = 0
        for response in call:
            event = pb.BuildResponse.FromString(response).event
            if not last:
                self.acknowledged(event.name, request)
            self.see(event.name, response)
            if event.sequence:
                require(event.sequence == last + 1, f"{event.name}: event {event.sequence} came after {last}")
                last = event.sequence
            if cancel:
                self.known[event.name].cancelled = True
                call.cancel()
                return

    def create(self, request: pb.CreateBuildRequest, watchers: int, cancel_after: float, late: float):
        """A CreateBuild call and watchers, one of them late; and a cancel, where there is to be one."""
        name = self.daemon.stub.CreateBuild(request, timeout=30).build.name
        self.acknowledged(name, request)
        for _ in range(watchers):
            self.post(self.watch, name, 0)
        if cancel_after > 0:
            time.sleep(cancel_after)
            self.cancel(name)
        if late > 0:
            time.sleep(late)
            with self.lock:
                last = max(self.known[name].events, default=0)
            self.watch(name, self.randomness.randrange(last + 1))

    def watch(self, name: str, after: int):
        self.follow(self._watch(pb.WatchBuildRequest(name=name, after_sequence=after)), name, after)

    def cancel(self, name: str):
        self.known[name].cancelled = True
        build = self.daemon.stub.CancelBuild(pb.CancelBuildRequest(name=name), timeout=30).build
        require(build.state in TERMINAL, name, "is not ended after CancelBuild:", build.state)
        require(not [p for p in processes_of(self.state).values() if p[1] == name], name, "runs after CancelBuild")

    def delete(self, name: str):
        self.doomed.add(name)
        self.daemon.stub.DeleteBuild(pb.DeleteBuildRequest(name=name), timeout=30)
        self.deleted.add(name)

    def load(self, builds: int = BUILDS, kinds=tuple(KINDS), cancels=True):
        """Twenty builds at once, with watchers on all; nobody cancels them unless `cancels`."""
        for i in range(builds):
            kind = kinds[i % len(kinds)] if i < len(kinds) else self.randomness.choice(kinds)
            request = self.request(kind)
            roll = self.randomness.random()
            if roll < 0.25:
                request.policy.disconnect_policy = self.randomness.choice(
                    [pb.DISCONNECT_POLICY_DETACH, pb.DISCONNECT_POLICY_LINGER, pb.DISCONNECT_POLICY_CANCEL]
                )
                gone = cancels and request.policy.disconnect_policy == pb.DISCONNECT_POLICY_CANCEL and roll < 0.1
                self.post(self.build, request, gone)
            else:
                cancel_after = self.randomness.uniform(0.001, 0.2) if cancels and roll < 0.45 else 0
                late = self.randomness.uniform(0.001, 0.2) if roll > 0.6 else 0
                self.post(self.create, request, 1 + (roll > 0.9), cancel_after, late)

    def end_endless(self):
        """Cancels builds that would run for ever, so that others start, until the daemon dies."""
        running = pb.ListBuildsRequest(page_size=1000, states=[pb.Build.STATE_RUNNING])
        while True:
            for build in self.daemon.stub.ListBuilds(running, timeout=30).builds:
                if build.name in self.known and KINDS[build.annotations["kind"]].endless:
                    self.cancel(build.name)
            time.sleep(0.05)

    # --- Looking

    def listed(self) -> dict:
        builds = {}
        token = ""
        while True:
            page = self.daemon.stub.ListBuilds(pb.ListBuildsRequest(page_size=1000, page_token=token), timeout=30)
            for build in page.builds:
                require(build.name not in builds, build.name, "is listed twice")
                builds[build.name] = build
            token = page.next_page_token
            if not token:
                return builds

    def check_processes(self):
        """Nothing of an earlier life runs."""
        for pid, (start, name) in self.left.items():
            stat = stat_of(pid)
            require(
                stat is None or stat[1] != start or stat[0] == "Z", f"process {pid} of {name} outlived the restart"
            )
        self.reap()
        self.left = {}

    def verify(self, every: bool = False):
        """All that must hold after a restart; `every`: for builds that were looked at before, too."""
        self.check_processes()
        builds = self.listed()
        missing = set(self.known) - set(builds) - self.deleted - self.doomed
        require(not missing, "acknowledged, and not listed:", missing)
        require(not self.deleted & set(builds), "deleted, and listed:", self.deleted & set(builds))
        for name, build in builds.items():
            if name not in self.known:
                # It was made, and the answer did not arrive.
                request = self.sent[next(r for r, sent in self.sent.items() if sent.annotations == build.annotations)]
                self.acknowledged(name, request)
                self.counts["made, but not acknowledged"] += 1
        for name in sorted(builds):
            if every or name not in self.verified or self.randomness.random() < 0.02:
                self.verify_build(name, builds[name])
        self.doomed -= set(builds)

    def verify_build(self, name: str, build: pb.Build):
        known = self.known[name]
        finished_before = known.finished
        # What it was when it was listed may be over by now.
        self.follow(self._watch(pb.WatchBuildRequest(name=name, no_follow=True), timeout=30), name)
        sequences = sorted(known.events)
        require(sequences == list(range(1, len(sequences) + 1)), name, "has events", sequences)
        events = [pb.WatchBuildResponse.FromString(known.events[s]).event for s in sequences]
        kinds = [event.WhichOneof("event") for event in events]
        require(kinds.count("started") <= 1, name, "started twice:", kinds)
        require("finished" not in kinds[:-1], name, "goes on behind its end:", kinds)
        kind = KINDS[known.kind]
        printed = {pb.BuildOutput.STREAM_STDOUT: b"", pb.BuildOutput.STREAM_STDERR: b""}
        for event in events:
            if event.HasField("output"):
                require("started" in kinds[: event.sequence - 1], name, "printed before it started")
                before = printed[event.output.stream]
                require(event.output.offset == len(before), name, "has a gap in its output at", event.sequence)
                printed[event.output.stream] = before + event.output.data
        stdout, stderr = printed.values()
        require(kind.stdout.startswith(stdout), name, f"({known.kind}) printed", stdout[-200:])
        require(kind.stderr.startswith(stderr), name, f"({known.kind}) printed", stderr[-200:])
        if known.finished is None:
            require(build.state not in TERMINAL, name, "has ended, and its events have not:", build.state, kinds)
            return
        end = known.finished
        require(finished_before is None or finished_before == end, name, "ended twice")
        require(end.last_sequence == len(events), name, "counts", end.last_sequence, "events of", len(events))
        require((end.stdout_bytes, end.stderr_bytes) == (len(stdout), len(stderr)), name, "miscounts", end)
        now = self.daemon.stub.GetBuild(pb.GetBuildRequest(name=name), timeout=30).build
        require(now == end, name, "is", now, "and ended as", end)
        state = pb.Build.State.Name(end.state)
        if end.state == pb.Build.STATE_SUCCEEDED:
            require((stdout, stderr) == (kind.stdout, kind.stderr), name, "lost output")
            require(kind.exit_code == 0 and not kind.endless, name, "cannot succeed")
        elif end.state == pb.Build.STATE_FAILED:
            require(end.exit_code == kind.exit_code != 0, name, "failed:", end)
            require((stdout, stderr) == (kind.stdout, kind.stderr), name, "lost output")
        elif end.state == pb.Build.STATE_INTERRUPTED:
            require(end.failure.retryable, name, "can be sent again")
            require(end.failure.reason in ("CRASHED", "SHUTDOWN"), name, end.failure)
            require(known.torn or "started" in kinds, name, "was interrupted before it started")
        else:
            require(end.state == pb.Build.STATE_CANCELLED and known.cancelled, name, "ended as", state)
        if name not in self.verified:
            self.counts[state] += 1
        self.verified.add(name)

    def resend(self, count: int = 5):
        """The same requests make the same builds."""
        ids = list(self.sent)
        for request_id in ids[-count:]:
            request = self.sent[request_id]
            if request.policy.disconnect_policy == pb.DISCONNECT_POLICY_CANCEL:
                continue
            if self.by_request.get(request_id) in self.deleted | self.doomed:
                continue
            build = self.daemon.stub.CreateBuild(request, timeout=30).build
            self.acknowledged(build.name, request)

    def resend_acknowledged(self):
        """All that were: each makes the build that it made before."""
        for request_id, name in self.by_request.items():
            at_once = self.sent[request_id].policy.disconnect_policy == pb.DISCONNECT_POLICY_CANCEL
            if name not in self.deleted | self.doomed and not at_once:
                build = self.daemon.stub.CreateBuild(self.sent[request_id], timeout=30).build
                require(build.name == name, request_id, "made", name, "and", build.name)

    def unfinished(self) -> list:
        states = [pb.Build.STATE_QUEUED, pb.Build.STATE_RUNNING, pb.Build.STATE_CANCELLING]
        return [
            build.name
            for build in self.daemon.stub.ListBuilds(
                pb.ListBuildsRequest(page_size=1000, states=states), timeout=30
            ).builds
        ]

    def cancel_all(self):
        for name in self.unfinished():
            self.cancel(name)

    def check_idle(self):
        """Nothing runs, no zombie, no file that is nobody's."""
        eventually(lambda: not processes_of(self.state), "nothing runs")
        eventually(lambda: not zombies_of(self.daemon.process.pid), "no zombie is left")
        names = set(self.listed())
        require({f"builds/{path.name}" for path in (self.state / "builds").iterdir()} == names, "folders of nobody")
        require(not list((self.state / "trash").iterdir()), "something is in trash")
        require(not list((self.state / "new").iterdir()), "something is in new")
        left = [path for path in (self.state / "builds").glob("*/tmp")]
        require(not left, "folders for temporary files are left:", left)

    def running_journals(self) -> list:
        """Folders of builds that had not ended when the daemon died, as far as anybody knows."""
        return [
            self.state / name
            for name, known in self.known.items()
            if known.finished is None and (self.state / name / "journal").exists()
        ]

    def forget_unsynced(self, folder: Path, sequence: int):
        """A machine that crashes may lose what was not on disk; nobody is promised that."""
        known = self.known[f"builds/{folder.name}"]
        known.torn = True
        known.events = {s: event for s, event in known.events.items() if s <= sequence}
        known.started = any(
            pb.WatchBuildResponse.FromString(event).event.HasField("started") for event in known.events.values()
        )
