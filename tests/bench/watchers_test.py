"""What many watchers, and one that never reads, cost the daemon and the build.

CONTAINERBUILDER_BENCH_WATCHERS (1000) watchers get CONTAINERBUILDER_BENCH_MEGABYTES (10) each. With
CONTAINERBUILDER_BENCH=1 the comparisons run, too; else they are left out, for they take minutes.
"""

import os
import statistics
import subprocess
import time
from pathlib import Path

import pytest
from conftest import required
from containerbuilder.v1 import container_builder_pb2 as pb

WATCHERS = int(os.environ.get("CONTAINERBUILDER_BENCH_WATCHERS", "1000"))
MEGABYTES = int(os.environ.get("CONTAINERBUILDER_BENCH_MEGABYTES", "10"))
MAX_RSS_KIB = 300 * 1024
CHANNELS = 20

compares = pytest.mark.skipif(not os.environ.get("CONTAINERBUILDER_BENCH"), reason="CONTAINERBUILDER_BENCH=1 runs it")


@pytest.fixture
def daemon(start_daemon, fake_nerdctl):
    return start_daemon(f"--nerdctl={fake_nerdctl}", "--health_interval=600s", "--min_free_bytes=0")


def context(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.mkdir()
    (path / "fake.txt").write_text(script)
    return path


def create(daemon, path: Path) -> str:
    request = pb.CreateBuildRequest()
    request.spec.options.context_path = str(path)
    return daemon.stub.CreateBuild(request, timeout=30).build.name


def peak_kib(daemon) -> int:
    for line in Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError("no VmHWM")


def watch(daemon, name: str, count: int, channels: int, go: Path):
    """Events, output bytes, seconds, CRC-32C."""
    answer = subprocess.run(
        [required("WATCHERS"), daemon.address, name, str(count), str(channels), str(go)],
        capture_output=True, text=True, timeout=1100,
    )  # fmt: skip
    assert answer.returncode == 0, answer
    events, size, seconds, crc = answer.stdout.split()
    return int(events), int(size), float(seconds), crc


def test_all_watchers_get_every_byte(daemon, folder):
    size = MEGABYTES * 1_000_000
    path = context(folder, "context", f"wait-file go\nbytes stdout {size} 7\n")
    before = peak_kib(daemon)
    events, got, seconds, crc = watch(daemon, create(daemon, path), WATCHERS, CHANNELS, path / "go")
    peak = peak_kib(daemon)
    print(f"{WATCHERS} watchers of {MEGABYTES} MB: {seconds:.1f} s, {WATCHERS * got / seconds / 1e6:.0f} MB/s in all,")
    print(f"{events} events; the daemon's peak RSS {peak / 1024:.0f} MiB, {before / 1024:.0f} before")
    assert got == size
    printed = subprocess.run([required("FAKE_NERDCTL"), "build", str(path)], cwd=path, stdout=subprocess.PIPE).stdout
    assert crc == crc32c(printed)
    assert peak < MAX_RSS_KIB


def crc32c(data: bytes) -> str:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return f"{crc ^ 0xFFFFFFFF:08x}"


def ended(daemon, name: str) -> float:
    """Waits without reading the log."""
    while True:
        build = daemon.stub.GetBuild(pb.GetBuildRequest(name=name), timeout=30).build
        if build.HasField("finish_time"):
            assert build.state == pb.Build.STATE_SUCCEEDED, build
            return (build.finish_time.ToNanoseconds() - build.start_time.ToNanoseconds()) / 1e9
        time.sleep(0.01)


def told(name: str, values: list) -> str:
    return f"{name} {min(values):.3f} / {statistics.median(values):.3f} / {max(values):.3f}"


@compares
def test_a_watcher_that_never_reads(daemon, folder):
    path = context(folder, "context", "bytes stdout 200000000 7\n")
    alone, watched = [], []
    for _ in range(9):
        alone.append(ended(daemon, create(daemon, path)))
        name = create(daemon, path)
        call = daemon.stub.WatchBuild(pb.WatchBuildRequest(name=name))
        watched.append(ended(daemon, name))
        call.cancel()
    ratios = [w / a for w, a in zip(watched, alone)]
    print("200 MB, seconds, min / median / max:", told("alone", alone) + ",", told("with one that never reads", watched))
    print(told("ratio", ratios))
    assert statistics.median(ratios) < 1.25


@compares
def test_relay_beside_a_pipe(daemon, folder):
    size = 200_000_000
    path = context(folder, "context", f"wait-file go\nbytes stdout {size} 7\n")
    pipe, relay = [], []
    for _ in range(5):
        (path / "go").touch()
        began = time.monotonic()
        fake = subprocess.Popen([required("FAKE_NERDCTL"), "build", str(path)], cwd=path, stdout=subprocess.PIPE)
        while os.read(fake.stdout.fileno(), 1 << 20):
            pass
        fake.wait()
        pipe.append(size / (time.monotonic() - began) / 1e6)
        (path / "go").unlink()
        relay.append(size / watch(daemon, create(daemon, path), 1, 1, path / "go")[2] / 1e6)
    print("MB/s, min / median / max:", told("a pipe", pipe) + ",", told("the service, to one watcher", relay))
