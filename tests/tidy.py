"""Runs clang-tidy on the sources of service/ and client/ in BUILD_FOLDER.

All of them, but not twice: one that had no findings is left out until it, a
header that it includes, its compile command, .clang-tidy or clang-tidy itself
changes. What had none is kept in CONTAINERBUILDER_CACHE/clang-tidy, whatever
the folder of the tree. The sources must have been compiled: ninja knows their
headers from that.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Results that nobody asked for so long are dropped.
KEPT_SECONDS = 30 * 24 * 3600


def dependencies(build):
    """The files that each object was compiled from, by the object's path."""
    output = subprocess.run(
        ["ninja", "-C", build, "-t", "deps"],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    files = {}
    for line in output.splitlines():
        if line.startswith("    "):
            files[target].append(os.path.normpath(build / line.strip()))
        elif line:
            target = line.split(": ", 1)[0]
            files[target] = []
    return files


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    results = pathlib.Path(os.environ["CONTAINERBUILDER_CACHE"], "clang-tidy")
    results.mkdir(parents=True, exist_ok=True)
    compiled_from = dependencies(build)
    version = subprocess.run(["clang-tidy", "--version"], check=True,
                             stdout=subprocess.PIPE).stdout
    settings = version + (ROOT / ".clang-tidy").read_bytes()
    digests = {}

    def digest(path):
        if path not in digests:
            content = pathlib.Path(path).read_bytes()
            digests[path] = hashlib.sha256(content).hexdigest()
        return digests[path]

    def result_of(entry):
        """The file that is there where the source has had no findings."""
        command = shlex.split(entry["command"])
        target = command[command.index("-o") + 1]
        key = hashlib.sha256(settings)
        key.update(entry["command"].replace(str(ROOT), ".").encode())
        # In an order that the tree's own place has no part in.
        for name, path in sorted((path.replace(str(ROOT), "."), path)
                                 for path in compiled_from[target]):
            key.update(name.encode())
            key.update(digest(path).encode())
        return results / key.hexdigest()

    def check(source, result):
        """Whether there are no findings; prints what there is."""
        run = subprocess.run(
            ["clang-tidy", "--quiet", "-p", build,
             "--extra-arg=-Wno-unknown-warning-option", source],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if run.returncode == 0:
            result.touch()
            return True
        print(run.stdout + run.stderr, flush=True)
        return False

    sources = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        if entry["file"].startswith((f"{ROOT}/service/", f"{ROOT}/client/")):
            sources[entry["file"]] = result_of(entry)
    unknown = {}
    for source, result in sources.items():
        if result.exists():
            os.utime(result)
        else:
            unknown[source] = result
    print(f"clang-tidy: {len(unknown)} of {len(sources)} files", flush=True)

    with concurrent.futures.ThreadPoolExecutor(
            len(os.sched_getaffinity(0))) as threads:
        clean = all(list(threads.map(check, unknown.keys(), unknown.values())))
    for result in results.iterdir():
        if result.stat().st_mtime < time.time() - KEPT_SECONDS:
            result.unlink()
    sys.exit(0 if clean else 1)


main()
