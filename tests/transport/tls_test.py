"""TLS: who is let in, what changes while it runs, and what the daemon does not start with."""

import signal
import socket
import ssl
import subprocess
import time

import grpc
import pytest
from conftest import required
from containerbuilder.v1 import container_builder_pb2 as pb
from peers import Authority, Peer, replace, stub_of, tls_channel

SERVER_NAMES = "DNS:localhost,IP:127.0.0.1"


@pytest.fixture
def authority(folder):
    return Authority(folder)


@pytest.fixture
def server(authority):
    return authority.issue("server", SERVER_NAMES)


@pytest.fixture
def start(start_daemon, fake_nerdctl, server):
    def start_(*flags):
        return start_daemon(
            *(f"--nerdctl={fake_nerdctl}", f"--tls_cert={server.cert}", f"--tls_key={server.key}"), *flags
        )

    return start_


def health(channel, timeout=20):
    with channel:
        return stub_of(channel).Health(pb.HealthRequest(), timeout=timeout)


def assert_no_connection(channel):
    with pytest.raises(grpc.RpcError) as error:
        health(channel)
    assert error.value.code() == grpc.StatusCode.UNAVAILABLE, error.value


# --- Who is let in ---------------------------------------------------------------------------------------------------


def test_a_caller_who_trusts_the_authority(start, authority):
    daemon = start()
    assert health(tls_channel(daemon.tcp_address, authority.cert)).checks
    # The unix socket stays what it was.
    assert daemon.stub.Health(pb.HealthRequest(), timeout=20).checks


def test_a_caller_does_not_take_another_service_for_this_one(start, authority, folder):
    daemon = start()
    assert_no_connection(tls_channel(daemon.tcp_address, authority.cert, name="other.example"))
    assert_no_connection(tls_channel(daemon.tcp_address, Authority(folder, "other").cert))


def test_without_tls_nothing_is_said(start):
    daemon = start()
    assert_no_connection(grpc.insecure_channel(daemon.tcp_address))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused(start, version):
    daemon = start()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Peer(daemon.tcp_address, greet=False, context=context)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    with Peer(daemon.tcp_address, greet=False, context=context) as peer:
        assert peer.socket.version() == "TLSv1.2"


def test_a_client_certificate_names_the_caller(start, authority):
    daemon = start(f"--tls_client_ca={authority.cert}")
    names = {
        "uri:spiffe://example.org/ci": dict(names="DNS:ci.example,URI:spiffe://example.org/ci,email:ci@example.org"),
        "dns:ci.example": dict(names="email:ci@example.org,DNS:ci.example,DNS:other.example"),
        "email:ci@example.org": dict(names="email:ci@example.org", common_name="ci"),
        "cn:ci": dict(common_name="ci"),
        # Not the caller that the unix socket's is.
        "cn:local": dict(common_name="local"),
    }
    for number, (name, shown) in enumerate(names.items()):
        channel = tls_channel(daemon.tcp_address, authority.cert, authority.issue(f"client{number}", **shown))
        with channel:
            assert stub_of(channel).ListBuilds(pb.ListBuildsRequest(), timeout=20).builds == []
            request = pb.CreateBuildRequest()
            request.spec.options.context_path = "/etc"
            with pytest.raises(grpc.RpcError) as error:
                stub_of(channel).CreateBuild(request, timeout=60)
            assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED, name


def test_the_caller_is_in_the_record_and_the_log(start, authority, folder, eventually):
    context = folder / "context"
    context.mkdir()
    (context / "fake.txt").write_text("stdout hello\n")
    daemon = start(f"--tls_client_ca={authority.cert}", f"--read_roots={context}")
    with tls_channel(daemon.tcp_address, authority.cert, authority.issue("client", "DNS:ci.example")) as channel:
        request = pb.BuildRequest()
        request.spec.options.context_path = str(context)
        build = list(stub_of(channel).Build(request, timeout=60))[-1].event.finished.build
    assert build.state == pb.Build.STATE_SUCCEEDED
    assert build.requester == "dns:ci.example"
    assert f"{build.name}: admitted for dns:ci.example" in daemon.log.read_text()
    ended = f"{build.name}: STATE_SUCCEEDED for dns:ci.example\n"
    eventually(lambda: ended in daemon.log.read_text(), "the log tells of the end")


def test_a_client_without_a_good_certificate_is_not_let_in(start, authority, folder):
    daemon = start(f"--tls_client_ca={authority.cert}")
    good = authority.issue("good", "DNS:ci.example")
    assert health(tls_channel(daemon.tcp_address, authority.cert, good)).checks
    for identity in (
        None,
        authority.issue("expired", "DNS:ci.example", days=-1),
        authority.issue("selfsigned", "DNS:ci.example", self_signed=True),
        Authority(folder, "other").issue("foreign", "DNS:ci.example"),
    ):
        assert_no_connection(tls_channel(daemon.tcp_address, authority.cert, identity))


def test_a_certificate_without_a_printable_name(start, authority):
    daemon = start(f"--tls_client_ca={authority.cert}")
    for identity in (authority.issue("nameless"), authority.issue("odd", common_name="two words")):
        with tls_channel(daemon.tcp_address, authority.cert, identity) as channel:
            with pytest.raises(grpc.RpcError) as error:
                stub_of(channel).Health(pb.HealthRequest(), timeout=20)
            assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED, error.value


# --- What changes ----------------------------------------------------------------------------------------------------


def served(address: str) -> str:
    """The certificate that a new connection is shown."""
    host, _, port = address.rpartition(":")
    return ssl.get_server_certificate((host, int(port)))


def pem(identity) -> str:
    # As Python writes it.
    return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(identity.cert.read_text()))


def test_certificates_change_under_connections(start, authority, server, folder, eventually):
    context = folder / "context"
    context.mkdir()
    (context / "fake.txt").write_text(f"stdout begun\nwait-file {folder}/gate\nstdout ended\n")
    daemon = start(f"--read_roots={context}", "--max_running_builds=1")
    channels = [tls_channel(daemon.tcp_address, authority.cert) for _ in range(100)]
    request = pb.CreateBuildRequest()
    request.spec.options.context_path = str(context)
    name = stub_of(channels[0]).CreateBuild(request, timeout=60).build.name
    watches = [stub_of(channel).WatchBuild(pb.WatchBuildRequest(name=name), timeout=60) for channel in channels]
    for watch in watches:
        assert next(watch).event.sequence == 1
    before = pem(server)
    assert served(daemon.tcp_address) == before

    new = authority.issue("new", SERVER_NAMES)
    # One file after the other: between them the pair does not fit, and the old one stays.
    replace(server.cert, new.cert.read_bytes())
    eventually(lambda: "the certificates stay as they were" in daemon.log.read_text(), "the daemon tells of the pair")
    assert served(daemon.tcp_address) == before
    replace(server.key, new.key.read_bytes())
    eventually(lambda: served(daemon.tcp_address) == pem(new), "new connections are shown the new certificate")
    eventually(lambda: "the certificates were read again" in daemon.log.read_text(), "the log tells of it")
    assert daemon.log.read_text().count("the certificates stay as they were") == 1

    (folder / "gate").touch()
    for watch in watches:
        assert [r.event for r in watch][-1].finished.build.state == pb.Build.STATE_SUCCEEDED
    for channel in channels:
        assert stub_of(channel).GetBuild(pb.GetBuildRequest(name=name), timeout=20)
        channel.close()


def test_a_half_written_certificate_is_not_taken(start, authority, server, eventually):
    daemon = start()
    before = pem(server)
    whole = server.cert.read_bytes()
    for count, content in enumerate((whole[: len(whole) // 2], b"", b"rubbish")):
        server.cert.write_bytes(content)
        eventually(
            lambda: daemon.log.read_text().count("the certificates stay as they were") == count + 1,
            "the daemon tells of the file",
        )
        assert served(daemon.tcp_address) == before
        server.cert.write_bytes(whole)
        eventually(
            lambda: daemon.log.read_text().count("the certificates were read again") == count + 1,
            "the daemon reads the whole file",
        )
    server.cert.unlink()
    eventually(lambda: "No such file" in daemon.log.read_text(), "the daemon tells of the missing file")
    assert served(daemon.tcp_address) == before
    assert health(tls_channel(daemon.tcp_address, authority.cert)).checks


def test_a_certificate_that_expired_is_told_of_once(start, authority, server, eventually):
    daemon = start()
    expired = authority.issue("expired", SERVER_NAMES, days=-1)
    before = pem(server)
    replace(server.key, expired.key.read_bytes())
    eventually(lambda: "is not the key of" in daemon.log.read_text(), "the daemon tells of the pair")
    replace(server.cert, expired.cert.read_bytes())
    eventually(lambda: "has expired" in daemon.log.read_text(), "the daemon tells of the date")
    # It is looked at again, for the clock may be set right, and that is not told each time.
    for count in range(1, 4):
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: daemon.log.read_text().count("settings are read again") == count, "it has looked again")
    assert daemon.log.read_text().count("has expired") == 1
    assert served(daemon.tcp_address) == before


def test_another_authority_for_clients(start, authority, folder, eventually):
    allowed = folder / "allowed.crt"
    allowed.write_bytes(authority.cert.read_bytes())
    allowed.chmod(0o644)
    daemon = start(f"--tls_client_ca={allowed}")
    old = authority.issue("old", "DNS:ci.example")
    other = Authority(folder, "other")
    new = other.issue("new", "DNS:ci.example")
    assert health(tls_channel(daemon.tcp_address, authority.cert, old)).checks
    replace(allowed, other.cert.read_bytes())
    eventually(lambda: "were read again" in daemon.log.read_text(), "the daemon reads the authorities again")
    assert health(tls_channel(daemon.tcp_address, authority.cert, new)).checks
    assert_no_connection(tls_channel(daemon.tcp_address, authority.cert, old))


# --- What it does not start with -------------------------------------------------------------------------------------


def refusal(folder, *flags) -> str:
    """What the daemon says, in one line, when it ends at once."""
    began = time.monotonic()
    result = subprocess.run(
        [required("CONTAINERBUILDER_DAEMON"), f"--state_dir={folder}/state", *flags],
        capture_output=True,
        text=True,
        timeout=20,
        cwd=folder,
    )
    assert result.returncode == 1, result
    assert time.monotonic() - began < 9
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


def test_open_addresses_need_tls_and_names(folder, server):
    tls = (f"--tls_cert={server.cert}", f"--tls_key={server.key}")
    for address in ("0.0.0.0:0", "[::]:0", "host.example:1"):
        assert "--tls_cert" in refusal(folder, f"--listen={address}")
        assert "--callers_file" in refusal(folder, f"--listen={address}", *tls)


def test_files_that_are_wrong(folder, authority, server):
    listen = "--listen=127.0.0.1:0"
    other = authority.issue("other", SERVER_NAMES)
    expired = authority.issue("expired", SERVER_NAMES, days=-1)
    locked = folder / "locked.key"
    subprocess.run(
        ["openssl", "ec", "-in", server.key, "-aes256", "-passout", "pass:x", "-out", locked],
        check=True,
        capture_output=True,
    )
    locked.chmod(0o600)
    rubbish = folder / "rubbish"
    replace(rubbish, server.cert.read_bytes())
    for cert, key, said in (
        (server.cert, "", "set both"),
        (server.cert, other.key, "is not the key of"),
        (expired.cert, expired.key, "expired"),
        (server.cert, folder / "missing", "missing"),
        (server.key, server.key, "not certificates in PEM"),
        (server.cert, rubbish, "not a private key"),
        (server.cert, locked, "without a password"),
        (folder, server.key, "regular file"),
    ):
        assert said in refusal(folder, listen, f"--tls_cert={cert}", f"--tls_key={key}"), (cert, key)
    assert "needs --tls_cert" in refusal(folder, listen, f"--tls_client_ca={authority.cert}")
    server.key.chmod(0o604)
    assert "chmod o-r" in refusal(folder, listen, f"--tls_cert={server.cert}", f"--tls_key={server.key}")
    server.key.chmod(0o620)
    assert "chmod go-w" in refusal(folder, listen, f"--tls_cert={server.cert}", f"--tls_key={server.key}")


def test_files_that_are_cut_off(folder, authority, server):
    """As by a start in the middle of their being written: what a running service would not take over."""
    cut = folder / "cut"
    cert, key, authorities = (path.read_bytes() for path in (server.cert, server.key, authority.cert))
    for flag, before, last, said in (
        ("--tls_cert", b"", cert, "not certificates in PEM"),
        # The first is whole.
        ("--tls_cert", cert, authorities, "only half of them"),
        ("--tls_key", b"", key, "not a private key"),
        ("--tls_client_ca", b"", authorities, "not certificates in PEM"),
    ):
        files = {"--tls_cert": server.cert, "--tls_key": server.key, flag: cut}
        flags = [f"{name}={path}" for name, path in files.items()]
        # Up to all but the last dash and newline.
        for size in (*(() if before else (0,)), 1, 10, last.index(b"\n") + 1, len(last) // 2, len(last) - 2):
            replace(cut, before + last[:size])
            line = refusal(folder, "--listen=127.0.0.1:0", *flags)
            assert f"{flag}={cut}: " in line and said in line, (flag, size, line)


def test_a_taken_port(start_daemon, fake_nerdctl, folder):
    with socket.socket() as taken:
        # One that would share it.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert "in use" in refusal(folder, f"--listen={address}")
    first = start_daemon(f"--nerdctl={fake_nerdctl}")
    for address in (first.tcp_address, first.address):
        assert "in use" in refusal(folder, f"--listen={address}")
    assert first.stub.Health(pb.HealthRequest(), timeout=20).checks
    assert first.tcp_stub.Health(pb.HealthRequest(), timeout=20).checks
