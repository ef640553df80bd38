"""What Build refuses before anything is started, as a stranger's client reads it: code, ErrorInfo, BadRequest."""

import shutil

import grpc
import pytest
from containerbuilder.v1 import container_builder_pb2 as pb
from google.rpc import error_details_pb2
from grpc_status import rpc_status

INVALID = grpc.StatusCode.INVALID_ARGUMENT
DENIED = grpc.StatusCode.PERMISSION_DENIED
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


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


NOT_FOR_STRANGERS = {
    "a bare build_arg": ({"build_arg": ["AWS_SECRET_ACCESS_KEY"]}, "OPTION_NOT_ALLOWED", "spec.options.build_arg"),
    "cache_from": ({"cache_from": ["type=local,src=/"]}, "OPTION_NOT_ALLOWED", "spec.options.cache_from"),
    "cache_to": ({"cache_to": ["type=local,dest=/x"]}, "OPTION_NOT_ALLOWED", "spec.options.cache_to"),
    "output": ({"output": ["type=local,dest=/x"]}, "OPTION_NOT_ALLOWED", "spec.options.output"),
    "secret": ({"secret": ["id=a,src=/etc/hostname"]}, "OPTION_NOT_ALLOWED", "spec.options.secret"),
    "ssh": ({"ssh": ["default"]}, "OPTION_NOT_ALLOWED", OPTION),
    "allow": ({"allow": ["security.insecure"]}, "OPTION_NOT_ALLOWED", OPTION),
    "buildkit_host": ({"buildkit_host": ["tcp://127.0.0.1:1"]}, "OPTION_NOT_ALLOWED", OPTION),
    "iidfile": ({"iidfile": ["/x"]}, "OPTION_NOT_ALLOWED", OPTION),
    "the host's network": ({"network": ["host"]}, "OPTION_NOT_ALLOWED", OPTION),
    "progress for a terminal": ({"progress": ["tty"]}, "OPTION_NOT_ALLOWED", OPTION),
    "a file outside the roots": ({"file": ["/etc/hostname"]}, "PATH_NOT_ALLOWED", OPTION),
    "a file that is missing": ({"file": ["/nonexistent"]}, "PATH_NOT_ALLOWED", OPTION),
}


@pytest.mark.parametrize("case", NOT_FOR_STRANGERS)
def test_options_of_callers_by_tcp(daemon, context, case):
    values, reason, field = NOT_FOR_STRANGERS[case]
    request = pb.BuildRequest(spec=pb.BuildSpec(options=options_of(context, **values)))
    assert_refused(daemon.tcp_stub, request, DENIED, reason, field)
    assert not (context / "started").exists()


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
