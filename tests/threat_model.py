"""Holds service/THREAT_MODEL.md and the tests together: threat_model.py BUILD_FOLDER.

Every threat has tests, or says by `gap:` that it has none, and every test that is named exists and runs in CI.
"""

import ast
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def tests_of(build):
    """The tests by name, each with its command."""
    listed = subprocess.run(
        ["ctest", "--test-dir", build, "--show-only=json-v1"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    return {test["name"]: test.get("command", []) for test in json.loads(listed)["tests"]}


def is_optional(path, function):
    """Whether it is skipped for want of a variable of the environment; None where there is no such function."""
    body = ast.parse(pathlib.Path(path).read_text()).body
    marks = {ast.unparse(name): node.value for node in body if isinstance(node, ast.Assign) for name in node.targets}
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            decorators = (marks.get(ast.unparse(d), d) for d in (*node.decorator_list, ast.Name("pytestmark")))
            return any(re.search(r"skip.*environ|skip.*getenv", ast.unparse(d)) for d in decorators)
    return None


def complaints(text, tests):
    # `Instances/Suite.Test/0` is `Suite.Test`.
    names = {part for name in tests for part in (name, re.sub(r"^[^./]+/|/[^./]+$", "", re.sub(r"/\d+$", "", name)))}
    seen = set()
    for row in re.findall(r"^\| ([SR]\d+) \|(.*)\|$", text, re.MULTILINE):
        threat, tail = row
        if threat in seen:
            yield f"{threat} is there twice"
        seen.add(threat)
        shown = tail.rsplit("|", 1)[1].strip()
        if shown.startswith("gap: "):
            continue
        named = re.findall(r"`([^`]+)`", shown)
        if not named:
            yield f"{threat} names no test"
        for test in named:
            name, _, function = test.partition(": ")
            if name not in names:
                yield f"{threat}: there is no test {name}"
            elif function:
                optional = is_optional(tests[name][-1], function)
                if optional is None:
                    yield f"{threat}: {name} has no {function}"
                elif optional:
                    yield f"{threat}: {name} leaves {function} out unless a variable is set"
    for kind, least in (("S", 40), ("R", 30)):
        if sum(threat[0] == kind for threat in seen) < least:
            yield f"there are hardly any threats {kind}"


def main():
    found = list(complaints((ROOT / "service/THREAT_MODEL.md").read_text(), tests_of(sys.argv[1])))
    print("\n".join(found))
    sys.exit(1 if found else 0)


main()
