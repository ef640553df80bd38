"""The CLI, and so the C++ client, over TLS and with a token."""

import os
import re
import subprocess

import pytest
from peers import Authority, new_token, replace, token_line

TOKEN = new_token()


@pytest.fixture
def authority(folder):
    return Authority(folder)


@pytest.fixture
def daemon(start_daemon, fake_nerdctl, folder, authority):
    server = authority.issue("server", "DNS:localhost,IP:127.0.0.1")
    replace(folder / "callers", token_line("builder", "ci", TOKEN).encode())
    return start_daemon(
        f"--nerdctl={fake_nerdctl}",
        f"--tls_cert={server.cert}",
        f"--tls_key={server.key}",
        f"--callers_file={folder}/callers",
        f"--read_roots={folder}",
    )


@pytest.fixture
def run(cli_program, daemon):
    def run_(*arguments, address=None, **variables):
        return subprocess.run(
            [cli_program, f"--address={address or daemon.tcp_address}", *arguments],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run_


def test_a_build_with_a_token_over_tls(run, folder, authority):
    context = folder / "context"
    context.mkdir()
    (context / "fake.txt").write_text("stdout hello\n")
    (context / "Dockerfile").write_text("FROM scratch\n")
    (folder / "token").write_text(TOKEN + "\n")
    by_flags = run(f"--tls-ca={authority.cert}", f"--token-file={folder}/token", "build", str(context))
    assert (by_flags.returncode, by_flags.stdout) == (0, "hello"), by_flags
    by_variables = run(
        "list", CONTAINER_BUILDER_TLS_CA=str(authority.cert), CONTAINER_BUILDER_TOKEN=TOKEN
    )
    assert by_variables.returncode == 0 and "SUCCEEDED" in by_variables.stdout.upper(), by_variables


def test_what_is_refused(run, folder, authority, daemon):
    tls = f"--tls-ca={authority.cert}"
    unauthenticated = 64 + 16
    assert run(tls, "list").returncode == unauthenticated
    assert run(tls, "list", CONTAINER_BUILDER_TOKEN=new_token()).returncode == unauthenticated
    # Another's authorities, another's name, in the clear.
    for flags in ([f"--tls-ca={Authority(folder, 'other').cert}"], [tls, "--tls-server-name=other"], ["--tls"], []):
        assert run(*flags, "list", CONTAINER_BUILDER_TOKEN=TOKEN).returncode == 64 + 14, flags
    for flags, said in (
        ([f"--tls-ca={folder}/missing"], "missing"),
        ([f"--tls-cert={authority.cert}"], "its key"),
    ):
        result = run(*flags, "list")
        assert result.returncode == 64 + 3 and said in result.stderr, result
    assert run(f"--token-file={folder}/missing", "list").returncode == 2
    # Not even tried: nobody is asked for that name.
    for address in ("build.invalid:1", "dns:///localhost:1", "127.example:1"):
        result = run("list", address=address, CONTAINER_BUILDER_TOKEN=TOKEN)
        assert result.returncode == 64 + 3 and "in the clear" in result.stderr, result
    assert TOKEN not in daemon.log.read_text()


def test_a_client_certificate(start_daemon, fake_nerdctl, cli_program, authority):
    server = authority.issue("server", "IP:127.0.0.1")
    client = authority.issue("client", "DNS:ci.example")
    daemon = start_daemon(
        f"--nerdctl={fake_nerdctl}",
        f"--tls_cert={server.cert}",
        f"--tls_key={server.key}",
        f"--tls_client_ca={authority.cert}",
    )
    command = [cli_program, f"--address={daemon.tcp_address}", f"--tls-ca={authority.cert}"]
    shown = [f"--tls-cert={client.cert}", f"--tls-key={client.key}"]
    assert subprocess.run([*command, *shown, "list"], capture_output=True, timeout=60).returncode == 0
    assert subprocess.run([*command, "list"], capture_output=True, timeout=60).returncode == 64 + 14


def test_the_doctor_says_what_is_wrong(run, folder, authority, daemon):
    tls = f"--tls-ca={authority.cert}"
    other = f"--tls-ca={Authority(folder, 'other').cert}"
    insecure = daemon.address  # the unix socket
    for flags, address, code, message, hint in (
        ([tls], None, 64 + 16, "wants to know who calls", "--token-file=FILE"),
        ([other], None, 64 + 14, f"is not signed by {other.partition('=')[2]}", "--tls-ca=FILE"),
        (["--tls"], None, 64 + 14, "signed by none of the machine's authorities", "--tls-ca=FILE"),
        ([tls, "--tls-server-name=other"], None, 64 + 14, "is another name's", "--tls-server-name=NAME"),
        ([], None, 64 + 14, "speaks TLS, and was called in the clear", "--tls-ca=FILE"),
        ([tls], insecure, 64 + 14, "does not speak TLS", "Leave --tls"),
        ([f"--tls-ca={folder}/missing"], None, 64 + 3, f"{folder}/missing: cannot be read", ""),
    ):
        result = run(*flags, "doctor", address=address)
        assert (result.returncode, result.stderr) == (code, ""), (flags, result)
        assert "connection  FAILED  " in result.stdout and message in result.stdout and hint in result.stdout, result
        assert result.stdout.endswith("UNHEALTHY\n"), result
    wrong = run(tls, "doctor", CONTAINER_BUILDER_TOKEN=new_token())
    assert wrong.returncode == 64 + 16 and "does not know your token" in wrong.stdout, wrong
    healed = run(tls, "doctor", CONTAINER_BUILDER_TOKEN=TOKEN)
    assert f"{daemon.tcp_address}, over TLS, with a token\n" in healed.stdout, healed
    assert re.search(r"^trust +OK +you may name no paths", healed.stdout, re.M), healed
    assert "\nnerdctl " in healed.stdout and TOKEN not in healed.stdout, healed


def test_the_doctor_tells_of_a_missing_client_certificate(start_daemon, fake_nerdctl, cli_program, authority):
    server = authority.issue("server", "IP:127.0.0.1")
    daemon = start_daemon(
        f"--nerdctl={fake_nerdctl}",
        f"--tls_cert={server.cert}",
        f"--tls_key={server.key}",
        f"--tls_client_ca={authority.cert}",
    )
    command = [cli_program, f"--address={daemon.tcp_address}", f"--tls-ca={authority.cert}", "doctor"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 64 + 14 and "--tls-cert=FILE" in result.stdout, result
