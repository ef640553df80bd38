"""The grpcurl example: a shell script with no stub at all."""

import subprocess
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "client" / "examples" / "grpcurl" / "build_image.sh"


@pytest.fixture
def run_example(start_daemon, fake_nerdctl, folder):
    daemon = start_daemon(f"--nerdctl={fake_nerdctl}", f"--read_roots={folder}")
    context = folder / "context"
    context.mkdir()

    def run(address_name: str, script: str):
        (context / "fake.txt").write_text(script)
        address = getattr(daemon, address_name)
        return subprocess.run([EXAMPLE, address, context, "example:latest"], capture_output=True, timeout=60)

    return run


@pytest.mark.parametrize("address", ["address", "tcp_address"])
def test_shows_health_and_output(run_example, address):
    result = run_example(address, "stderr on \\xff stderr\\n\nstdout on \\x01 stdout\\n\n")
    assert result.returncode == 0, result
    assert b'"nerdctl_version": "1.7.7"' in result.stdout
    assert result.stdout.endswith(b"}\non \x01 stdout\n"), result
    assert result.stderr == b"on \xff stderr\nSTATE_SUCCEEDED\n"


def test_fails_with_the_build(run_example):
    result = run_example("address", "exit 7\n")
    assert result.returncode == 1
    assert result.stderr == b"STATE_FAILED\n"


def test_shows_a_refusal(start_daemon, fake_nerdctl, folder):
    daemon = start_daemon(f"--nerdctl={fake_nerdctl}")
    result = subprocess.run(
        [EXAMPLE, daemon.tcp_address, folder, "example:latest"], capture_output=True, timeout=60
    )
    assert result.returncode == 1
    assert b"PermissionDenied" in result.stderr and b"google.rpc.ErrorInfo" in result.stderr
