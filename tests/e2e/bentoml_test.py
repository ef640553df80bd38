"""BentoML builds through the service: the example's backend, with the CLI as its binary."""

import sys
from pathlib import Path

import pytest
from bentoml.container import get_backend, health
from bentoml.exceptions import BentoMLException

sys.path.append(str(Path(__file__).parents[2] / "client" / "examples" / "bentoml"))

import container_builder_backend  # noqa: E402


@pytest.fixture
def backend(daemon, cli_program, marker):
    """The name of a backend that no other test has registered."""
    container_builder_backend.register(daemon.address, name=marker, binary=cli_program)
    return marker


def test_health_is_the_services(backend, daemon):
    assert health(backend)
    daemon.stop()
    assert not health(backend)


def test_it_builds(backend, context, image, inspect, nerdctl):
    name = image()
    path = context(
        "ARG WHO",
        "LABEL who=$WHO",
        'RUN echo "for $WHO" > /bin/who',
        'CMD ["/bin/busybox", "cat", "/bin/who"]',
    )
    (path / "env" / "docker").mkdir(parents=True)
    dockerfile = (path / "Dockerfile").rename(path / "env" / "docker" / "Dockerfile")
    printed = get_backend(backend).build(
        context_path=str(path), file=str(dockerfile), tag=(name,), build_arg={"WHO": "BentoML, and you"}, no_cache=True
    )
    assert b"Loaded image: " in printed and name.encode() in printed
    assert inspect(name)["Labels"]["who"] == "BentoML, and you"
    assert nerdctl("run", "--rm", "--net", "none", name) == "for BentoML, and you\n"


def test_a_failed_build_is_bentomls_exception(backend, context, image, capfd):
    with pytest.raises(BentoMLException, match="returned non-zero exit status 1"):
        get_backend(backend).build(context_path=str(context("RUN echo too bad; exit 7")), tag=(image(),))
    assert "too bad" in capfd.readouterr().err


def test_a_refusal_is_bentomls_exception(backend, context, capfd):
    with pytest.raises(BentoMLException, match="returned non-zero exit status 2"):
        get_backend(backend).build(context_path=str(context()), no_such_flag=True)
    assert "--no-such-flag" in capfd.readouterr().err


def test_nobody_is_there(cli_program, marker, context):
    container_builder_backend.register(f"unix:///nonexistent/{marker}", name=marker, binary=cli_program)
    assert not health(marker)
    with pytest.raises(BentoMLException):
        get_backend(marker).build(context_path=str(context()))
