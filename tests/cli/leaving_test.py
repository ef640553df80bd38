"""What an interrupted build leaves behind: nothing."""

import array
import fcntl
import io
import os
import signal
import socket
import subprocess
import tarfile
import termios

import pytest


@pytest.fixture
def temp(folder):
    path = folder / "tmp"
    path.mkdir()
    return path


@pytest.fixture
def start(cli_program, folder, temp):
    """Starts `container-builder build ...` with pipes, in a session of its own."""
    programs = []

    def start_(address, *arguments, cwd=folder):
        program = subprocess.Popen(
            [cli_program, f"--address={address}", "build", *arguments],
            cwd=cwd,
            env={**os.environ, "TMPDIR": str(temp), "DOCKER_CONFIG": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        programs.append(program)
        return program

    yield start_
    for program in programs:
        program.kill()
        program.communicate()


@pytest.fixture
def deaf():
    """Accepts connections and says nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    yield listener
    listener.close()


def archive(**files):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mode = 0o400
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def unpacked(temp, name):
    return list(temp.glob(f"container-builder.*/{name}"))


def wait_for_err(program, text):
    said = b""
    while text not in said:
        some = os.read(program.stderr.fileno(), 4096)
        assert some, said
        said += some


@pytest.mark.parametrize("detach", [[], ["--detach"]], ids=["attached", "detached"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_while_the_archive_is_read(start, deaf, temp, eventually, detach, number):
    address = f"127.0.0.1:{deaf.getsockname()[1]}"
    program = start(address, *detach, "-")
    # Not all of it: whoever sends it has stopped.
    program.stdin.write(archive(Dockerfile=b"FROM scratch\n", large=b"x" * 1_000_000)[:-20_000])
    program.stdin.flush()
    eventually(lambda: unpacked(temp, "large"), "the archive is unpacked")
    program.send_signal(number)
    assert program.wait(30) == 128 + number
    assert list(temp.iterdir()) == []


@pytest.mark.parametrize("detach", [[], ["--detach"]], ids=["attached", "detached"])
def test_a_second_signal_while_the_service_says_nothing(start, deaf, temp, eventually, detach):
    program = start(f"127.0.0.1:{deaf.getsockname()[1]}", *detach, "-")
    program.stdin.write(archive(Dockerfile=b"FROM scratch\n"))
    program.stdin.close()
    program.stdin = None
    connection, _ = deaf.accept()
    with connection:
        assert unpacked(temp, "Dockerfile")
        program.send_signal(signal.SIGINT)
        wait_for_err(program, b"again")
        program.send_signal(signal.SIGINT)
        assert program.wait(30) == 130
    assert list(temp.iterdir()) == []


def test_a_second_signal_while_the_build_ends(start, start_daemon, fake_nerdctl, temp):
    daemon = start_daemon(f"--nerdctl={fake_nerdctl}")
    program = start(daemon.tcp_address, "-")
    program.stdin.write(archive(**{"Dockerfile": b"FROM scratch\n", "fake.txt": b"ignore-term\nstdout up\\n\nsleep 60\n"}))
    program.stdin.close()
    program.stdin = None
    assert program.stdout.readline() == b"up\n"
    assert unpacked(temp, "fake.txt")
    program.send_signal(signal.SIGINT)
    wait_for_err(program, b"again")
    program.send_signal(signal.SIGTERM)
    assert program.wait(30) == 143
    assert list(temp.iterdir()) == []


def marks(context):
    return [name for name in os.listdir(context) if name.startswith(".container-builder-")]


@pytest.mark.parametrize("detach", [[], ["--detach"]], ids=["attached", "detached"])
@pytest.mark.parametrize("signals", [[signal.SIGINT, signal.SIGINT], [signal.SIGHUP]], ids=["two", "hangup"])
def test_no_mark_stays_in_the_context(start, folder, eventually, detach, signals):
    context = folder / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\n")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "deaf.sock"))
        listener.listen()
        program = start(f"unix://{folder}/deaf.sock", *detach, ".", cwd=context)
        eventually(lambda: marks(context), "the mark is there")
        program.send_signal(signals[0])
        for number in signals[1:]:
            wait_for_err(program, b"again")
            program.send_signal(number)
        assert program.wait(30) == 128 + signals[-1]
    assert marks(context) == []


def unread(pipe):
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def test_an_interrupt_while_the_dockerfile_is_typed(start, start_daemon, fake_nerdctl, folder, eventually):
    daemon = start_daemon(f"--nerdctl={fake_nerdctl}")
    program = start(daemon.tcp_address, "-f", "-", ".")
    # It reads: what was sent is gone from the pipe.
    program.stdin.write(b"FROM scratch\n")
    program.stdin.flush()
    eventually(lambda: unread(program.stdin.fileno()) == 0, "the Dockerfile is read")
    program.send_signal(signal.SIGINT)
    assert program.wait(30) == 130


def test_a_reader_that_has_enough_of_the_image(start, start_daemon, fake_nerdctl, folder, temp):
    """`build -o - | head`: as quiet as any program that SIGPIPE ends."""
    daemon = start_daemon(f"--nerdctl={fake_nerdctl}")
    context = folder / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\n")
    (context / "image").write_bytes(b"x" * 8_000_000)
    (context / "fake.txt").write_text("copy image ../artifacts/1/file\n")
    program = start(daemon.tcp_address, "-o", "-", str(context))
    assert program.stdout.read(1)
    program.stdout.close()
    program.stdout = None
    assert program.wait(60) == 128 + signal.SIGPIPE
    assert program.stderr.read() == b""
