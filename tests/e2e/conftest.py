"""The real toolchain, and what the end-to-end tests do with it."""

import json
import os
import shutil
import subprocess
import threading
import time
import uuid
from pathlib import Path

import grpc
import pytest
from containerbuilder.v1 import container_builder_pb2 as pb

BUSYBOX = Path("/bin/busybox")

# There is no shell but busybox; it runs its own applets by name.
BASE = """\
FROM scratch
COPY busybox /bin/busybox
SHELL ["/bin/busybox", "sh", "-c"]
"""


@pytest.fixture(scope="session", autouse=True)
def engine():
    """Sees to it that the tests do not pass because there is nothing to test with."""
    missing = [name for name in ("CONTAINERD_ADDRESS", "BUILDKIT_HOST") if not os.environ.get(name)]
    missing += [name for name in ("nerdctl", "buildctl", "docker-registry") if not shutil.which(name)]
    missing += [] if BUSYBOX.exists() else [str(BUSYBOX)]
    if missing:
        pytest.fail(
            f"no {', '.join(missing)}: run service/toolchain/install --test once, "
            "then the tests under service/toolchain/with-engine",
            pytrace=False,
        )


@pytest.fixture
def private_engine() -> Path:
    """The folder of an engine that nobody else uses, for tests that stop a part of it or empty its cache."""
    folder = os.environ.get("CONTAINERBUILDER_ENGINE_DIR")
    if not folder:
        pytest.fail("needs an engine of its own: CONTAINERBUILDER_ENGINE=private service/toolchain/with-engine ...")
    return Path(folder)


def run(*command, **options) -> subprocess.CompletedProcess:
    """Runs a program to its end, which must be a good one."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    result = subprocess.run(command, timeout=120, text=True, **options)
    assert result.returncode == 0, result
    return result


@pytest.fixture
def marker() -> str:
    """A word that stands nowhere else; in a Dockerfile it makes the steps after it new to every cache."""
    return f"cb{uuid.uuid4().hex}"


@pytest.fixture
def image():
    """Makes up names of images, and removes those images in the end."""
    names = []

    def name() -> str:
        names.append(f"cb-e2e-{uuid.uuid4().hex[:12]}")
        return names[-1]

    yield name
    for name in names:
        subprocess.run(["nerdctl", "rmi", "--force", name], capture_output=True, timeout=60)
        assert not image_exists(name)


def image_exists(name: str) -> bool:
    return bool(run("nerdctl", "images", "--quiet", name).stdout.strip())


@pytest.fixture
def context(folder, marker):
    """Makes a build context: the base, the marker in the environment, the given lines, and files."""

    def make(*lines, name="context", base=BASE, **files) -> Path:
        path = folder / name
        path.mkdir(parents=True)
        shutil.copy(BUSYBOX, path / "busybox")
        environment = f"ENV MARKER={marker}\n" if base else ""
        (path / "Dockerfile").write_text(base + environment + "".join(line + "\n" for line in lines))
        for file, content in files.items():
            (path / file).write_text(content)
        return path

    return make


@pytest.fixture
def daemon(start_daemon):
    """A daemon that gets its surroundings from flags, in a folder that is nobody's context."""
    flags = [
        f"--containerd_address={os.environ['CONTAINERD_ADDRESS']}",
        f"--buildkit_host={os.environ['BUILDKIT_HOST']}",
        "--health_interval=200ms",
    ]
    if "CONTAINERD_SNAPSHOTTER" in os.environ:
        flags.append(f"--snapshotter={os.environ['CONTAINERD_SNAPSHOTTER']}")
    return start_daemon(*flags)


# --- Processes -------------------------------------------------------------------------------------------------------


def processes_with(text: str) -> dict:
    """Those with the text in an argument or in the environment, other than ourselves: {pid: command line}."""
    found = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            command_line = (process / "cmdline").read_bytes()
            if text.encode() in command_line or text.encode() in (process / "environ").read_bytes():
                found[int(process.name)] = command_line.replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            pass  # It ended meanwhile.
    return found


@pytest.fixture(name="processes_with")
def processes_with_fixture():
    return processes_with


@pytest.fixture(autouse=True)
def nothing_is_left(engine, folder, marker):
    """After each test: no process that names its folder (nerdctl, buildctl, clients) or has its marker (RUN steps)."""
    yield
    deadline = time.monotonic() + 45  # under the minute that steps sleep
    while left := {**processes_with(marker), **processes_with(str(folder))}:
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.05)


@pytest.fixture
def assert_nothing_runs(eventually, marker):
    """Waits until nothing of a build is left: neither nerdctl and buildctl, which name the context, nor the step."""

    def check(context: Path, seconds: float = 45):
        def left():
            return {**processes_with(marker), **processes_with(f"={context}"), **processes_with(f"\0{context}")}

        eventually(lambda: not left(), f"nothing is left of the build; now {left()}", seconds)

    return check


# --- Builds ----------------------------------------------------------------------------------------------------------


class Output:
    """What a build printed so far, for a test that waits for some of it."""

    def __init__(self):
        self._changed = threading.Condition()
        self._bytes = {"stdout": b"", "stderr": b""}
        self._ended = False

    def append(self, stream: str, data: bytes):
        with self._changed:
            self._bytes[stream] += data
            self._changed.notify_all()

    def end(self):
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def stdout(self) -> bytes:
        return self._bytes["stdout"]

    @property
    def stderr(self) -> bytes:
        return self._bytes["stderr"]

    def wait_for(self, text: bytes, seconds: float = 30):
        """Waits until the text was printed on standard error, where nerdctl's progress goes."""
        with self._changed:
            self._changed.wait_for(lambda: text in self.stderr or self._ended, seconds)
            assert text in self.stderr, f"{text} did not come within {seconds} s:\n{self.stderr.decode()}"


class Call:
    """A Build call that is read in the background, with the rules of the stream checked on the way."""

    def __init__(self, call):
        self.call = call
        self.output = Output()
        self.events = []
        self.error = None
        self._failure = None
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self):
        try:
            for response in self.call:
                self._take(response.event)
        except grpc.RpcError as error:
            self.error = error
        except BaseException as failure:
            self._failure = failure
            self.call.cancel()
        finally:
            self.output.end()

    def _take(self, event: pb.BuildEvent):
        if event.HasField("heartbeat"):
            return
        self.events.append(event)
        assert event.sequence == len(self.events)
        if event.HasField("output"):
            stream = "stdout" if event.output.stream == pb.BuildOutput.STREAM_STDOUT else "stderr"
            assert event.output.offset == len(getattr(self.output, stream))
            self.output.append(stream, event.output.data)

    def wait(self, seconds: float = 60):
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"the call did not end within {seconds} s"
        if self._failure:
            raise self._failure
        return self

    def finished(self, seconds: float = 60) -> pb.Build:
        """The build as the last event tells it."""
        self.wait(seconds)
        assert self.error is None, self.error
        kinds = [event.WhichOneof("event") for event in self.events]
        assert kinds.index("finished") == len(kinds) - 1, kinds
        return self.events[-1].finished.build

    @property
    def started(self) -> pb.BuildStarted:
        return next(event.started for event in self.events if event.HasField("started"))


@pytest.fixture
def start_call(daemon):
    """Starts a Build call by grpcio; options are lists of values by name."""
    calls = []

    def start(context, timeout=120, stub=None, spec=None, **options) -> Call:
        request = pb.BuildRequest(spec=spec)
        request.spec.options.context_path = str(context)
        for name, values in options.items():
            if name in ("build_arg", "cache_from", "cache_to", "label", "output", "secret"):
                getattr(request.spec.options, name).values.values.extend(values)
            elif isinstance(values, bool):
                request.spec.options.options.add(name=name).value.flag = values
            else:
                request.spec.options.options.add(name=name).value.values.values.extend(values)
        calls.append(Call((stub or daemon.stub).Build(request, timeout=timeout)))
        return calls[-1]

    yield start
    for call in calls:
        call.call.cancel()
        call.wait()


class Cli:
    """The CLI as a running process, with its output read in the background."""

    def __init__(self, program, address, arguments, cwd):
        self.process = subprocess.Popen(
            [program, f"--address={address}", *map(str, arguments)],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.output = Output()
        self._threads = [
            threading.Thread(target=self._read, args=("stdout", self.process.stdout)),
            threading.Thread(target=self._read, args=("stderr", self.process.stderr)),
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream, pipe):
        while data := os.read(pipe.fileno(), 65536):
            self.output.append(stream, data)
        pipe.close()

    def wait(self, seconds: float = 60) -> int:
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it runs for {seconds} s more; it said {self.output.stdout!r} and {self.output.stderr!r}")
        for thread in self._threads:
            thread.join(seconds)
        self.output.end()
        return code


@pytest.fixture
def start_cli(cli_program, daemon, folder):
    processes = []

    def start(*arguments, cwd=None, address="") -> Cli:
        processes.append(Cli(cli_program, address or daemon.address, arguments, cwd or folder))
        return processes[-1]

    yield start
    for cli in processes:
        if cli.process.poll() is None:
            cli.process.kill()
        cli.wait()


@pytest.fixture
def cli(start_cli):
    """Runs the CLI to its end, which has to have the code; answers its output as text."""

    def run_cli(*arguments, cwd=None, address="", code=0) -> subprocess.CompletedProcess:
        process = start_cli(*arguments, cwd=cwd, address=address)
        result = subprocess.CompletedProcess(
            ["container-builder", *map(str, arguments)],
            process.wait(120),
            process.output.stdout.decode(),
            process.output.stderr.decode(),
        )
        assert result.returncode == code, f"{result.returncode}\n{result.stdout}\n{result.stderr}"
        return result

    return run_cli


@pytest.fixture
def inspect():
    """The image's configuration, as nerdctl tells it."""

    def image_config(name: str) -> dict:
        return json.loads(run("nerdctl", "image", "inspect", name).stdout)[0]["Config"]

    return image_config


@pytest.fixture
def nerdctl():
    def run_nerdctl(*arguments) -> str:
        return run("nerdctl", *map(str, arguments)).stdout

    return run_nerdctl
