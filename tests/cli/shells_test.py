"""Completion in the shells themselves, and the manual pages under man's own eyes."""

import os
import subprocess

import pytest


@pytest.fixture
def run(cli_program, folder):
    """Runs a command where container-builder is on PATH, in a folder of its own, and answers what it prints."""
    (folder / "bin").mkdir()
    (folder / "bin" / "container-builder").symlink_to(cli_program)
    work = folder / "work"
    work.mkdir()

    def run_(*command, address="unix:///nowhere", **kwargs):
        environment = {
            **os.environ,
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "TERM": "dumb",
            "CONTAINER_BUILDER_ADDRESS": address,
        }
        return subprocess.run(
            command, cwd=work, env=environment, capture_output=True, text=True, timeout=60, check=True, **kwargs
        ).stdout

    run_.folder = work
    return run_


BASH = """
source <(container-builder completion bash)
# As readline parts a line, at blanks and at each of COMP_WORDBREAKS.
COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=()
rest=$1
while [[ $rest ]]; do
  if [[ $rest =~ ^[[:space:]]+ ]]; then :
  elif [[ $rest =~ ^[=:]+ ]]; then COMP_WORDS+=("${BASH_REMATCH[0]}")
  else [[ $rest =~ ^[^=:[:space:]]+ ]]; COMP_WORDS+=("${BASH_REMATCH[0]}")
  fi
  rest=${rest#"${BASH_REMATCH[0]}"}
done
[[ $1 != *[[:space:]] ]] || COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
compopt() { :; }  # no completion goes on
$(complete -p container-builder | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
((${#COMPREPLY[@]} == 0)) || printf '%s\\n' "${COMPREPLY[@]}"
"""

FISH = 'container-builder completion fish | source; complete -C "$argv[1]"'


def in_bash(run, line, **kwargs):
    return run("bash", "--norc", "-c", BASH, "bash", line, **kwargs).split("\n")[:-1]


def in_fish(run, line, **kwargs):
    return [answer.partition("\t")[0] for answer in run("fish", "-c", FISH, line, **kwargs).splitlines()]


# What is typed, what fish offers in its place, and bash, which replaces what follows the last `=` or `:` only.
CASES = [
    ("container-builder bu", ["build"], None),
    ("container-builder --tls wat", ["watch"], None),
    ("container-builder --address unix:///x wat", ["watch"], None),
    ("container-builder --address=unix:///x wat", ["watch"], None),
    ("container-builder list --sta", ["--state"], None),
    ("container-builder list --format ", ["table", "json"], None),
    ("container-builder list --format=", ["--format=table", "--format=json"], ["table", "json"]),
    ("container-builder list --format=js", ["--format=json"], ["json"]),
    ("container-builder build --progress p", ["plain"], None),
    ("container-builder build --context-mode=u", ["--context-mode=upload"], ["upload"]),
    ("container-builder completion f", ["fish"], None),
    ("container-builder build --file Docker", ["Dockerfile"], None),
    ("container-builder build --file=Docker", ["--file=Dockerfile"], ["Dockerfile"]),
    ("container-builder build --secret id=a,src=Docker", ["id=a,src=Dockerfile"], ["Dockerfile"]),
    ("container-builder build -t a:b su", ["sub/"], ["sub"]),
    ("container-builder build --no-such-", [], None),
]


@pytest.mark.parametrize(("line", "whole", "rest"), CASES)
def test_bash(run, line, whole, rest):
    (run.folder / "Dockerfile").touch()
    (run.folder / "sub").mkdir()
    assert in_bash(run, line) == (whole if rest is None else rest)


@pytest.mark.parametrize(("line", "whole", "rest"), CASES)
def test_fish(run, line, whole, rest):
    (run.folder / "Dockerfile").touch()
    (run.folder / "sub").mkdir()
    assert in_fish(run, line) == whole


# Types a line into a zsh of its own terminal, presses Tab, and prints what the line is then.
ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
type() { zpty -w shell "$1" }
type 'PS1= PS2= RPS1='
type 'unsetopt zle_bracketed_paste 2>/dev/null; unset zle_bracketed_paste'
type 'autoload -Uz compinit && compinit -u -D'
type 'source <(container-builder completion zsh)'
type 'show() { print -r -- "<<$BUFFER>>"; exit }; zle -N show; bindkey "^X" show; bindkey "^I" expand-or-complete'
type 'print READY'
zpty -r shell output '*READY*READY*'
zpty -w -n shell "$1"$'\\t\\x18'
zpty -r shell output '*<<*>>*'
output=${output##*<<}
print -r -- "${output%%>>*}"
"""


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("container-builder bu", "container-builder build "),
        ("container-builder --tls wat", "container-builder --tls watch "),
        ("container-builder list --sta", "container-builder list --state "),
        ("container-builder list --format=js", "container-builder list --format=json "),
        ("container-builder build --file Docker", "container-builder build --file Dockerfile "),
        ("container-builder build --secret id=a,src=Docker", "container-builder build --secret id=a,src=Dockerfile "),
        ("container-builder build su", "container-builder build sub/"),
    ],
)
def test_zsh(run, line, completed):
    (run.folder / "Dockerfile").touch()
    (run.folder / "sub").mkdir()
    assert run("zsh", "-f", "-c", ZSH, "zsh", line).rstrip("\n").rstrip(" ") == completed.rstrip(" ")


def test_zsh_finds_the_script_by_its_name(run):
    """Installed, it is a function that is loaded when it is first called."""
    (run.folder / "_container-builder").write_text(run("container-builder", "completion", "zsh"))
    script = "fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D; print $_comps[container-builder]"
    assert run("zsh", "-f", "-c", script) == "_container-builder\n"


def test_names_of_builds_come_from_the_service(run, start_daemon, fake_nerdctl, eventually):
    daemon = start_daemon(f"--nerdctl={fake_nerdctl}")
    name = run("container-builder", "build", "--detach", ".", address=daemon.address).strip()
    # The service has two seconds to answer, and a shell is not told of more.
    last = name.removeprefix("builds/")
    for what in (
        lambda: in_bash(run, "container-builder get bui", address=daemon.address) == [name],
        lambda: in_fish(run, f"container-builder get {name[7:12]}", address=daemon.address) == [last],
        # Of the service that the line names.
        lambda: in_bash(run, f"container-builder --address={daemon.address} cancel ") == [name],
    ):
        eventually(what, "the name is completed")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_has_no_error(run, shell):
    script = run("container-builder", "completion", shell)
    assert run(shell, "-n", input=script) == ""


@pytest.mark.parametrize("page", [("container-builder", "man"), ("container-builderd", "config", "man")])
def test_the_manual_page_has_no_mistake(run, folder, page):
    name, *arguments = page
    program = name if name == "container-builder" else os.environ["CONTAINERBUILDER_DAEMON"]
    path = folder / f"{name}.1"
    path.write_text(run(program, *arguments))
    roff = subprocess.run(["groff", "-man", "-ww", "-z", path], capture_output=True, text=True, timeout=60)
    assert (roff.returncode, roff.stdout, roff.stderr) == (0, "", "")
    man = subprocess.run(
        ["man", "--warnings", "-l", path],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANPAGER": "cat"},
    )
    assert (man.returncode, man.stderr) == (0, ""), man
    assert f"{name} " in man.stdout
