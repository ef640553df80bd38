"""What Build refuses before anything is started, as a stranger's client reads it: code, ErrorInfo, BadRequest."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from attacks import ATTACKS, Link
from conftest import Daemon, eventually, is_traced, required
from containerbuilder.v1 import container_builder_pb2 as pb
from google.protobuf import json_format
from google.rpc import error_details_pb2
from grpc_status import rpc_status

INVALID = grpc.StatusCode.INVALID_ARGUMENT
DENIED = grpc.StatusCode.PERMISSION_DENIED
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


@pytest.fixture(scope="module")
def module_daemon():
    """Starts daemons that all tests of this file share."""
    daemons = []

    def start(home, flags):
        home.mkdir()
        daemons.append(Daemon(home, [f"--nerdctl={required('FAKE_NERDCTL')}", *flags]))
        return daemons[-1]

    yield start
    assert [daemon.stop() for daemon in daemons] == [0] * len(daemons)


@pytest.fixture
def context(folder):
    """A context that the fake nerdctl marks when it is started."""
    path = folder / "root" / "context"
    path.mkdir(parents=True)
    (path / "fake.txt").write_text("touch started\n")
    (path / "Dockerfile").touch()
    (path / "link-out").symlink_to("/usr")
    (folder / "outside").mkdir()
    return path


@pytest.fixture
def daemon(start_daemon, fake_nerdctl, context):
    return start_daemon(f"--nerdctl={fake_nerdctl}", f"--read_roots={context.parent}")


def options_of(context, /, **values) -> pb.BuildOptions:
    options = pb.BuildOptions(context_path=str(context))
    for name, value in values.items():
        add(options, name, value)
    return options


def add(options: pb.BuildOptions, name: str, value):
    """Sets one of the six parameters, else adds an option."""
    is_parameter = name in ("build_arg", "cache_from", "cache_to", "label", "output", "secret")
    target = getattr(options, name) if is_parameter else options.options.add(name=name).value
    if isinstance(value, bool):
        target.flag = value
    elif isinstance(value, str):
        target.text = value
    else:
        target.values.values.extend(value)


def assert_refused(stub, request: pb.BuildRequest, code, reasons, field):
    with pytest.raises(grpc.RpcError) as refusal:
        list(stub.Build(request, timeout=60))
    error = refusal.value
    assert error.code() == code, error
    assert error.details()
    status = rpc_status.from_call(error)
    assert status is not None, f"no details: {error}"
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert any(detail.Unpack(info) for detail in status.details), status
    assert info.domain == "containerbuilder.v1"
    assert info.reason in reasons.split("|"), (info, error.details())
    if field:
        assert any(detail.Unpack(bad_request) for detail in status.details), status
        violation = bad_request.field_violations[0]
        assert violation.field.startswith(field), violation
        assert violation.description
    return error.details(), info


# --- Rules for everyone ----------------------------------------------------------------------------------------------

OPTION = "spec.options.options[0]"
FOR_EVERYONE = {
    "named like a parameter": ({"build-arg": ["A=1"]}, "OPTION_INVALID", OPTION),
    "named like the context": ({"context_path": ["/"]}, "OPTION_INVALID", OPTION),
    "no name": ({"": ["x"]}, "OPTION_INVALID", OPTION),
    "upper case": ({"Tag": ["x"]}, "OPTION_INVALID", OPTION),
    "dashes in front": ({"--tag": ["x"]}, "OPTION_INVALID", OPTION),
    "a value in the name": ({"tag=x": True}, "OPTION_INVALID", OPTION),
    "a blank in the name": ({"tag x": True}, "OPTION_INVALID", OPTION),
    "a letter that is not ASCII": ({"täg": ["x"]}, "OPTION_INVALID", OPTION),
    "unknown": ({"no-such-flag": ["x"]}, "OPTION_UNKNOWN", OPTION),
    "a switch as text": ({"no_cache": "/usr"}, "OPTION_INVALID", OPTION),
    "a switch as values": ({"no-cache": ["/usr"]}, "OPTION_INVALID", OPTION),
    "a valued option as a flag": ({"target": True}, "OPTION_INVALID", OPTION),
    "a parameter as a flag": ({"build_arg": True}, "OPTION_INVALID", "spec.options.build_arg"),
    "an empty tag": ({"tag": [""]}, "OPTION_INVALID", OPTION),
    "an empty tag among others": ({"tag": ["a", ""]}, "OPTION_INVALID", OPTION),
    "two outputs": ({"output": ["type=local,dest=/a", "type=local,dest=/b"]}, "OPTION_INVALID", "spec.options.output"),
    "NUL": ({"label": ["a=b\0c"]}, "OPTION_INVALID", "spec.options.label"),
    "an argument that is too long": ({"label": ["x" * 131072]}, "OPTION_INVALID", "spec.options.label"),
    "an argument of 3 MiB": ({"build_arg": ["A=" + "x" * (3 << 20)]}, "OPTION_INVALID", "spec.options.build_arg"),
    "too much in all": ({"build_arg": [f"A{i}=" + "x" * 40 for i in range(100_000)]}, "OPTION_INVALID", "spec.options"),
}


@pytest.mark.parametrize("case", FOR_EVERYONE)
def test_options_that_nobody_may_use(daemon, context, case):
    values, reason, field = FOR_EVERYONE[case]
    options = options_of(context, **values)
    assert_refused(daemon.stub, pb.BuildRequest(spec=pb.BuildSpec(options=options)), INVALID, reason, field)
    assert not (context / "started").exists()
    # ConstructArgs answers what the reference does, and warns.
    answer = daemon.stub.ConstructArgs(pb.ConstructArgsRequest(options=options))
    assert answer.args[-1] == str(context)
    assert answer.warnings


def test_pairs_outside_the_six_parameters(daemon, context):
    options = options_of(context, tag=["a"])
    options.options.add(name="platform").value.pairs.pairs.add(key="a", value="b")
    request = pb.BuildRequest(spec=pb.BuildSpec(options=options))
    assert_refused(daemon.stub, request, INVALID, "OPTION_INVALID", "spec.options.options[1]")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("context", "CONTEXT_RELATIVE"),
        ("./context", "CONTEXT_RELATIVE"),
        ("..", "CONTEXT_RELATIVE"),
        ("-x", "OPTION_INVALID|CONTEXT_RELATIVE"),
        ("--help", "OPTION_INVALID|CONTEXT_RELATIVE"),
        ("{root}/missing", "CONTEXT_NOT_FOUND"),
        ("{root}/context/Dockerfile", "CONTEXT_NOT_A_DIRECTORY"),
        ("{root}/context\0", "OPTION_INVALID|CONTEXT_NOT_FOUND"),
    ],
)
def test_contexts(daemon, context, path, reason):
    options = options_of(path.format(root=context.parent))
    request = pb.BuildRequest(spec=pb.BuildSpec(options=options))
    assert_refused(daemon.stub, request, INVALID, reason, "spec.options.context_path")


def test_a_flag_that_the_installed_nerdctl_lacks(daemon, context):
    options = options_of(context, add_host=["a:127.0.0.1"])
    request = pb.BuildRequest(spec=pb.BuildSpec(options=options))
    assert_refused(daemon.stub, request, PRECONDITION, "OPTION_UNSUPPORTED", "")
    assert daemon.stub.ConstructArgs(pb.ConstructArgsRequest(options=options)).warnings
    assert not (context / "started").exists()


@pytest.mark.parametrize("method", ["Build", "WatchBuild"])
def test_what_is_no_request(daemon, method):
    call = daemon.channel().unary_stream(f"/containerbuilder.v1.ContainerBuilder/{method}", bytes, bytes)
    for request in (b"\xff", b"\x0a\x05ab"):
        assert_refused(SimpleNamespace(Build=call), request, INVALID, "OPTION_INVALID", "")


@pytest.mark.parametrize("seconds", [-1, 7 * 24 * 3600 + 1])
@pytest.mark.parametrize("name", ["timeout", "grace_period"])
def test_durations(daemon, context, name, seconds):
    request = pb.BuildRequest(spec=pb.BuildSpec(options=options_of(context)))
    getattr(request.policy, name).seconds = seconds
    assert_refused(daemon.stub, request, INVALID, "OPTION_INVALID", f"policy.{name}")


def test_nerdctl_is_missing(start_daemon, context):
    daemon = start_daemon("--nerdctl=/nonexistent/nerdctl")
    request = pb.BuildRequest(spec=pb.BuildSpec(options=options_of(context)))
    assert_refused(daemon.stub, request, PRECONDITION, "NERDCTL_NOT_FOUND", "")


def test_nerdctl_is_not_executable(start_daemon, context):
    daemon = start_daemon(f"--nerdctl={context}/Dockerfile")
    request = pb.BuildRequest(spec=pb.BuildSpec(options=options_of(context)))
    assert_refused(daemon.stub, request, PRECONDITION, "NERDCTL_NOT_EXECUTABLE", "")


def test_nerdctl_is_not_a_program(start_daemon, context):
    program = context / "nerdctl"
    program.write_bytes(b"\x7fELF of another machine")
    program.chmod(0o755)
    daemon = start_daemon(f"--nerdctl={program}")
    assert_cannot_be_executed(daemon, context)
    health = daemon.stub.Health(pb.HealthRequest(), timeout=60)
    nerdctl = next(check for check in health.checks if check.name == "nerdctl")
    assert nerdctl.state == pb.HealthCheck.STATE_FAILED, nerdctl
    assert health.state == pb.HealthResponse.STATE_UNHEALTHY


def test_nerdctl_is_just_being_written(start_daemon, fake_nerdctl, context):
    program = context / "nerdctl"
    shutil.copy(fake_nerdctl, program)
    daemon = start_daemon(f"--nerdctl={program}")
    with open(program, "ab"):
        assert_cannot_be_executed(daemon, context)
    # And once that is over it is found without a restart.
    request = pb.BuildRequest(spec=pb.BuildSpec(options=options_of(context)))
    events = [response.event for response in daemon.stub.Build(request, timeout=60)]
    assert events[-1].finished.build.state == pb.Build.STATE_SUCCEEDED


def assert_cannot_be_executed(daemon, context):
    """The kernel does not start it: that is told before the build, or as its end."""
    request = pb.BuildRequest(spec=pb.BuildSpec(options=options_of(context)))
    try:
        build = list(daemon.stub.Build(request, timeout=60))[-1].event.finished.build
        assert (build.state, build.failure.reason) == (pb.Build.STATE_FAILED, "SPAWN_FAILED")
    except grpc.RpcError:
        assert_refused(daemon.stub, request, PRECONDITION, "NERDCTL_NOT_EXECUTABLE", "")


# --- Callers by TCP --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "{root}/../outside",
        "{root}/context/../../outside",
        "{root}/context/link-out",
        "{root}-x",
        "{root}/../missing",
        "/",
        "/nonexistent",
        "/proc/self/root",
        "",
    ],
)
def test_contexts_outside_the_roots(daemon, context, path):
    request = pb.BuildRequest(spec=pb.BuildSpec(options=options_of(path.format(root=context.parent))))
    assert_refused(daemon.tcp_stub, request, DENIED, "PATH_NOT_ALLOWED", "spec.options.context_path")


def test_without_roots_no_path_is_allowed(start_daemon, fake_nerdctl, context):
    daemon = start_daemon(f"--nerdctl={fake_nerdctl}")
    for path in (context, "/nonexistent"):
        request = pb.BuildRequest(spec=pb.BuildSpec(options=options_of(path)))
        assert_refused(daemon.tcp_stub, request, DENIED, "PATH_NOT_ALLOWED", "spec.options.context_path")
    assert not (context / "started").exists()


# --- The table of attacks, as a stranger by TCP -------------------------------------------------------------------------

ALL_OPTIONS = [
    "add-host", "allow", "attest", "build-arg", "build-context", "buildkit-host", "cache-from", "cache-to", "file",
    "iidfile", "label", "network", "no-cache", "output", "platform", "progress", "provenance", "pull", "quiet", "rm",
    "sbom", "secret", "ssh", "tag", "target",
]  # fmt: skip


class World:
    """The folders of a daemon whose operator allows much, of one who allows nothing, and what a stranger may not see."""

    def __init__(self, folder):
        self.folder = folder
        self.root, self.out, self.outside = folder / "root", folder / "out", folder / "outside"
        self.context = self.root / "context"
        for path in (self.context / "sub", self.out, self.outside / "sub", folder / "root-x"):
            path.mkdir(parents=True)
        self.started = folder / "started"
        self._make_context()
        (self.outside / "canary").write_text("secret")
        (self.root / "secret").write_text("mine")
        (self.root / "large-secret").write_bytes(b"x" * 501 * 1024)
        (self.root / "link-out").symlink_to(self.outside)
        (self.root / "link-up").symlink_to("../outside")
        (self.root / "link-chain").symlink_to("link-out")
        (self.root / "secret-link").symlink_to(self.outside / "canary")
        (self.out / "link-out").symlink_to(self.outside)
        (self.out / "link-file").symlink_to(self.outside / "canary")
        (self.outside / "link-in").symlink_to(self.context)
        for name in ("with-pipe", "with-socket", "large", "sparse", "many", "linked"):
            (self.root / name).mkdir()
        os.mkfifo(self.root / "with-pipe" / "pipe")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.root / "with-socket" / "s"))
        (self.root / "large" / "file").write_bytes(b"x" * (5 << 20))
        with open(self.root / "sparse" / "file", "wb") as hole:
            hole.truncate(1 << 40)
        for number in range(600):
            (self.root / "many" / str(number)).touch()
        (self.root / "linked" / "Dockerfile").symlink_to(self.outside / "canary")
        for name, link, target in [
            ("index", "index.json", self.outside / "canary"),
            ("lock", "index.json.lock", self.outside / "made"),
            ("blob", "blobs/sha256/a", self.outside / "canary"),
            ("blobs", "blobs/sha256", self.outside / "sub"),
        ]:
            path = self.root / f"cache-{name}" / link
            path.parent.mkdir(parents=True)
            path.symlink_to(target)
        deep = self.root / "deep"
        for _ in range(140):
            deep = deep / "d"
        deep.mkdir(parents=True)

    def _make_context(self):
        (self.context / "fake.txt").write_text(f"touch {self.started}\n")
        (self.context / "Dockerfile").write_text("FROM scratch\n")
        (self.context / "link-file").symlink_to(self.outside / "canary")

    def put(self, files):
        for name, text in files.items():
            if text is None:
                (self.context / name).unlink()
            elif isinstance(text, Link):
                (self.context / name).unlink(missing_ok=True)
                (self.context / name).symlink_to(text)
            else:
                (self.context / name).parent.mkdir(exist_ok=True)
                (self.context / name).write_text(text)

    def tidy(self):
        shutil.rmtree(self.context)
        (self.context / "sub").mkdir(parents=True)
        self._make_context()

    def canary(self):
        """What is outside, as it would change were it touched."""
        paths = [self.outside, *sorted(self.outside.rglob("*")), self.out, *sorted(self.out.rglob("*"))]
        # All but when it was last read: links in {out} are looked at, which is no harm.
        stats = [(str(path), path.lstat()) for path in paths]
        return [(path, stat.st_mode, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for path, stat in stats]


@pytest.fixture(scope="module")
def world():
    path = Path(tempfile.mkdtemp(prefix="cb-")).resolve()
    yield World(path)
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def operators(world, module_daemon):
    """One allows all options, with rules; the other has the defaults."""
    # Nothing is started but for requests.
    quiet = "--health_interval=1h"
    allowing = module_daemon(
        world.folder / "allowing",
        [
            f"--read_roots={world.root}",
            f"--write_roots={world.out}",
            f"--allowed_options={','.join(ALL_OPTIONS)}",
            "--allowed_entitlements=network.host",
            "--allowed_networks=default,none,host",
            f"--allowed_ssh=mine,{world.root}/agent.sock",
            "--allowed_registries=registry.test:5000",
            "--allowed_frontends=docker/dockerfile*,front:*",
            "--allowed_tags=app:*,team/*,registry.test:5000/*",
            "--allowed_environment=MY_NAME",
            "--allowed_buildkit_hosts=unix:///run/allowed.sock",
            "--max_staged_bytes=4MiB",
            "--max_staged_files=500",
            quiet,
        ],
    )
    usual = module_daemon(world.folder / "usual", [f"--read_roots={world.root}", quiet])
    return {True: allowing, False: usual}


def request_of(attack, world, daemon) -> pb.BuildRequest:
    places = {
        "{root}": world.root, "{out}": world.out, "{outside}": world.outside, "{context}": world.context,
        "{folder}": world.folder, "{state}": daemon.state,
    }  # fmt: skip

    def filled(value):
        if isinstance(value, list):
            return [filled(member) for member in value]
        if isinstance(value, str):
            for name, path in places.items():
                value = value.replace(name, str(path))
        return value

    values = dict(attack.values)
    by_value = {name.removeprefix("spec."): values.pop(name) for name in list(values) if name.startswith("spec.")}
    options = options_of(filled(values.pop("context", "{context}")))
    for name, value in values.items():
        if name.startswith("option."):
            options.options.add(name=name.removeprefix("option.")).value.values.values.extend(filled(value))
        else:
            add(options, name, filled(value))
    return pb.BuildRequest(spec=pb.BuildSpec(options=options, **by_value))


def assert_nothing_happened(world, daemon, canary):
    assert not world.started.exists(), "a child was started"
    for folder in ("builds", "new", "trash"):
        assert not list((daemon.state / folder).iterdir()), f"{folder} is not empty"
    assert world.canary() == canary


@pytest.fixture
def attack_files(world, attack):
    world.put(attack.files)
    yield
    if attack.files:
        world.tidy()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id[:80])
def test_attack(world, operators, attack, attack_files):
    daemon = operators[attack.allowed]
    canary = world.canary()
    request = request_of(attack, world, daemon)
    code = grpc.StatusCode[attack.code]
    message, info = assert_refused(daemon.tcp_stub, request, code, attack.reason, attack.where)
    assert info.metadata.get("setting", "") == attack.setting
    assert not attack.setting or attack.setting in message
    assert len(message) < 3000
    assert_nothing_happened(world, daemon, canary)


def test_there_are_enough_attacks():
    assert len(ATTACKS) >= 150
    assert len({attack.id for attack in ATTACKS}) == len(ATTACKS)


def test_what_is_allowed_runs(world, operators):
    """The rules let through what they say: the same daemon, the same caller."""
    daemon = operators[True]
    (world.root / "cache").mkdir()
    options = options_of(
        world.context,
        build_arg=[
            "A=b\nc", "BUILDKIT_SYNTAX=docker/dockerfile:1.9", "BUILDKIT_INLINE_CACHE=1", "BUILDKIT_ATTEST_PROVENANCE=mode=max",
            "BUILDKIT_ATTEST_SBOM=generator=registry.test:5000/x", "BUILDKIT_MULTI_PLATFORM=1",
        ],  # fmt: skip
        label=["a=b"],
        tag=["registry.test:5000/app:1", "registry.test:5000/x"],
        secret=["id=a,src=../secret"],
        cache_from=[f"type=local,src={world.root}/cache", "registry.test:5000/c", "type=registry,ref=registry.test:5000/x"],
        cache_to=["type=inline"],
        output=["type=image,name=registry.test:5000/x,push=true"],
        ssh=["mine", f"x={world.root}/agent.sock"],
        platform=["linux/amd64,linux/arm64/v8"],
        buildkit_host=["unix:///run/allowed.sock"],
        allow=["network.host"],
        target=["a-stage"],
    )
    request = pb.BuildRequest(spec=pb.BuildSpec(options=options, environment={"MY_NAME": "x"}))
    events = [response.event for response in daemon.tcp_stub.Build(request, timeout=60)]
    assert events[-1].finished.build.state == pb.Build.STATE_SUCCEEDED, events[-1]
    world.started.unlink()
    started = next(event.started for event in events if event.HasField("started"))
    staging = f"{daemon.state}/{events[-1].name}/staging"
    assert started.argv[-1] == f"{staging}/context"
    assert f"id=a,src={staging}/in/1/secret" in started.argv or f"id=a,src={staging}/in/0/secret" in started.argv
    daemon.stub.DeleteBuild(pb.DeleteBuildRequest(name=events[-1].name))


def test_grpcurl_as_a_stranger(world, operators):
    """The same requests from a shell, each refused in the same words."""
    wrong = []
    for attack in ATTACKS:
        world.put(attack.files)
        daemon = operators[attack.allowed]
        request = request_of(attack, world, daemon)
        # By standard input: no command line takes megabytes.
        text = json_format.MessageToJson(request, indent=None)
        result = subprocess.run(
            ["grpcurl", "-plaintext", "-max-time", "30", "-d", "@", daemon.tcp_address,
             "containerbuilder.v1.ContainerBuilder/Build"],
            input=text.encode(), capture_output=True, timeout=60,
        )  # fmt: skip
        code = "".join(word.title() for word in attack.code.split("_"))
        answer = result.stderr.decode()
        told = dict(re.findall(r'"(reason|setting)": +"([^"]*)"', answer))
        fields = re.findall(r'"field": +"([^"]*)"', answer)
        if (
            f"Code: {code}" not in answer
            or (told.get("reason"), told.get("setting", "")) != (attack.reason, attack.setting)
            or (attack.where and not any(field.startswith(attack.where) for field in fields))
        ):
            wrong.append((attack.id, result))
        if attack.files:
            world.tidy()
    assert not wrong
    assert not world.started.exists()


@contextmanager
def traced(daemon, path):
    """Its system calls that name files meanwhile, one a line, with what descriptors are of."""
    tracer = subprocess.Popen(
        ["strace", "-f", "-y", "-qq", "-e", "trace=%file", "-o", path, "-p", str(daemon.process.pid)]
    )
    lines = []
    try:
        eventually(
            lambda: tracer.poll() is not None or is_traced(daemon.process.pid),
            "strace has all threads (ptrace is needed)",
        )
        yield lines
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(60)
    lines += path.read_text(errors="replace").splitlines()


def opened(lines) -> set:
    """The files by what they were named, also where they could not be opened, and by what they are."""
    paths = set()
    for line in lines:
        paths.update(re.findall(r'open\w*\([^"]*"(/[^"]*)"', line))
        paths.update(re.findall(r" = \d+<(.*)>(?:\(deleted\))?$", line))
    return {Path(os.path.normpath(path)) for path in paths}


@pytest.mark.parametrize("allowed", [True, False], ids=["allowing", "usual"])
def test_nothing_outside_is_opened(world, operators, allowed):
    """What the system calls say of all attacks, beside what one refusal opens that has nothing to do with files."""
    daemon = operators[allowed]
    trace = world.folder / "trace"

    def refuse(attack):
        with pytest.raises(grpc.RpcError) as refusal:
            list(daemon.tcp_stub.Build(request_of(attack, world, daemon), timeout=60))
        assert refusal.value.code() == grpc.StatusCode[attack.code], (attack.id, refusal.value)

    plain = next(attack for attack in ATTACKS if attack.name == "label with NUL")
    refuse(plain)  # nerdctl was asked for its version and flags
    with traced(daemon, trace) as lines:
        refuse(plain)
    usual = opened(lines)
    with traced(daemon, trace) as lines:
        for attack in ATTACKS:
            if attack.allowed != allowed:
                continue
            world.put(attack.files)
            refuse(attack)
            if attack.files:
                world.tidy()
    assert any(str(world.root) in line for line in lines), "the trace is empty"
    assert not [line for line in lines if "execve" in line]
    # Links are resolved by reading them, one by one; what they lead to is not opened.
    own = [world.root, daemon.state] + [world.out] * allowed
    # Where glibc and Abseil look at moments of their own.
    own += [Path("/proc/sys/vm/overcommit_memory"), Path("/sys/devices/system/cpu")]
    foreign = {path for path in opened(lines) - usual if not any(path.is_relative_to(folder) for folder in own)}
    assert not foreign


def test_a_caller_by_tcp_learns_nothing_of_names_outside_the_roots(start_daemon, fake_nerdctl, context):
    daemon = start_daemon(
        f"--nerdctl={fake_nerdctl}", f"--read_roots={context}", cwd=context.parent
    )
    request = pb.ConstructArgsRequest(options=options_of(".", file="context", target="context/Dockerfile"))
    inside = [str(context), str(context / "Dockerfile")]
    for stub in (daemon.stub, daemon.tcp_stub):
        assert list(stub.ConstructArgs(request).args[1::2]) == inside
    (context.parent / "exists").touch()
    request = pb.ConstructArgsRequest(options=options_of(".", file="exists", target="context/link-out/bin"))
    assert list(daemon.tcp_stub.ConstructArgs(request).args[1::2]) == ["exists", "context/link-out/bin"]
    outside = [str(context.parent / "exists"), str(context / "link-out" / "bin")]
    assert list(daemon.stub.ConstructArgs(request).args[1::2]) == outside
