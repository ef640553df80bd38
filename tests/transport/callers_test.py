"""Who calls, what he may do, and that callers are nothing to each other."""

import time

import grpc
import pytest
from containerbuilder.v1 import container_builder_pb2 as pb
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from peers import (
    SERVICE,
    Authority,
    WithMetadata,
    detail_of,
    info_of,
    new_token,
    refused,
    replace,
    stub_of,
    tls_channel,
    token_line,
)

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
DENIED = grpc.StatusCode.PERMISSION_DENIED
NOT_FOUND = grpc.StatusCode.NOT_FOUND
UNKNOWN_NAME = "builds/00000000000000000000000000"

TOKENS = {name: new_token() for name in ("viewer", "builder", "admin", "other")}


@pytest.fixture
def callers(folder):
    path = folder / "callers"
    replace(
        path,
        (
            "# who may call\n\n"
            + token_line("viewer", "team", TOKENS["viewer"])
            + token_line("builder", "team", TOKENS["builder"])
            + token_line("admin", "boss", TOKENS["admin"])
            + token_line("builder", "other", TOKENS["other"])
        ).encode(),
    )
    return path


@pytest.fixture
def context(folder):
    path = folder / "root" / "context"
    path.mkdir(parents=True)
    (path / "fake.txt").write_text(f"stdout begun\nwait-file {folder}/gate\n")
    return path


@pytest.fixture
def start(start_daemon, fake_nerdctl, context):
    def start_(*flags):
        return start_daemon(f"--nerdctl={fake_nerdctl}", f"--read_roots={context.parent}", *flags)

    return start_


@pytest.fixture
def daemon(start, callers):
    return start(f"--callers_file={callers}")


def as_(daemon, who: str | None):
    return stub_of(daemon.channel(daemon.tcp_address), who and TOKENS[who])


def request_for(context, **fields) -> pb.CreateBuildRequest:
    request = pb.CreateBuildRequest(**fields)
    request.spec.options.context_path = str(context)
    return request


# --- Tokens ----------------------------------------------------------------------------------------------------------


def health_with(daemon, *metadata):
    channel = grpc.intercept_channel(daemon.channel(daemon.tcp_address), WithMetadata(metadata))
    return stub_of(channel).Health(pb.HealthRequest(), timeout=20)


def test_tokens(daemon):
    good = TOKENS["builder"]
    assert health_with(daemon, ("authorization", f"Bearer {good}")).checks
    assert health_with(daemon, ("authorization", f"bearer {good}")).checks
    refused(lambda: health_with(daemon), UNAUTHENTICATED, "CREDENTIALS_REQUIRED")
    refused(lambda: health_with(daemon, ("x-token", good)), UNAUTHENTICATED, "CREDENTIALS_REQUIRED")
    last = "0" if good[-1] != "0" else "1"
    for wrong in (good[:-1] + last, good[:-1], good + "0", good.upper(), new_token(), "", " " + good, "é" * 10):
        header = f"Bearer {wrong}".encode()
        if not wrong.isascii():
            continue
        refused(
            lambda header=header: health_with(daemon, ("authorization", header)), UNAUTHENTICATED, "TOKEN_INVALID"
        )
    for header in (good, f"Basic {good}", f"Token {good}", "Bearer"):
        refused(
            lambda header=header: health_with(daemon, ("authorization", header)), UNAUTHENTICATED, "TOKEN_INVALID"
        )
    twice = ("authorization", f"Bearer {good}")
    refused(lambda: health_with(daemon, twice, twice), UNAUTHENTICATED, "TOKEN_INVALID")
    # gRPC itself takes no such header; it comes to nothing.
    with pytest.raises(grpc.RpcError) as error:
        health_with(daemon, ("authorization", "Bearer " + "a" * (1 << 20)))
    assert error.value.code() != grpc.StatusCode.OK
    assert health_with(daemon, twice).checks

    log = daemon.log.read_text()
    assert "refused a call from ipv4:127.0.0.1" in log
    assert not any(token in log for token in TOKENS.values())


def test_a_token_where_there_are_none(start):
    daemon = start()
    refused(lambda: as_(daemon, "builder").Health(pb.HealthRequest(), timeout=20), UNAUTHENTICATED, "TOKEN_INVALID")
    assert as_(daemon, None).Health(pb.HealthRequest(), timeout=20).checks


def test_the_unix_socket_is_trusted_unless_a_token_is_shown(daemon, start, callers, context):
    request = request_for(context)
    request.spec.options.options.add(name="ssh").value.values.values.append("default")
    assert daemon.stub.ConstructArgs(pb.ConstructArgsRequest(), timeout=20)
    assert daemon.stub.CreateBuild(request, timeout=60).build.requester == "local"
    shown = stub_of(daemon.channel(), TOKENS["builder"])
    assert refused(lambda: shown.CreateBuild(request, timeout=60), DENIED, "OPTION_NOT_ALLOWED")
    wrong = stub_of(daemon.channel(), new_token())
    refused(lambda: wrong.Health(pb.HealthRequest(), timeout=20), UNAUTHENTICATED, "TOKEN_INVALID")

    untrusting = start(f"--callers_file={callers}", "--trust_local=false")
    refused(lambda: untrusting.stub.Health(pb.HealthRequest(), timeout=20), UNAUTHENTICATED, "CREDENTIALS_REQUIRED")
    assert stub_of(untrusting.channel(), TOKENS["admin"]).Health(pb.HealthRequest(), timeout=20).checks


def test_callers_change_while_it_runs(daemon, callers, eventually):
    text = callers.read_text()
    new = new_token()
    stub = stub_of(daemon.channel(daemon.tcp_address), new)
    refused(lambda: stub.Health(pb.HealthRequest(), timeout=20), UNAUTHENTICATED, "TOKEN_INVALID")
    replace(callers, token_line("builder", "new", new).encode())
    eventually(lambda: "the callers were read again" in daemon.log.read_text(), "the daemon reads the callers")
    assert stub.Health(pb.HealthRequest(), timeout=20).checks
    refused(lambda: as_(daemon, "admin").Health(pb.HealthRequest(), timeout=20), UNAUTHENTICATED, "TOKEN_INVALID")

    broken = text + f"builder x {new}\n"
    replace(callers, broken.encode())
    eventually(lambda: "the callers stay as they were" in daemon.log.read_text(), "the daemon tells of the line")
    assert stub.Health(pb.HealthRequest(), timeout=20).checks
    callers.chmod(0o622)
    eventually(lambda: "chmod go-w" in daemon.log.read_text(), "the daemon tells of the mode")
    replace(callers, text.encode())
    eventually(lambda: daemon.log.read_text().count("were read again") == 2, "the daemon reads the callers")
    assert as_(daemon, "admin").Health(pb.HealthRequest(), timeout=20).checks
    refused(lambda: stub.Health(pb.HealthRequest(), timeout=20), UNAUTHENTICATED, "TOKEN_INVALID")
    # What was a token by mistake is not told on.
    assert new not in daemon.log.read_text()


def test_health_and_reflection_are_for_everybody(daemon):
    channel = daemon.channel(daemon.tcp_address)
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
    assert answer.status in (health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING)


# --- Roles -----------------------------------------------------------------------------------------------------------

# RPC -> its request, the least role.
RPCS = {
    "Health": (pb.HealthRequest(), "viewer"),
    "ConstructArgs": (pb.ConstructArgsRequest(), "viewer"),
    "Build": (pb.BuildRequest(), "builder"),
    "CreateBuild": (pb.CreateBuildRequest(), "builder"),
    "WatchBuild": (pb.WatchBuildRequest(name=UNKNOWN_NAME), "viewer"),
    "GetBuild": (pb.GetBuildRequest(name=UNKNOWN_NAME), "viewer"),
    "ListBuilds": (pb.ListBuildsRequest(), "viewer"),
    "CancelBuild": (pb.CancelBuildRequest(name=UNKNOWN_NAME), "builder"),
    "DeleteBuild": (pb.DeleteBuildRequest(name=UNKNOWN_NAME), "builder"),
    "FindMissingBlobs": (pb.FindMissingBlobsRequest(), "builder"),
    "UploadBlobs": (iter(()), "builder"),
    "DownloadArtifact": (pb.DownloadArtifactRequest(name=f"{UNKNOWN_NAME}/artifacts/1"), "viewer"),
}


def test_the_table_has_every_rpc():
    methods = pb.DESCRIPTOR.services_by_name["ContainerBuilder"].methods_by_name
    assert set(methods) == set(RPCS)


@pytest.fixture
def outcome(daemon):
    """What a call of that RPC by that caller comes to: OK, or code and reason."""

    def of(rpc: str, who: str | None):
        request, _ = RPCS[rpc]
        try:
            answer = getattr(as_(daemon, who), rpc)(request, timeout=20)
            if hasattr(answer, "__iter__"):
                list(answer)
            return "OK", ""
        except grpc.RpcError as error:
            return error.code().name, info_of(error).reason

    return of


def test_roles(outcome):
    order = ["viewer", "builder", "admin"]
    for rpc, (_, least) in RPCS.items():
        assert outcome(rpc, None) == ("UNAUTHENTICATED", "CREDENTIALS_REQUIRED"), rpc
        for role in order:
            code, reason = outcome(rpc, role)
            if order.index(role) < order.index(least):
                assert (code, reason) == ("PERMISSION_DENIED", "ROLE_REQUIRED"), (rpc, role)
            else:
                assert code != "UNAUTHENTICATED" and reason != "ROLE_REQUIRED", (rpc, role, code)


def test_what_a_certificate_may_do_is_in_the_file(start, folder):
    authority = Authority(folder)
    server = authority.issue("server", "DNS:localhost")
    replace(folder / "callers", b"viewer dns:look.example certificate\n")
    daemon = start(
        f"--tls_cert={server.cert}",
        f"--tls_key={server.key}",
        f"--tls_client_ca={authority.cert}",
        f"--callers_file={folder}/callers",
    )
    for name, reason in (("look.example", "ROLE_REQUIRED"), ("build.example", "CONTEXT_RELATIVE")):
        identity = authority.issue(name, f"DNS:{name}")
        with tls_channel(daemon.tcp_address, authority.cert, identity) as channel:
            with pytest.raises(grpc.RpcError) as error:
                stub_of(channel).CreateBuild(request_for("relative"), timeout=60)
            assert info_of(error.value).reason == reason, name


# --- Callers among each other ----------------------------------------------------------------------------------------


def test_a_caller_has_nothing_of_anothers_builds(daemon, context, folder):
    owner, other, viewer, admin = (as_(daemon, who) for who in ("builder", "other", "viewer", "admin"))
    request = request_for(context, request_id="mine")
    build = owner.CreateBuild(request, timeout=60).build
    assert build.requester == "team"
    name = build.name

    def calls(stub, name):
        return {
            "get": lambda: stub.GetBuild(pb.GetBuildRequest(name=name), timeout=20),
            "watch": lambda: stub.WatchBuild(pb.WatchBuildRequest(name=name, no_follow=True), timeout=20),
            "cancel": lambda: stub.CancelBuild(pb.CancelBuildRequest(name=name), timeout=60),
            "delete": lambda: stub.DeleteBuild(pb.DeleteBuildRequest(name=name), timeout=60),
        }

    # A foreign build is answered as one that is not there.
    for foreign, missing in zip(calls(other, name).values(), calls(other, UNKNOWN_NAME).values()):
        texts = [
            refused(call, NOT_FOUND, "BUILD_NOT_FOUND").details().replace(name, "NAME").replace(UNKNOWN_NAME, "NAME")
            for call in (foreign, missing)
        ]
        assert texts[0] == texts[1]
    assert not other.ListBuilds(pb.ListBuildsRequest(), timeout=20).builds
    # The same request id is another caller's own.
    joined = other.CreateBuild(request, timeout=60).build
    assert joined.name != name and joined.requester == "other"
    assert owner.CreateBuild(request, timeout=60).build.name == name

    # One of the same name may look; an admin may do all.
    assert viewer.GetBuild(pb.GetBuildRequest(name=name), timeout=20).build.name == name
    assert [b.name for b in viewer.ListBuilds(pb.ListBuildsRequest(), timeout=20).builds] == [name]
    assert list(calls(viewer, name)["watch"]())
    refused(calls(viewer, name)["cancel"], DENIED, "ROLE_REQUIRED")
    assert {b.name for b in admin.ListBuilds(pb.ListBuildsRequest(), timeout=20).builds} == {name, joined.name}
    assert calls(admin, name)["cancel"]().build.state == pb.Build.STATE_CANCELLED
    calls(admin, name)["delete"]()


def test_priority_is_for_admins(daemon, context):
    request = request_for(context)
    request.policy.priority = 1
    refused(lambda: as_(daemon, "builder").CreateBuild(request, timeout=60), DENIED, "OPTION_NOT_ALLOWED")
    assert as_(daemon, "admin").CreateBuild(request, timeout=60).build.name


# --- What the log tells -----------------------------------------------------------------------------------------------


def logged(daemon, eventually, line: str) -> str:
    """What stands behind it in the one line that has it."""

    def found():
        return [text for text in daemon.log.read_text().splitlines() if line in text]

    (text,) = eventually(found, f"the log tells: {line}")
    return text.partition(line)[2]


def test_refusals_are_logged_by_caller_and_strangers_hide_none(daemon, context, eventually):
    for _ in range(20):
        refused(
            lambda: as_(daemon, None).Health(pb.HealthRequest(), timeout=20), UNAUTHENTICATED, "CREDENTIALS_REQUIRED"
        )
    refused(lambda: as_(daemon, "viewer").CreateBuild(request_for(context), timeout=60), DENIED, "ROLE_REQUIRED")
    assert "the role builder" in logged(daemon, eventually, " by team: ")

    # What is sent stands there only as far as a field is named by it, which a log takes as it is.
    request = request_for(context)
    variable = "LD_\n\x1b[2J\u00e9" + "x" * 1000
    request.spec.environment[variable] = "a-value"
    refused(lambda: as_(daemon, "other").CreateBuild(request, timeout=60), DENIED, "OPTION_NOT_ALLOWED")
    assert logged(daemon, eventually, " by other: ").startswith("OPTION_NOT_ALLOWED spec.environment")
    text = daemon.log.read_bytes()
    assert b"\x1b" not in text and text.isascii() and b"x" * 200 not in text
    assert b"a-value" not in text and str(context).encode() not in text


def spec_with(name: str) -> pb.BuildSpec:
    spec = pb.BuildSpec()
    spec.options.options.add(name=name).value.values.values.append("default")
    return spec


@pytest.mark.parametrize("rpc", ["Build", "CreateBuild"])
@pytest.mark.parametrize(
    ("spec", "code", "rule"),
    [
        (spec_with("ssh"), DENIED, "OPTION_NOT_ALLOWED spec.options.options[0].value --allowed_options"),
        # Also what is refused to everybody.
        (spec_with("build-arg"), grpc.StatusCode.INVALID_ARGUMENT, "OPTION_INVALID spec.options.options[0].name"),
        (pb.BuildSpec(dockerfile="#" * (2 << 20)), grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_LARGE spec.dockerfile"),
    ],
    ids=["not allowed", "invalid", "too large"],
)
def test_each_call_that_the_policy_refuses_is_logged(daemon, context, eventually, rpc, spec, code, rule):
    request = pb.BuildRequest(spec=spec) if rpc == "Build" else pb.CreateBuildRequest(spec=spec)
    request.spec.options.context_path = str(context)
    refused(lambda: getattr(as_(daemon, "other"), rpc)(request, timeout=20), code, rule.split()[0])
    told = logged(daemon, eventually, " by other: ")
    assert told.startswith(rule), told


def test_a_cancel_an_end_and_a_deletion_are_logged_by_caller(daemon, context, eventually):
    name = as_(daemon, "builder").CreateBuild(request_for(context), timeout=60).build.name
    as_(daemon, "admin").CancelBuild(pb.CancelBuildRequest(name=name), timeout=60)
    as_(daemon, "admin").CancelBuild(pb.CancelBuildRequest(name=name), timeout=60)
    assert logged(daemon, eventually, f"{name}: cancel asked for by ") == "boss"
    assert logged(daemon, eventually, f"{name}: STATE_CANCELLED for ") == "team: CANCELLED_BY_CALLER"
    as_(daemon, "builder").DeleteBuild(pb.DeleteBuildRequest(name=name), timeout=60)
    assert logged(daemon, eventually, f"{name}: deleted by ") == "team"


# --- Limits of one caller --------------------------------------------------------------------------------------------


def in_turn(done_before, most: int):
    """How many of one caller's calls are done before another's: in one round at least, as calls may be sent late."""
    rounds = []
    while not rounds or rounds[-1] > most:
        assert len(rounds) < 5, f"done before it: {rounds}"
        rounds.append(done_before())


def test_others_do_not_wait_behind_all_calls_of_one(daemon, context):
    """One caller's large pages take the service long, and another's call comes after all of them."""
    # Each page has two MiB.
    for _ in range(2):
        spec = pb.BuildSpec(dockerfile="FROM scratch\n" + "#" * (2**20 - 100))
        as_(daemon, "builder").CreateBuild(request_for(context, spec=spec), timeout=60)
    calls = 40
    stub, others_stub = as_(daemon, "builder"), as_(daemon, "other")
    others_stub.ListBuilds(pb.ListBuildsRequest(), timeout=60)  # connected

    def done_before() -> int:
        pages = [stub.ListBuilds.future(pb.ListBuildsRequest(), timeout=60) for _ in range(calls)]
        assert not others_stub.ListBuilds(pb.ListBuildsRequest(), timeout=60).builds
        done = sum(page.done() for page in pages)
        assert all(len(page.result().builds) == 2 for page in pages)
        return done

    in_turn(done_before, calls // 2)


def test_large_requests_are_parsed_in_turns(daemon):
    """Those of one caller, of very many parts, take the service long; nobody else's is refused for that."""
    parts = b"\xd2\x3e\x00" * (2 * 2**20)
    metadata = [("authorization", f"Bearer {TOKENS['builder']}")]
    # Over TCP so much at once may be a flood.
    method = daemon.channel().unary_unary(SERVICE + "GetBuild", bytes, bytes)
    other = as_(daemon, "other")
    large = pb.ConstructArgsRequest()
    large.options.options.add(name="label").value.values.values.append("x" * (2 << 20))
    assert other.ConstructArgs(large, timeout=60).args  # connected, and nerdctl was asked what it can do

    def done_before() -> int:
        calls = [method.future(parts, metadata=metadata, timeout=60) for _ in range(12)]
        for _ in range(2):
            assert other.ConstructArgs(large, timeout=60).args
        done = sum(call.done() for call in calls)
        assert {call.code() for call in calls} == {grpc.StatusCode.INVALID_ARGUMENT}
        return done

    in_turn(done_before, 11)


def test_calls_per_caller(start, callers):
    daemon = start(f"--callers_file={callers}", "--max_calls_per_second=2")
    builder, other = as_(daemon, "builder"), as_(daemon, "other")

    def call(stub):
        return stub.GetBuild(pb.GetBuildRequest(name=UNKNOWN_NAME), timeout=20)

    # A burst of ten seconds' worth.
    for _ in range(20):
        refused(lambda: call(builder), NOT_FOUND, "BUILD_NOT_FOUND")
    for _ in range(1000):
        with pytest.raises(grpc.RpcError) as error:
            call(builder)
        if info_of(error.value).reason == "RATE_LIMITED":
            break
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert detail_of(error.value, error_details_pb2.QuotaFailure).violations[0].subject == "calls"
    delay = detail_of(error.value, error_details_pb2.RetryInfo).retry_delay.ToNanoseconds() / 1e9
    assert 0 < delay <= 0.5
    # Others are not held up, and the one gets on after the time that he was told.
    refused(lambda: call(other), NOT_FOUND, "BUILD_NOT_FOUND")
    assert daemon.stub.Health(pb.HealthRequest(), timeout=20).checks
    time.sleep(delay)
    refused(lambda: call(builder), NOT_FOUND, "BUILD_NOT_FOUND")


def test_builds_per_caller(start, callers, context, eventually):
    daemon = start(f"--callers_file={callers}", "--max_builds_per_caller=2", "--max_running_builds=1")
    builder, other, admin = (as_(daemon, who) for who in ("builder", "other", "admin"))
    names = [builder.CreateBuild(request_for(context), timeout=60).build.name for _ in range(2)]
    error = refused(
        lambda: builder.CreateBuild(request_for(context), timeout=60),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "RATE_LIMITED",
    )
    assert info_of(error).metadata["setting"] == "--max_builds_per_caller"
    rule = logged(daemon, eventually, " by team: ")
    assert rule.startswith("RATE_LIMITED --max_builds_per_caller")
    assert detail_of(error, error_details_pb2.QuotaFailure).violations[0].subject == "builds"
    assert detail_of(error, error_details_pb2.RetryInfo).retry_delay.seconds > 0
    assert other.CreateBuild(request_for(context), timeout=60).build.name
    for _ in range(3):
        assert admin.CreateBuild(request_for(context), timeout=60).build.name
    builder.CancelBuild(pb.CancelBuildRequest(name=names[1]), timeout=60)
    assert builder.CreateBuild(request_for(context), timeout=60).build.name
