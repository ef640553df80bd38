"""What a terminal gets of what others wrote: text and colours, and nothing else that it would heed."""

import json
import os
import pty
import subprocess
import threading
import tty

import pytest

# Names the window, writes to the clipboard, clears, by CSI in 8 bits and as UTF-8 has it, turns text around.
ORDERS = b"\x1b]0;title\x07\x1b]52;c;cm0=\x1b\\\x1b[2J\x9b2J\xc2\x9b2J\xe2\x80\xae"
HOSTILE = b"a\xc3\xbc\t" + ORDERS + b"\x1b[1;31mred\x1b[0m\r\n"
HARMLESS = b"a\xc3\xbc\t\x1b[1;31mred\x1b[0m\r\n"


class Stream:
    """A terminal or a pipe, and what came of it."""

    def __init__(self, is_terminal):
        if is_terminal:
            self._reader, self.writer = pty.openpty()
            # Its driver changes nothing.
            tty.setraw(self.writer)
        else:
            self._reader, self.writer = os.pipe()
        self.text = b""
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._read)

    def start(self):
        """The program has it now."""
        os.close(self.writer)
        self._thread.start()

    def _read(self):
        while True:
            try:
                some = os.read(self._reader, 65536)
            except OSError:  # so a terminal ends
                some = b""
            with self._changed:
                self.text += some
                self._ended = not some
                self._changed.notify_all()
            if not some:
                os.close(self._reader)
                return

    def wait_for(self, text):
        with self._changed:
            assert self._changed.wait_for(lambda: text in self.text or self._ended, 60), self.text
            assert text in self.text

    def finish(self):
        self._thread.join(60)
        assert self._ended
        return self.text


class Program:
    def __init__(self, command, folder, out, err):
        self.out = Stream(out)
        self.err = Stream(err)
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            # Nothing of its own goes there beside what is asked for.
            env={**os.environ, "DOCKER_CONFIG": str(folder), "TERM": "dumb"},
            stdin=subprocess.DEVNULL,
            stdout=self.out.writer,
            stderr=self.err.writer,
            start_new_session=True,
        )
        self.out.start()
        self.err.start()

    def finish(self):
        """Its exit code, and what it wrote on each stream."""
        try:
            code = self._process.wait(60)
        finally:
            self._process.kill()
        return code, self.out.finish(), self.err.finish()


@pytest.fixture
def program(cli_program, folder):
    """Starts container-builder with a terminal or a pipe for each stream."""

    def start(*arguments, out=True, err=True):
        return Program([cli_program, *arguments], folder, out, err)

    return start


@pytest.fixture
def daemon(start_daemon, fake_nerdctl):
    return start_daemon(f"--nerdctl={fake_nerdctl}")


def escaped(text):
    """As the fake nerdctl's script has it."""
    return "".join(f"\\x{byte:02x}" for byte in text)


def names_of_builds(program, address):
    """Of all that the service has."""
    code, out, _ = program(address, "list", "--format=json", out=False, err=False).finish()
    assert code == 0
    return [json.loads(line)["name"] for line in out.splitlines()]


@pytest.mark.parametrize("flags", [[], ["--raw"]], ids=["filtered", "raw"])
@pytest.mark.parametrize(("out", "err"), [(True, True), (True, False), (False, True), (False, False)])
def test_build_and_watch(program, daemon, context, flags, out, err):
    path = context(f"stdout {escaped(HOSTILE)}\nstderr {escaped(HOSTILE + HOSTILE)}\n")
    expected = (
        0,
        HARMLESS if out and not flags else HOSTILE,
        HARMLESS * 2 if err and not flags else HOSTILE * 2,
    )
    address = f"--address={daemon.address}"
    assert program(address, "build", *flags, str(path), out=out, err=err).finish() == expected
    (build,) = names_of_builds(program, address)
    assert program(address, "watch", *flags, build, out=out, err=err).finish() == expected


def test_a_sequence_that_comes_in_pieces(program, daemon, context, folder):
    """What was before it is there at once, and it is known when it goes on."""
    begin, end = escaped(b"\x1b]52;c;"), escaped(b"cm0=\x07down")
    path = context(f"stdout up{begin}\nwait-file {folder}/on\nstdout {end}\n")
    build = program(f"--address={daemon.address}", "build", str(path))
    build.out.wait_for(b"up")
    (folder / "on").touch()
    assert build.finish() == (0, b"updown", b"")


def test_one_that_never_ends(program, daemon, context):
    out, err = escaped(b"up\x1b]52;c;cm0="), escaped(b"\x1b[31")
    path = context(f"stdout {out}\nstderr {err}\nexit 3\n")
    assert program(f"--address={daemon.address}", "build", str(path)).finish() == (3, b"up", b"")


@pytest.mark.parametrize("flags", [[], ["--raw"]], ids=["filtered", "raw"])
def test_an_artifact(program, daemon, context, flags):
    path = context("copy image ../artifacts/1/file\n")
    (path / "Dockerfile").write_text("FROM scratch\n")
    (path / "image").write_bytes(HOSTILE)
    build = program(f"--address={daemon.tcp_address}", "build", *flags, "-o", "-", str(path))
    assert build.finish() == (0, HOSTILE if flags else HARMLESS, b"")


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_messages(program, terminal):
    """They tell what others said, here who typed the command."""
    word = "\x1b]0;title\x07\u009b2J\x1b[31mred"
    code, out, err = program(word, out=terminal, err=terminal).finish()
    told = "\x1b[31mred" if terminal else word
    assert (code, out) == (2, b"")
    assert err.startswith(f"container-builder: unknown command: {told}\n".encode())


@pytest.mark.parametrize("command", ["get", "list"])
def test_what_others_named(program, daemon, context, command):
    path = context("")
    path = path.rename(path.with_name("a\x1b]0;x\x07\u009b2J\u202ez"))
    address = f"--address={daemon.address}"
    assert program(address, "build", str(path)).finish()[0] == 0
    arguments = [command]
    if command == "get":
        arguments += names_of_builds(program, address)
    code, out, err = program(address, *arguments).finish()
    assert (code, err) == (0, b"")
    assert b"a\\x1b]0;x\\x07z\n" in out
    assert not any(order in out for order in (b"\x1b", b"\x07", "\u009b".encode(), "\u202e".encode()))
