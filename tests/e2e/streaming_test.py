"""Output comes while the step runs, and byte for byte."""

import re
import subprocess
from pathlib import Path

from containerbuilder.v1 import container_builder_pb2 as pb

# Prints a line and waits until the test lets it go on: five times.
STEP = "RUN for i in 1 2 3 4 5; do echo line $i of 5; until [ -e /go$i ]; do sleep 0.05; done; done"

# What is not ASCII, not UTF-8, or means something to a terminal; no line end within.
ODD_BYTES = bytes(sorted(set(range(256)) - set(b"\n\r"))) + b"\xff\xfe\x80 \xc3 \x1b[31mred\x1b[0m \xe2\x82 end"


def let_go_on(pids, i: int):
    """Makes the file that the step waits for, in the step's own root."""
    for pid in pids:
        try:
            Path(f"/proc/{pid}/root/go{i}").touch()
        except OSError:
            pass  # A helper of the shell's that ended meanwhile.


def check_lines_come_one_by_one(output, eventually, step_processes):
    for i in range(1, 6):
        output.wait_for(b" line %d of 5" % i)
        assert b" line %d of 5" % (i + 1) not in output.stderr
        let_go_on(eventually(step_processes, "the step runs"), i)


def test_a_line_reaches_a_client_before_the_next_is_printed(
    start_call, eventually, processes_with, context, image, marker
):
    call = start_call(context(STEP), tag=[image()])
    check_lines_come_one_by_one(call.output, eventually, lambda: processes_with(marker))
    assert call.finished().state == pb.Build.STATE_SUCCEEDED


def test_a_line_reaches_the_cli_before_the_next_is_printed(
    start_cli, eventually, processes_with, context, image, marker
):
    cli = start_cli("build", "-t", image(), context(STEP))
    check_lines_come_one_by_one(cli.output, eventually, lambda: processes_with(marker))
    assert cli.wait() == 0


def test_odd_bytes_arrive_as_nerdctl_prints_them(start_call, start_cli, context, image):
    # In two steps: BuildKit itself may mix what one step prints on both.
    path = context("COPY odd /odd", "RUN cat /odd", "RUN cat /odd >&2")
    (path / "odd").write_bytes(ODD_BYTES + b"\n")
    command = ["nerdctl", "build", "--no-cache", "-t", image(), str(path)]
    printed = subprocess.run(command, capture_output=True, timeout=60)
    assert printed.returncode == 0, printed

    def odd_lines(stderr: bytes):
        return [re.sub(rb"^#\d+ [\d.]+ ", b"", line) for line in stderr.split(b"\n") if b"\xff\xfe" in line]

    expected = odd_lines(printed.stderr)
    assert expected == [ODD_BYTES, ODD_BYTES]
    call = start_call(path, no_cache=True, tag=[image()])
    assert call.finished().state == pb.Build.STATE_SUCCEEDED
    assert odd_lines(call.output.stderr) == expected
    cli = start_cli("build", "--no-cache", "-t", image(), path)
    assert cli.wait() == 0
    assert odd_lines(cli.output.stderr) == expected


def test_much_output_is_complete(start_call, context, image):
    # BuildKit cuts what a step prints at 200 KiB a second, and says so; this stays below.
    call = start_call(context("RUN seq 1 20000 | sed 's/^/n/'"), tag=[image()])
    assert call.finished().state == pb.Build.STATE_SUCCEEDED
    numbers = re.findall(rb"^#\d+ [\d.]+ n(\d+)$", call.output.stderr, re.MULTILINE)
    assert [int(number) for number in numbers] == list(range(1, 20001))
