"""Images built by the real toolchain through the service, mostly by the CLI."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from containerbuilder.v1 import container_builder_pb2 as pb

EXAMPLES = Path(__file__).parents[2] / "client" / "examples"


def files_in(path: Path) -> list:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if not file.is_dir())


def test_image_is_listed_and_runs(cli, nerdctl, context, image):
    name = image()
    result = cli("build", "-t", name, context('CMD ["/bin/busybox", "echo", "hello from the image"]'))
    assert "Loaded image: " in result.stdout and name in result.stdout
    assert re.search(r"^#\d+ \[1/1\] COPY busybox /bin/busybox$", result.stderr, re.MULTILINE)
    assert name in nerdctl("images")
    assert nerdctl("run", "--rm", "--net", "none", name) == "hello from the image\n"


def test_python_example(daemon, nerdctl, context, image):
    name = image()
    path = context("RUN echo from a step", 'CMD ["/bin/busybox", "echo", "hello Python"]')
    command = [sys.executable, EXAMPLES / "python" / "build_image.py", daemon.address, path, name]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result
    assert "Loaded image: " in result.stdout
    assert re.search(r"^#\d+ [\d.]+ from a step$", result.stderr, re.MULTILINE)
    assert nerdctl("run", "--rm", "--net", "none", name) == "hello Python\n"


def test_grpcurl_example(daemon, nerdctl, context, image):
    name = image()
    path = context("RUN echo from a step", 'CMD ["/bin/busybox", "echo", "hello grpcurl"]')
    command = [EXAMPLES / "grpcurl" / "build_image.sh", daemon.address, path, name]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result
    assert '"state": "STATE_HEALTHY"' in result.stdout
    assert "Loaded image: " in result.stdout
    assert re.search(r"^#\d+ [\d.]+ from a step$", result.stderr, re.MULTILINE)
    assert nerdctl("run", "--rm", "--net", "none", name) == "hello grpcurl\n"


def test_finished_tells_of_success(start_call, context, image, nerdctl):
    name = image()
    call = start_call(context("RUN echo one"), tag=[name])
    build = call.finished()
    assert build.state == pb.Build.STATE_SUCCEEDED, build
    assert (build.exit_code, build.term_signal) == (0, 0)
    assert not build.HasField("failure")
    assert build.stdout_bytes == len(call.output.stdout) and build.stderr_bytes == len(call.output.stderr)
    digest = nerdctl("image", "inspect", "--mode=native", "--format={{.Image.Target.Digest}}", name).strip()
    assert build.image_digest == digest
    steps = {}
    for event in call.events:
        if event.HasField("step"):
            steps[event.step.id] = event.step
    states = {step.name: step.state for step in steps.values()}
    assert states["[2/2] RUN echo one"] == pb.BuildStep.STATE_COMPLETED


def test_failing_step(start_call, cli, context, image):
    path = context("RUN echo before; echo too bad >&2; exit 42", "RUN echo never")
    call = start_call(path, tag=[image()])
    build = call.finished()
    assert build.state == pb.Build.STATE_FAILED
    assert build.exit_code == 1, "nerdctl's own"
    assert build.failure.reason == "STEP_FAILED", build
    assert build.failure.step == "[2/3] RUN echo before; echo too bad >&2; exit 42"
    assert build.failure.step_exit_code == 42
    assert not build.failure.retryable
    assert build.failure.message and "\n" not in build.failure.message
    assert b"too bad" in build.failure.log_tail
    assert call.output.stderr.endswith(build.failure.log_tail)
    failed = [event.step for event in call.events if event.step.state == pb.BuildStep.STATE_FAILED]
    assert [step.name for step in failed] == [build.failure.step]

    result = cli("build", "-t", image(), path, code=1)
    assert "too bad" in result.stderr and "never" not in re.findall(r"^#\d+ [\d.]+ (.*)$", result.stderr, re.MULTILINE)


@pytest.mark.parametrize("line", ["RUNN echo", "COPY", "RUN --no-such-flag echo", "FROM"])
def test_dockerfile_with_a_mistake(start_call, context, image, line):
    call = start_call(context(line), tag=[image()])
    build = call.finished()
    assert build.state == pb.Build.STATE_FAILED
    assert build.failure.reason == "DOCKERFILE_INVALID", build
    assert build.failure.log_tail


def test_dockerfile_is_missing(start_call, context, image):
    path = context()
    (path / "Dockerfile").unlink()
    build = start_call(path, tag=[image()]).finished()
    assert build.state == pb.Build.STATE_FAILED
    assert build.exit_code != 0
    assert build.failure.reason in ("DOCKERFILE_INVALID", "UNKNOWN"), build
    assert b"no such file or directory" in build.failure.log_tail


def test_dockerignore_and_local_output(cli, context, folder):
    path = context("COPY . /all/", kept="kept", left="secret")
    (path / ".dockerignore").write_text("# comment\nleft\n*.log\n!important.log\n")
    for name in ("debug.log", "important.log"):
        (path / name).write_text(name)
    # Relative, so it is the caller's folder that counts, not the daemon's.
    cli("build", "--output", "type=local,dest=out", "context", cwd=folder)
    assert files_in(folder / "out" / "all") == [".dockerignore", "Dockerfile", "busybox", "important.log", "kept"]
    assert (folder / "out" / "all" / "kept").read_text() == "kept"


def test_short_flags_and_other_dockerfile(cli, nerdctl, context, folder, image):
    name = image()
    path = context(name="context")
    (folder / "docker").mkdir()
    (path / "Dockerfile").rename(folder / "docker" / "Other")
    cli("build", f"-t={name}", "-f", "docker/Other", "--iidfile=id", "--no-cache", "./context", cwd=folder)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", (folder / "id").read_text().strip())
    assert name in nerdctl("images")


def test_build_args_and_labels(cli, context, image, inspect):
    name = image()
    path = context("ARG GREETING=none", "ARG EMPTY=none", 'RUN echo "<$GREETING> <$EMPTY>"')
    arguments = ["--build-arg", "GREETING=a b=c,d", "--build-arg=EMPTY="]
    arguments += ["--label", "title=two words", "--label=empty="]
    result = cli("build", "-t", name, *arguments, path)
    assert re.search(r"^#\d+ [\d.]+ <a b=c,d> <>$", result.stderr, re.MULTILINE)
    labels = inspect(name)["Labels"]
    assert (labels["title"], labels["empty"]) == ("two words", "")


def test_secret_reaches_the_step_and_nothing_else(cli, context, folder, marker):
    (folder / "token.txt").write_text(f"secret-{marker}")
    path = context("RUN --mount=type=secret,id=token sha256sum /run/secrets/token; cp /bin/busybox /copy")
    arguments = ["--secret", "id=token,src=token.txt", "--output", "type=local,dest=out"]
    result = cli("build", *arguments, path, cwd=folder)
    assert hashlib.sha256(f"secret-{marker}".encode()).hexdigest() in result.stderr
    assert f"secret-{marker}" not in result.stdout + result.stderr
    for file in files_in(folder / "out"):
        assert f"secret-{marker}".encode() not in (folder / "out" / file).read_bytes()


def test_secret_by_value_reaches_the_step_and_no_watcher(start_call, context, image, marker):
    value = f"secret-{marker}".encode()
    path = context("RUN --mount=type=secret,id=token sha256sum /run/secrets/token; cat /run/secrets/token; echo .")
    call = start_call(path, tag=[image()], spec=pb.BuildSpec(secrets=[pb.Secret(id="token", value=value)]))
    assert call.finished().state == pb.Build.STATE_SUCCEEDED, call.output
    assert hashlib.sha256(value).hexdigest().encode() in call.output.stderr
    assert re.search(rb"^#\d+ [\d.]+ \*\*\*\.$", call.output.stderr, re.MULTILINE)
    assert not any(value in event.SerializeToString() for event in call.events)


def test_target(cli, context, folder):
    path = context("RUN echo one > /one", "FROM scratch AS second", "COPY Dockerfile /two", name="context")
    text = (path / "Dockerfile").read_text().replace("FROM scratch\n", "FROM scratch AS first\n", 1)
    (path / "Dockerfile").write_text(text)
    cli("build", "--target", "first", "--output", "type=local,dest=first", path, cwd=folder)
    cli("build", "--output", "type=local,dest=last", path, cwd=folder)
    assert (folder / "first" / "one").read_text() == "one\n"
    assert files_in(folder / "last") == ["two"]


def test_several_tags(cli, nerdctl, context, image):
    names = [image(), image(), image()]
    cli("build", "-t", names[0], "--tag", f"{names[1]}", f"--tag={names[2]}", context())
    listed = nerdctl("images")
    assert all(name in listed for name in names)


def test_cache_to_and_from_a_folder(cli, context, folder, private_engine):
    path = context("RUN echo computed > /result")
    out = ["--output", "type=local,dest=out"]
    cli("build", *out, "--cache-to", "type=local,dest=cache,mode=max", path, cwd=folder)
    assert (folder / "cache" / "index.json").exists()
    for cached, arguments in ((False, []), (True, ["--cache-from", "type=local,src=cache"])):
        subprocess.run(
            ["buildctl", f"--addr={os.environ['BUILDKIT_HOST']}", "prune", "--all"],
            check=True,
            capture_output=True,
            timeout=60,
        )
        shutil.rmtree(folder / "out")
        result = cli("build", *out, *arguments, path, cwd=folder)
        step = re.search(r"^#(\d+) \[2/2\] RUN echo computed > /result$", result.stderr, re.MULTILINE)[1]
        assert (f"\n#{step} CACHED" in result.stderr) == cached, result.stderr
        assert (folder / "out" / "result").read_text() == "computed\n"


def test_daemon_in_a_folder_with_entries_named_like_values(start_daemon, nerdctl, context, folder, image, cli):
    # The reference resolves a text that names something in its working folder; what the CLI sends must not be.
    name = image()
    path = context("RUN echo here", name="ctx")
    text = (path / "Dockerfile").read_text().replace("FROM scratch\n", "FROM scratch AS stage\n", 1)
    (path / "Dockerfile").write_text(text)
    cwd = folder / "cwd"
    for entry in (name, "stage", "linux/amd64", "default", "plain", "KEY=VALUE", "a=b", "ctx"):
        (cwd / entry).mkdir(parents=True)
    other = start_daemon(cwd=cwd)
    flags = ["-t", name, "--target", "stage", "--platform", "linux/amd64", "--network", "default"]
    flags += ["--progress", "plain", "--build-arg", "KEY=VALUE", "--label", "a=b", "ctx"]
    cli("build", *flags, cwd=folder, address=other.address)
    assert name in nerdctl("images")
    result = cli("args", "--null", *flags, cwd=folder, address=other.address)
    arguments = result.stdout.split("\0")[:-1]
    assert arguments == [
        *("--build-arg", "KEY=VALUE", "--label", "a=b"),
        *("--tag", name, "--target", "stage", "--platform", "linux/amd64"),
        *("--network", "default", "--progress", "plain", str(path)),
    ]


def test_health(daemon, cli):
    health = daemon.stub.Health(pb.HealthRequest())
    states = {check.name: check.state for check in health.checks}
    assert states == {
        **dict.fromkeys(("platform", "docker_buildkit", "nerdctl", "buildkit"), pb.HealthCheck.STATE_OK),
        **dict.fromkeys(("buildkitd", "containerd", "disk", "queue"), pb.HealthCheck.STATE_OK),
    }, health
    assert health.state == pb.HealthResponse.STATE_HEALTHY
    assert health.nerdctl_path == str(Path(shutil.which("nerdctl")).absolute())
    for version in (health.nerdctl_version, health.buildkit_version, health.containerd_version):
        assert re.match(r"v?\d+\.\d+\.\d+", version), health
    result = cli("health")
    assert all(name in result.stdout for name in states)
