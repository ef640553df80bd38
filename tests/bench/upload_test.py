"""Uploads of contexts beside plain tar through a TCP connection: `tar -c` at one end, `tar -x` at the other.

With CONTAINERBUILDER_BENCH=1 in full size and CONTAINERBUILDER_BENCH_ROUNDS (5) times each, in turn; else small and
once, which shows that both ways work.
"""

import os
import shutil
import socket
import statistics
import subprocess
import time
from pathlib import Path

import pytest
from conftest import required

BENCH = bool(os.environ.get("CONTAINERBUILDER_BENCH"))
ROUNDS = int(os.environ.get("CONTAINERBUILDER_BENCH_ROUNDS", "5")) if BENCH else 1
LARGE_BYTES = (256 if BENCH else 8) << 20
SMALL_FILES, SMALL_BYTES = 10_000 if BENCH else 300, 1024
FILES_PER_FOLDER = 100


@pytest.fixture
def daemon(start_daemon, fake_nerdctl):
    return start_daemon(f"--nerdctl={fake_nerdctl}", "--health_interval=600s", "--min_free_bytes=0")


def tar_through_tcp(source: Path, destination: Path) -> float:
    """The seconds until all of it is unpacked."""
    shutil.rmtree(destination, ignore_errors=True)
    destination.mkdir()
    os.sync()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        with socket.create_connection(listener.getsockname()) as near, listener.accept()[0] as far:
            sender = subprocess.Popen(["tar", "-C", source, "-cf", "-", "."], stdout=near)
            receiver = subprocess.Popen(["tar", "-C", destination, "-xf", "-"], stdin=far)
            near.close()
            far.close()
            assert sender.wait(600) == 0 and receiver.wait(600) == 0
        return time.monotonic() - began


def upload(daemon, source: Path):
    """Contents that were sent, the seconds until the service has all, and those until it is unpacked and was built."""
    os.sync()
    began = time.monotonic()
    answer = subprocess.run(
        [required("UPLOAD"), daemon.tcp_address, source], capture_output=True, text=True, timeout=600
    )  # fmt: skip
    total = time.monotonic() - began
    assert answer.returncode == 0, answer
    blobs, size, read, send, build = answer.stdout.split()
    print(f"  sent {blobs} contents, {size} bytes; read {read} s, send {send} s, build {build} s")
    return int(blobs), int(size), total - float(build), total


def make_small(folder: Path):
    for number in range(SMALL_FILES):
        path = folder / str(number // FILES_PER_FOLDER) / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(SMALL_BYTES))


def told(name: str, values: list) -> str:
    return f"{name} {min(values):.2f} / {statistics.median(values):.2f} / {max(values):.2f}"


def compare(what: str, daemon, folder: Path, make, size: int, expect_blobs):
    """Rounds of both; what `make` makes is new to the service each time."""
    tar, uploads, builds = [], [], []
    for number in range(ROUNDS):
        source = folder / "context"
        make(source, number)
        tar.append(tar_through_tcp(source, folder / "tar"))
        blobs, _, uploaded, built = upload(daemon, source)
        assert blobs == expect_blobs
        uploads.append(uploaded)
        builds.append(built)
    same = subprocess.run(["diff", "--recursive", "--brief", folder / "context", folder / "tar"], capture_output=True)
    assert same.returncode == 0, same
    print(f"{what}, {ROUNDS} rounds, min / median / max:")
    print(f"  {told('tar, s', tar)}; {told('MB/s', [size / seconds / 1e6 for seconds in tar])}")
    print(f"  {told('upload, s', uploads)}; {told('MB/s', [size / seconds / 1e6 for seconds in uploads])}")
    print(f"  {told('upload by tar', [a / b for a, b in zip(uploads, tar)])}")
    print(f"  {told('upload, unpacked and built, by tar', [a / b for a, b in zip(builds, tar)])}")


def test_one_large_file(daemon, folder):
    def make(source, number):
        source.mkdir(exist_ok=True)
        with open(source / "large", "wb") as file:
            for _ in range(LARGE_BYTES >> 20):
                file.write(os.urandom(1 << 20))

    # And the folder.
    compare(f"1 file of {LARGE_BYTES >> 20} MiB", daemon, folder, make, LARGE_BYTES, 2)


def test_many_small_files(daemon, folder):
    def make(source, number):
        shutil.rmtree(source, ignore_errors=True)
        make_small(source)

    folders = SMALL_FILES // FILES_PER_FOLDER + 1
    compare(
        f"{SMALL_FILES} files of {SMALL_BYTES} bytes", daemon, folder, make, SMALL_FILES * SMALL_BYTES,
        SMALL_FILES + folders,
    )  # fmt: skip


def test_one_changed_file_of_many(daemon, folder):
    make_small(folder / "context")
    upload(daemon, folder / "context")

    def make(source, number):
        (source / "1" / str(FILES_PER_FOLDER + number)).write_bytes(os.urandom(SMALL_BYTES))

    # It and the two folders above it.
    compare(f"1 changed file of {SMALL_FILES}", daemon, folder, make, SMALL_FILES * SMALL_BYTES, 3)
