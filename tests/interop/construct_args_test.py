"""ConstructArgs beside its reference: the running daemon and BentoML's own function get the same options, in the
same working folder, and must answer the same list."""

import os
import pathlib
import random
import shlex
import unicodedata

import grpc
import hypothesis
import pytest
from containerbuilder.v1 import container_builder_pb2 as pb
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import example, given
from hypothesis import strategies as st

EXAMPLES = 2000
PARAMETERS = ("build_arg", "cache_from", "cache_to", "label", "output", "secret")

# The same examples on each run in CI; elsewhere others each time, by a seed that is printed.
IN_CI = bool(os.environ.get("CI"))
SEED = int(os.environ.get("CONTAINERBUILDER_SEED", random.randrange(2**32)))

LONG_NAME = "x" * 255
FILES = [
    "Dockerfile",
    "app:latest",
    "type=local,src=cache",
    "KEY=VALUE",
    "KEY=",
    "=",
    "-x",
    "--no-cache",
    "a b",
    " ",
    "tab\there",
    "line\nbreak",
    "end\n",
    "quote'\"",
    "back\\slash",
    "*",
    "$HOME",
    "~",
    "...",
    ".hidden",
    "a,b",
    "\x01\x7f",
    "ünï",
    unicodedata.normalize("NFD", "ñandú"),
    "日本語",
    "🐳",
    "\u202eoverride",
    "\ufeff",
    LONG_NAME,
]
FOLDERS = ["dir", "dir/sub", "dir/sub/deep", "linux", "linux/amd64", "empty dir", "cache", "é" * 100]
LINKS = {
    "link-to-file": "Dockerfile",
    "link-to-dir": "dir/sub/deep",
    "link-up": "..",
    "link-absolute": "/usr",
    "dangling": "missing",
    "dangling-deep": "dir/missing/x",
    "loop": "loop",
    "loop-a": "loop-b",
    "loop-b": "loop-a",
    "through-file": "Dockerfile/x",
    # The kernel follows 40 links and no more.
    **{f"chain-{i}": f"chain-{i - 1}" for i in range(1, 45)},
    "chain-0": "Dockerfile",
}
ENTRIES = FILES + FOLDERS + list(LINKS)


def make_working_folder(path: pathlib.Path):
    path.mkdir()
    for name in FOLDERS:
        (path / name).mkdir()
    for name in FILES:
        (path / name).touch()
    (path / "dir" / "sub" / "file").touch()
    (path / "dir" / "secret").mkdir(mode=0)
    for name, target in LINKS.items():
        (path / name).symlink_to(target)


# --- Options, as Python has them -------------------------------------------------------------------------------------

# Protobuf's strings are Unicode, so there are no lone surrogates; NUL and all else is there.
characters = st.characters(exclude_categories=["Cs"])
awkward = st.text(alphabet="'\"\\\n\r\t =,:$`*?#&;|<>(){}[]!~%@^\0-_./aé日🐳\u0301\x7f", max_size=12)
component = st.sampled_from([".", "..", "", "missing", "...", "dir", "sub", "deep", "file"] + ENTRIES)


@st.composite
def paths(draw):
    """What may or may not name something in the working folder, spelled in many ways."""
    begin = draw(st.sampled_from(["", "", "", "./", "/", "//", "///", "{cwd}/", "/{cwd}/", "//{cwd}/", "../{name}/"]))
    middle = draw(st.lists(component, min_size=1, max_size=5))
    separator = draw(st.sampled_from(["/", "/", "/", "//", "/./"]))
    end = draw(st.sampled_from(["", "", "", "/", "//", "/.", "/..", " ", "\0"]))
    begin = begin.format(cwd=os.getcwd(), name=os.path.basename(os.getcwd()))
    return begin + separator.join(middle) + end


text = st.one_of(
    st.sampled_from(ENTRIES),
    paths(),
    awkward,
    st.text(characters, max_size=20),
    st.sampled_from(
        [
            "",
            ".",
            "..",
            "/",
            "//",
            "///",
            "//usr",
            "///usr/",
            "/usr/../usr/./bin//",
            "/..",
            "//..",
            "/missing",
            "a" * 256,
            "a" * 5000,
            "a/" * 2500,
            "../" * 100 + "usr",
            "K=V",
            "type=local,dest=out",
            "id=token,src=Dockerfile",
            "type=registry,ref=user/app:cache,token=x",
            "https://user:word@host/path",
        ]
    ),
)


@st.composite
def many_texts(draw):
    """Thousands of values, from a few drawn ones."""
    some = draw(st.lists(text, min_size=1, max_size=5))
    count = draw(st.integers(1000, 4000))
    return [some[i % len(some)][:200] + str(i) for i in range(count)]


texts = st.lists(text, max_size=6)
path_objects = paths().map(pathlib.PurePosixPath)
flat_values = [
    text,
    paths(),
    texts,
    texts.map(tuple),
    st.booleans(),
    st.none(),
    path_objects,
    st.one_of([texts] * 9 + [many_texts()]),
]
dictionaries = st.dictionaries(text, text, max_size=5)
values = st.one_of(*flat_values, dictionaries)
# A dict is refused here, so it is rare: else few lists would be compared.
option_values = st.one_of(*flat_values, *flat_values, *flat_values, dictionaries)
option_names = st.one_of(
    st.sampled_from(
        ["tag", "target", "platform", "no_cache", "no-cache", "pull", "quiet", "file", "progress", "network", "ssh"]
        + ["iidfile", "rm", "add_host", "build-arg", "cache-from", "build__arg", "_", "__", "-", "--", "_a_b_", ""]
    ),
    awkward,
    st.text(characters, max_size=10),
).filter(lambda name: name not in PARAMETERS and name != "context_path")
options = st.fixed_dictionaries(
    {},
    optional={name: values for name in PARAMETERS},
)
# Lists of pairs, since a dict of Python has the order in which it was filled.
named_options = st.tuples(option_names, option_values)
more_options = st.lists(named_options, max_size=6, unique_by=lambda option: option[0]).map(dict)
contexts = st.one_of(st.just("."), text, path_objects)


# --- The same, as protobuf has them ----------------------------------------------------------------------------------


def fill(value: pb.OptionValue, python):
    value.SetInParent()
    if isinstance(python, bool):
        value.flag = python
    elif isinstance(python, (str, os.PathLike)):
        value.text = str(python)
    elif isinstance(python, (list, tuple)):
        value.values.values.extend(python)
        value.values.SetInParent()
    elif isinstance(python, dict):
        for key, member in python.items():
            value.pairs.pairs.add(key=key, value=member)
        value.pairs.SetInParent()
    else:
        assert python is None


def request_of(context, parameters, more) -> pb.ConstructArgsRequest:
    request = pb.ConstructArgsRequest()
    request.options.context_path = str(context)
    for name, python in parameters.items():
        fill(getattr(request.options, name), python)
    for name, python in more.items():
        fill(request.options.options.add(name=name).value, python)
    return request


# --- Both, side by side ----------------------------------------------------------------------------------------------


@pytest.fixture
def working_folder(folder, monkeypatch):
    """The test's own working folder, with a name that is not plain."""
    path = folder / "wörk ing"
    make_working_folder(path)
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def construct_build_args(folder, monkeypatch):
    monkeypatch.setenv("BENTOML_HOME", str(folder / "bentoml"))
    monkeypatch.setenv("BENTOML_DO_NOT_TRACK", "True")
    from bentoml._internal.container.nerdctl import construct_build_args as reference

    return reference


@pytest.fixture
def stub(start_daemon, folder, working_folder):
    # PWD names the folder by a link: os.getcwd() does not look at it.
    (folder / "link").symlink_to(working_folder)
    environment = {**os.environ, "PWD": str(folder / "link")}
    return start_daemon(cwd=working_folder, env=environment).stub


def assert_refused(error: grpc.RpcError, more):
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    details = rpc_status.from_call(error).details
    assert any(detail.Unpack(info) for detail in details), details
    assert info.reason == "OPTION_INVALID"
    assert info.domain == "containerbuilder.v1"
    assert any(detail.Unpack(bad_request) for detail in details), details
    first = next(i for i, value in enumerate(more.values()) if isinstance(value, dict))
    assert bad_request.field_violations[0].field.startswith(f"options.options[{first}]"), bad_request


def test_equals_the_reference(stub, construct_build_args):
    outcomes = {"compared": 0, "refused": 0, "resolved": 0}

    def compare(context, parameters, more):
        try:
            # Ours has "" for "the default", as protobuf cannot tell the two apart.
            given_context = {} if str(context) == "" else {"context_path": context}
            expected = construct_build_args(**given_context, **parameters, **more)
        except NotImplementedError:
            with pytest.raises(grpc.RpcError) as refusal:
                stub.ConstructArgs(request_of(context, parameters, more))
            assert_refused(refusal.value, more)
            outcomes["refused"] += 1
            return
        answer = stub.ConstructArgs(request_of(context, parameters, more))
        assert list(answer.args) == expected
        # The line for people is the same list, but for what is masked.
        if "***" not in answer.command_line:
            assert shlex.split(answer.command_line)[-len(expected) :] == expected
        outcomes["compared"] += 1
        texts_given = [*parameters.values(), *more.values()]
        outcomes["resolved"] += any(
            isinstance(value, (str, os.PathLike)) and os.path.abspath(value) in expected and str(value) not in expected
            for value in texts_given
        )

    deep = "./" * 2040 + "Dockerfile"

    # Relative to the working folder it is short enough to exist, absolute it is not.
    @example(".", {"output": deep}, {"file": deep})
    @example("", {"build_arg": {}, "label": {}, "output": {}, "secret": {}}, {})
    @example("dir", {"cache_from": {"type": "local", "src": "cache"}}, {"file": "link-to-dir/.."})
    @example(".", {name: [str(i) for i in range(5000)] for name in PARAMETERS}, {"tag": ["t"] * 5000})
    @example(".", {name: True for name in PARAMETERS}, {"no_cache": True, "pull": False, "target": None})
    @example(".", {}, {"tag": ["a"], "platform": {}, "target": {"a": "b"}})
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=IN_CI,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @given(contexts, options, more_options)
    def property_(context, parameters, more):
        compare(context, parameters, more)

    if not IN_CI:
        print(f"repeat this run with CONTAINERBUILDER_SEED={SEED}")
        property_ = hypothesis.seed(SEED)(property_)
    property_()
    print(outcomes)
    assert outcomes["compared"] + outcomes["refused"] >= EXAMPLES
    # The random options shall reach all three kinds of answer.
    assert outcomes["compared"] >= EXAMPLES / 2
    assert outcomes["resolved"] >= EXAMPLES / 10
    assert outcomes["refused"] >= EXAMPLES / 100
