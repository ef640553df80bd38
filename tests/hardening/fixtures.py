"""What the tests of a closed daemon share."""

import pytest
from conftest import required
from containerbuilder.v1 import container_builder_pb2 as pb


@pytest.fixture
def request_of(folder):
    """Makes requests for builds that do what the script says; they outlive their callers."""

    def request(name: str, script: str) -> pb.BuildRequest:
        context = folder / name
        context.mkdir()
        (context / "fake.txt").write_text(script)
        request = pb.BuildRequest()
        request.spec.options.context_path = str(context)
        request.policy.disconnect_policy = pb.DISCONNECT_POLICY_DETACH
        request.policy.grace_period.FromMilliseconds(200)
        return request

    return request


@pytest.fixture
def nerdctl_flag() -> str:
    return f"--nerdctl={required('FAKE_NERDCTL')}"
