"""What all Python tests share: a private folder, a daemon of one's own, and waiting for things to happen."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import grpc
import pytest
from containerbuilder.v1 import container_builder_pb2_grpc as pb_grpc

# A proxy of the machine's is not for loopback; nor does a caller's address or BuildKit setting matter here.
for _name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy"):
    os.environ.pop(_name, None)
    os.environ.pop(_name.upper(), None)
for _name in ("CONTAINER_BUILDER_ADDRESS", "DOCKER_BUILDKIT"):
    os.environ.pop(_name, None)

READY_SECONDS = 60
# The daemon ends running builds on SIGTERM: their grace period is ten seconds.
STOP_SECONDS = 60


def required(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        pytest.fail(f"{variable} is not set: run the tests by ctest, which sets it", pytrace=False)
    return value


def eventually(condition, what: str, seconds: float = 60, interval: float = 0.02):
    """Calls `condition` until it answers something true, and answers that; fails when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(interval)


def is_traced(pid: int) -> bool:
    """Whether a tracer has all threads of the process."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            if "TracerPid:\t0\n" in (task / "status").read_text():
                return False
        except OSError:
            continue  # the thread has ended
    return True


@pytest.fixture(name="eventually")
def eventually_fixture():
    return eventually


@pytest.fixture
def fake_nerdctl() -> str:
    return required("FAKE_NERDCTL")


@pytest.fixture
def cli_program() -> str:
    return required("CONTAINERBUILDER_CLI")


@pytest.fixture
def context(folder):
    """A function of a script for the fake nerdctl, which answers the context that has it."""
    path = folder / "context"
    path.mkdir()

    def script(text: str) -> Path:
        (path / "fake.txt").write_text(text)
        return path

    return script


class Daemon:
    """A running container-builderd with a unix socket and a loopback port; its state is kept in the folder."""

    class Ended(Exception):
        """It ended before it was ready."""

        def __init__(self, command, code: int, log: str):
            super().__init__(f"{command} ended with {code}:\n{log}")
            self.code = code

    def __init__(self, folder: Path, flags, cwd=None, env=None, wrapper=()):
        """`wrapper` is a command that runs the daemon, such as strace; the process is the wrapper's then."""
        self.log = folder / "daemon.log"
        self.state = folder / "state"
        address_file = folder / "addresses"
        address_file.unlink(missing_ok=True)
        command = [
            *wrapper,
            required("CONTAINERBUILDER_DAEMON"),
            f"--listen=unix://{folder}/daemon.sock,127.0.0.1:0",
            f"--state_dir={self.state}",
            f"--address_file={address_file}",
            # What runs at a test's end is not waited for.
            "--drain_timeout=1s",
            *flags,
        ]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, cwd=cwd or folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

        def ready():
            if self.process.poll() is not None:
                raise self.Ended(command, self.process.returncode, self.log.read_text(errors="replace"))
            return address_file.exists() and len(address_file.read_text().splitlines()) == 2

        try:
            eventually(ready, f"{command} writes its addresses", READY_SECONDS)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.address, self.tcp_address = address_file.read_text().split()
        self._channels = []
        self.stub = pb_grpc.ContainerBuilderStub(self.channel())
        self.tcp_stub = pb_grpc.ContainerBuilderStub(self.channel(self.tcp_address))

    def channel(self, address: str = "") -> grpc.Channel:
        """A connection of its own, closed with the daemon's end."""
        channel = grpc.insecure_channel(
            address or self.address,
            options=[
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                ("grpc.use_local_subchannel_pool", 1),
            ],
        )
        self._channels.append(channel)
        return channel

    def close(self):
        """Closes the connections."""
        for channel in self._channels:
            channel.close()

    def stop(self) -> int:
        """Sends SIGTERM and answers the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        finally:
            self.close()
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


@pytest.fixture
def daemon_in():
    """Starts a daemon whose state is kept in a folder, which may have had others before. The caller ends it."""
    return Daemon


@pytest.fixture
def folder():
    """A private folder with a short path (that of a unix socket has 107 bytes), gone afterwards."""
    parent = tempfile.gettempdir()
    path = Path(tempfile.mkdtemp(prefix="cb-", dir=parent if len(parent) < 50 else "/tmp")).resolve()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def start_daemon(folder):
    """Starts daemons, and in the end sees to it that each stops on SIGTERM with exit code 0."""
    daemons = []

    def start(*flags, cwd=None, env=None) -> Daemon:
        home = folder / f"daemon{len(daemons)}"
        home.mkdir()
        daemons.append(Daemon(home, flags, cwd, env))
        return daemons[-1]

    yield start
    codes = []
    for daemon in daemons:
        try:
            codes.append(daemon.stop())
        except subprocess.TimeoutExpired:
            codes.append("none: it had to be killed")
        print(f"--- the daemon's log:\n{daemon.log.read_text(errors='replace')}")
    assert codes == [0] * len(codes), f"exit codes of the daemons after SIGTERM: {codes}"
