"""Two machines, as network namespaces with a cable between them. For tests that import the fixture."""

import subprocess
import uuid

import pytest

SERVER, CLIENT = "10.199.0.1", "10.199.0.2"
PORT = 50051


def checked(*command, **options):
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)
    assert result.returncode == 0, result
    return result


@pytest.fixture
def namespaces():
    """Two, with a cable between them: the server's and the client's."""
    mark = uuid.uuid4().hex[:8]
    server, client = f"cbs{mark}", f"cbc{mark}"
    try:
        for name in (server, client):
            checked("ip", "netns", "add", name)
        checked("ip", "link", "add", server, "netns", server, "type", "veth", "peer", "name", client, "netns", client)
        for name, address in ((server, SERVER), (client, CLIENT)):
            checked("ip", "-n", name, "address", "add", f"{address}/24", "dev", name)
            checked("ip", "-n", name, "link", "set", name, "up")
            checked("ip", "-n", name, "link", "set", "lo", "up")
        yield server, client
    finally:
        for name in (server, client):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
