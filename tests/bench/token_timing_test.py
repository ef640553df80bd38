"""That the time which a token takes tells nothing of the tokens there are.

CONTAINERBUILDER_BENCH=1 makes a million calls of each, else fewer. A difference that is there shows in each attempt;
one of three without is enough, for other work on the machine is no leak.
"""

import os
import subprocess

from conftest import required

CALLS = 1_000_000 if os.environ.get("CONTAINERBUILDER_BENCH") else 100_000
ATTEMPTS = 3
# What dudect takes for a difference.
SIGNIFICANT_T = 4.5


def test_no_digest_is_told_by_time():
    for _ in range(ATTEMPTS):
        answer = subprocess.run(
            [required("TOKEN_TIMING"), str(CALLS)], capture_output=True, text=True, timeout=300
        )  # fmt: skip
        assert answer.returncode == 0, answer
        ours, stopping = map(float, answer.stdout.split())
        print(f"|t| over {CALLS} tokens: {ours}; of a comparison that stops at the first difference: {stopping}")
        assert stopping > SIGNIFICANT_T
        if ours < SIGNIFICANT_T:
            return
    raise AssertionError(f"|t| was at least {SIGNIFICANT_T} {ATTEMPTS} times")
