"""What the daemon's process and its children can do, hold open and tell."""

import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from conftest import eventually
from containerbuilder.v1 import container_builder_pb2 as pb
from fixtures import nerdctl_flag, request_of  # noqa: F401

# As in the systemd unit: without these rights, only what is dumpable can be looked into, whoever owns it.
_RIGHTS = "-sys_ptrace,-perfmon,-sys_admin"
WITHOUT_PTRACE = ("setpriv", f"--bounding-set={_RIGHTS}", f"--inh-caps={_RIGHTS}")


@pytest.fixture
def daemon(daemon_in, folder, nerdctl_flag):
    home = folder / "home"
    home.mkdir()
    daemon = daemon_in(home, [nerdctl_flag, "--health_interval=1h"], wrapper=WITHOUT_PTRACE)
    yield daemon
    daemon.stop()


def status_of(pid: int) -> dict:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def start(daemon, request) -> int:
    """Starts a build and answers nerdctl's pid."""
    for response in daemon.stub.Build(request, timeout=60):
        if response.event.HasField("started"):
            return response.event.started.pid


def may_look_into(pid: int) -> bool:
    looked = subprocess.run([*WITHOUT_PTRACE, "cat", f"/proc/{pid}/environ"], capture_output=True, text=True)
    assert looked.returncode == 0 or "Permission denied" in looked.stderr, looked
    return looked.returncode == 0


def test_neither_it_nor_its_children_gain_rights_or_dump_core(daemon, request_of):
    child = start(daemon, request_of("context", "sleep 600\n"))
    for pid in (daemon.process.pid, child):
        status = status_of(pid)
        assert status["NoNewPrivs"] == "1"
        assert status["Umask"] == "0077"
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE), limits
    # A core file could not be made of it, nor could it be looked into; its children can be, by which it finds
    # what is left of them.
    assert not may_look_into(daemon.process.pid)
    assert may_look_into(child)


def test_no_new_privs_can_be_left_out(daemon_in, folder, nerdctl_flag, request_of):
    if status_of(os.getpid())["NoNewPrivs"] == "1":
        pytest.skip("the tests themselves run without new privileges")
    daemon = daemon_in(folder, [nerdctl_flag, "--no_new_privs=false"])
    try:
        assert status_of(start(daemon, request_of("context", "sleep 600\n")))["NoNewPrivs"] == "0"
    finally:
        daemon.stop()


def test_what_a_killed_daemon_left_is_found_without_the_right_to_trace(daemon_in, folder, nerdctl_flag, request_of):
    first = daemon_in(folder, [nerdctl_flag], wrapper=WITHOUT_PTRACE)
    pid_file = folder / "pids"
    # In a session of its own: only its environment tells whose it is.
    start(first, request_of("context", f"setsid-close 600\npid {pid_file}\nsleep 600\n"))
    pids = eventually(lambda: pid_file.exists() and pid_file.read_text().split(), "nerdctl wrote its pids")
    first.process.kill()
    first.process.wait()
    first.close()
    second = daemon_in(folder, [nerdctl_flag], wrapper=WITHOUT_PTRACE)
    try:
        for pid in map(int, pids):
            assert not Path(f"/proc/{pid}").exists() or status_of(pid)["State"].startswith("Z")
    finally:
        second.stop()


def descriptors(pid: int) -> dict:
    """What each descriptor is, and whether it goes with the next program."""
    found = {}
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            flags = re.search(r"^flags:\s+([0-7]+)$", entry.read_text(), re.MULTILINE)
            target = os.readlink(f"/proc/{pid}/fd/{entry.name}")
        except FileNotFoundError:
            continue
        found[int(entry.name)] = (target, bool(int(flags[1], 8) & os.O_CLOEXEC))
    return found


def test_children_get_no_descriptor_whatever_is_open(daemon, folder, request_of):
    running = request_of("running", "stdout up\\n\nwait-file go\n")
    name = next(iter(daemon.stub.Build(running))).event.name
    calls = []
    for i in range(40):
        stub = (daemon.stub, daemon.tcp_stub)[i % 2]
        if stub is daemon.stub:
            calls.append(stub.WatchBuild(pb.WatchBuildRequest(name=name)))
            next(calls[-1])
        else:
            stub.Health(pb.HealthRequest(), timeout=30)
    dump = folder / "dump"
    while_open = request_of("other", f"dump-state {dump}\n")
    assert list(daemon.stub.Build(while_open))[-1].event.finished.build.state == pb.Build.STATE_SUCCEEDED
    kept = [line for line in dump.read_text().splitlines() if line.startswith("fd ")]
    assert [line.split()[1] for line in kept] == ["0", "1", "2"], kept

    # Nor would any other program that is started some day.
    found = descriptors(daemon.process.pid)
    assert len(found) > 20
    assert [what for fd, what in found.items() if fd > 2 and not what[1]] == []
    (folder / "running" / "go").touch()


def test_address_file_does_not_follow_a_link(folder, nerdctl_flag, daemon_in):
    precious = folder / "precious"
    precious.write_text("kept")
    (folder / "addresses.new").symlink_to(precious)
    daemon_in(folder, [nerdctl_flag]).stop()
    assert precious.read_text() == "kept"
    assert not (folder / "addresses").is_symlink()


@pytest.mark.parametrize("name", ["{folder}/notify", "@container-builder-test-{pid}"])
def test_systemd_is_told(folder, nerdctl_flag, daemon_in, name):
    name = name.format(folder=folder, pid=os.getpid())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(name.replace("@", "\0"))
        notified.settimeout(20)
        daemon = daemon_in(folder, [nerdctl_flag], env={**os.environ, "NOTIFY_SOCKET": name})
        try:
            assert notified.recv(4096) == b"READY=1"
            daemon.process.send_signal(signal.SIGHUP)
            assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", notified.recv(4096))
            assert notified.recv(4096) == b"READY=1"
        finally:
            daemon.stop()
        assert notified.recv(4096) == b"STOPPING=1"


def test_its_log_gives_a_terminal_no_orders(start_daemon, nerdctl_flag, folder):
    name = "a\x1b]0;title\x07\u009b2J\u202e\xfc.sock"
    daemon = start_daemon(nerdctl_flag, f"--listen=unix://{folder}/{name},127.0.0.1:0")
    log = daemon.log.read_bytes()
    assert not re.search(rb"[^\n -~]", log), log
    escaped = r"a\x1b]0;title\x07\xc2\x9b2J\xe2\x80\xae\xc3\xbc.sock"
    assert f"ready on unix://{folder}/{escaped}," in log.decode()
