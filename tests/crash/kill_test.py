"""The daemon is killed at random moments and at named ones; nothing that anybody saw is lost, changed or repeated.

CONTAINERBUILDER_CRASH_CYCLES is how often it is killed at random (200), CONTAINERBUILDER_CRASH_SEED what the random
moments and builds come from (the time of day).
"""

import base64
import os
import random
import re
import statistics
import shutil
import signal
import time
import urllib.parse
from pathlib import Path

import grpc
import pytest
from conftest import eventually
from containerbuilder.v1 import container_builder_pb2 as pb
from uploads import Tree, download, missing, pieces, upload
from world import READY_SECONDS, RUNNING, World, require, tear

CYCLES = int(os.environ.get("CONTAINERBUILDER_CRASH_CYCLES", "200"))
# The same in CI each time; else others, by a seed that is printed.
SEED = int(os.environ.get("CONTAINERBUILDER_CRASH_SEED", 0 if os.environ.get("CI") else time.time_ns() % 1_000_000))
SOURCES = Path(__file__).parents[2] / "service" / "src"

# More builds that wait or run than this are cancelled, so that a cycle stays cheap.
MANY = 60


@pytest.fixture
def world(folder):
    print(f"CONTAINERBUILDER_CRASH_SEED={SEED}")
    world = World(folder, SEED, ["--retain_builds=1000000"])
    try:
        yield world
    except BaseException:
        raise
    finally:
        if world.daemon is not None or world.home.exists():
            print(f"--- the daemons' log, its end:\n{(world.home / 'daemon.log').read_text(errors='replace')[-8000:]}")
        world.close()


def end(world: World):
    """All builds come to their ends, and all that was ever seen is found again."""
    if world.daemon is None:
        world.start()
    world.verify()
    world.cancel_all()
    world.check_idle()
    world.verify(every=True)
    world.stop()
    world.start()
    world.verify(every=True)
    world.check_idle()
    world.stop()
    print(f"slowest start: {max(world.starts):.2f} s; {dict(world.counts)}; {len(world.known)} builds, ", end="")
    assert statistics.median(world.starts) <= READY_SECONDS, world.starts
    print(f"{sum(len(known.events) for known in world.known.values())} events")


def test_random_moments(world):
    began = time.monotonic()
    world.start()
    for _ in range(CYCLES):
        world.load()
        time.sleep(world.randomness.uniform(0, 0.3))
        world.kill()
        world.start()
        world.verify()
        world.resend()
        if len(world.unfinished()) > MANY:
            world.cancel_all()
    print(f"{CYCLES} cycles in {time.monotonic() - began:.1f} s")
    end(world)
    # Else the test would show little.
    states = {state for state in world.counts if state.startswith("STATE_")}
    assert {"STATE_SUCCEEDED", "STATE_FAILED", "STATE_CANCELLED", "STATE_INTERRUPTED"} <= states


# --- Named moments ---------------------------------------------------------------------------------------------------

# Passed while builds are admitted, run and end; the number is the greatest of times to let go by.
RUNNING_POINTS = {
    "folder-made": 15,
    "journal-half-made": 15,
    "journal-created": 15,
    "build-published": 15,
    "record-inserted": 15,
    "process-spawned": 10,
    "started-synced": 10,
    "process-recorded": 10,
    "output-appended": 40,
    "frame-written": 60,
    "stop-begun": 1,
    "finished-synced": 8,
    "end-recorded": 8,
}
# Passed at the start after a kill.
START_POINTS = {
    "records-opened": 1,
    "leftovers-ended": 1,
    "unknown-recorded": 1,
    "interruption-synced": 3,
    "requeueing": 1,
}
# Passed with the end of a journal torn.
TAIL_POINTS = {"tail-kept": 1, "tail-cut": 1}
# Passed when a build is deleted.
DELETE_POINTS = {"folder-in-trash": 1, "folder-discarded": 1}
# Passed after SIGTERM.
DRAIN_POINTS = {"drain-begun": 1, "drain-stopping": 1}
# Passed where the records are damaged.
RECORDS_POINTS = {"records-set-aside": 1}
# Passed while contents come in.
UPLOAD_POINTS = {"piece-written": 12, "blob-written": 3, "blob-committed": 3}
# Passed when a build has made something that comes back.
ARTIFACT_POINTS = {"artifacts-kept": 1}

ALL_POINTS = [
    RUNNING_POINTS,
    START_POINTS,
    TAIL_POINTS,
    DELETE_POINTS,
    DRAIN_POINTS,
    RECORDS_POINTS,
    UPLOAD_POINTS,
    ARTIFACT_POINTS,
]


def armed(world: World, points: dict, name: str) -> str:
    return f"{name}:{world.randomness.randint(1, points[name])}"


def test_every_point_is_tested():
    named = set()
    for source in SOURCES.rglob("*.cc"):
        named |= set(re.findall(r'CONTAINERBUILDER_FAILPOINT\("([^"]+)"\)', source.read_text()))
    assert named == {name for points in ALL_POINTS for name in points}
    assert len(named) >= 12


def recovers(world: World):
    require(world.start(), "it starts")
    world.verify()
    world.resend(20)
    world.cancel_all()
    world.check_idle()


@pytest.mark.parametrize("name", RUNNING_POINTS)
def test_point_while_builds_run(world, name):
    for _ in range(2):
        world.start(armed(world, RUNNING_POINTS, name))
        world.load()
        # Else chance alone decides whether a running build is stopped, and whether ten get to start.
        world.post(world.end_endless)
        world.after_death()
        recovers(world)
        world.kill()
    end(world)


@pytest.mark.parametrize("name", START_POINTS)
def test_point_at_start(world, name):
    world.start()
    world.load(RUNNING + 8, kinds=("long",), cancels=False)
    eventually(lambda: sum(known.started for known in world.known.values()) >= RUNNING, "some run, and the rest waits")
    eventually(lambda: len(world.unfinished()) > RUNNING, "one waits at least")
    world.kill()
    assert not world.start(armed(world, START_POINTS, name)), "it starts, and should have died"
    recovers(world)
    end(world)


def write_and_kill(world: World):
    """Leaves builds whose journals end with output that is not known to be on disk."""
    world.start()
    world.load(8, kinds=("ticks", "flood", "lines", "long"), cancels=False)
    eventually(
        lambda: any(len(known.events) > 8 and not known.finished for known in world.known.values()),
        "a build that prints",
    )
    world.kill()
    return world.running_journals()


@pytest.mark.parametrize("name", TAIL_POINTS)
def test_point_in_a_repair(world, name):
    for folder in write_and_kill(world):
        with open(folder / "journal", "ab") as file:
            file.write(b"\0" * 100)
    assert not world.start(armed(world, TAIL_POINTS, name)), "it starts, and should have died"
    recovers(world)
    end(world)


@pytest.mark.parametrize("name", DELETE_POINTS)
def test_point_in_a_deletion(world, name):
    world.start(armed(world, DELETE_POINTS, name))
    world.load(8, kinds=("short", "fails", "lines", "steps"))
    eventually(lambda: len(world.known) == 8 and not world.unfinished(), "all builds have ended")
    world.verify()
    world.post(world.delete, sorted(world.known)[3])
    world.after_death()
    recovers(world)
    end(world)


@pytest.mark.parametrize("name", DRAIN_POINTS)
def test_point_in_a_drain(world, name):
    world.start(armed(world, DRAIN_POINTS, name))
    world.load()
    eventually(lambda: any(known.started for known in world.known.values()), "a build has started")
    world.daemon.process.send_signal(signal.SIGTERM)
    world.after_death()
    recovers(world)
    end(world)


@pytest.mark.parametrize("name", RECORDS_POINTS)
def test_point_in_making_records_anew(world, name):
    world.start()
    world.load()
    world.kill()
    with open(world.state / "records.db", "r+b") as file:
        file.write(b"not SQLite")
    assert not world.start(armed(world, RECORDS_POINTS, name)), "it starts, and should have died"
    recovers(world)
    end(world)


# --- Uploads ---------------------------------------------------------------------------------------------------------


FILE_BYTES = 900_000


def context_with(world: World, script: str) -> Tree:
    """A folder of three files, each of some pieces, and what the fake nerdctl is to do."""
    folder = world.home / f"context-{world.randomness.random()}"
    folder.mkdir()
    (folder / "fake.txt").write_text(script)
    for name in ("a", "b", "c"):
        (folder / name).write_bytes(world.randomness.randbytes(FILE_BYTES))
    return Tree(folder)


def build_uploaded(world: World, tree: Tree, **options) -> pb.Build:
    request = pb.BuildRequest(spec=pb.BuildSpec(context_digest=tree.root.digest, **options))
    return list(world.daemon.stub.Build(request))[-1].event.finished.build


@pytest.mark.parametrize("name", UPLOAD_POINTS)
def test_point_in_an_upload(world, name):
    point = armed(world, UPLOAD_POINTS, name)
    world.start(point)
    tree = context_with(world, "stdout whole\\n\n")
    with pytest.raises(grpc.RpcError):
        upload(world.daemon.stub, tree)
    world.after_death()
    world.start()
    lacking = missing(world.daemon.stub, tree)
    passed = int(point.partition(":")[2])
    # What had come is not sent again: pieces of 256 KiB, the last of each file smaller.
    kept = sum(item.committed_bytes for item in lacking) + sum(
        len(content) for content in tree.blobs.values()
    ) - sum(item.blob.size_bytes for item in lacking)
    sizes = [len(piece.data) for piece in pieces(tree.blobs.values())]
    if name == "piece-written":
        # One that was all there and was not looked at yet begins anew.
        assert kept >= sum(sizes[: passed - 1]) - FILE_BYTES, (kept, sizes, passed)
    else:
        # One that was whole and had not its name yet comes again.
        assert len(lacking) <= len(tree.blobs) - passed + (name == "blob-written")
    upload(world.daemon.stub, tree)
    build = build_uploaded(world, tree)
    assert build.state == pb.Build.STATE_SUCCEEDED, build
    world.stop()


def test_random_moments_of_an_upload(world):
    world.start()
    tree = context_with(world, "stdout whole\\n\n")
    for _ in range(10):
        world.post(upload, world.daemon.stub, tree)
        time.sleep(world.randomness.uniform(0, 0.05))
        world.kill()
        world.start()
    upload(world.daemon.stub, tree)
    assert build_uploaded(world, tree).state == pb.Build.STATE_SUCCEEDED
    world.stop()


def test_a_blob_that_a_crash_of_the_machine_tore_is_sent_again(world):
    world.start()
    tree = context_with(world, "stdout whole\\n\n")
    upload(world.daemon.stub, tree)
    world.kill()
    for path in (world.state / "blobs").rglob("*"):
        if path.is_file() and path.stat().st_size > 100_000:
            with open(path, "r+b") as file:
                file.seek(100_000)
                file.write(b"\0" * 1000)
    world.start()
    for _ in range(3):
        with pytest.raises(grpc.RpcError) as error:
            build_uploaded(world, tree)
        assert error.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert upload(world.daemon.stub, tree) == 1
    assert build_uploaded(world, tree).state == pb.Build.STATE_SUCCEEDED
    world.stop()


@pytest.mark.parametrize("name", ARTIFACT_POINTS)
def test_point_in_keeping_artifacts(world, name):
    world.start(armed(world, ARTIFACT_POINTS, name))
    tree = context_with(world, "copy a ../artifacts/1/file\n")
    upload(world.daemon.stub, tree)
    options = pb.BuildOptions(output=pb.OptionValue(values=pb.ValueList(values=["type=tar,dest=x"])))
    with pytest.raises(grpc.RpcError):
        build_uploaded(world, tree, options=options)
    world.after_death()
    world.start()
    (build,) = world.listed().values()
    assert build.state == pb.Build.STATE_INTERRUPTED
    assert not build.artifacts
    folder = world.state / build.name
    assert not (folder / "artifacts").exists() and not (folder / "staging").exists()
    again = build_uploaded(world, tree, options=options)
    (artifact,) = again.artifacts
    assert download(world.daemon.stub, artifact) in tree.blobs.values()
    world.stop()


# --- Secrets ---------------------------------------------------------------------------------------------------------


TOKEN, PASSWORD = b"canary/5d41402abc4b2a76", b"passport?b9719d911017c592"


def spellings(secret: bytes) -> set:
    return {
        secret,
        base64.b64encode(secret),
        base64.urlsafe_b64encode(secret),
        urllib.parse.quote(secret, safe="").encode(),
        secret.hex().encode(),
    }


def with_secrets(paths) -> list:
    """Those of the files in which a secret stands, in any spelling."""
    hidden = spellings(TOKEN) | spellings(PASSWORD) | {base64.b64encode(b"me:" + PASSWORD)}
    found = []
    for path in paths:
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if any(text in content for text in hidden):
            found.append(path)
    return found


@pytest.fixture
def memory():
    """A folder in memory."""
    path = Path(f"/dev/shm/containerbuilder-crash-{os.getpid()}")
    path.mkdir()
    yield path
    shutil.rmtree(path)


def test_nothing_is_left_of_secrets(world, memory):
    for number in range(3):
        # Each life keeps them elsewhere, as when the operator names another folder.
        place = memory / str(number)
        place.mkdir()
        secret_dir = f"--secret_dir={place}"
        world.flags.append(secret_dir)
        world.start()
        context = world.home / f"secrets-{number}"
        context.mkdir()
        (context / "fake.txt").write_text("secret stdout token\ndocker-config stdout\nwait-file never\n")
        request = pb.CreateBuildRequest()
        request.spec.options.context_path = str(context)
        request.spec.secrets.add(id="token", value=TOKEN)
        request.spec.registry_auths.add(host="registry.test", username="me", password=PASSWORD.decode())
        name = world.daemon.stub.CreateBuild(request, timeout=30).build.name
        printed = b""
        for response in world.daemon.stub.WatchBuild(pb.WatchBuildRequest(name=name), timeout=30):
            printed += response.event.output.data
            if printed.endswith(b'"auth":"***"}}}'):
                break
        assert len(with_secrets(place.rglob("*"))) == 2, "the token, and Docker's configuration"
        world.kill()
        assert not with_secrets(path for kind in ("cmdline", "environ") for path in Path("/proc").glob(f"[0-9]*/{kind}"))

        world.flags.remove(secret_dir)
        elsewhere = memory / f"{number}-next"
        elsewhere.mkdir()
        world.flags.append(f"--secret_dir={elsewhere}")
        world.start()
        assert not with_secrets(memory.rglob("*"))
        assert not with_secrets(world.home.rglob("*"))
        build = world.daemon.stub.GetBuild(pb.GetBuildRequest(name=name), timeout=30).build
        assert (build.state, build.failure.reason) == (pb.Build.STATE_INTERRUPTED, "CRASHED")
        answers = world.home / "answers"
        answers.write_bytes(
            build.SerializeToString()
            + world.daemon.stub.ListBuilds(pb.ListBuildsRequest(), timeout=30).SerializeToString()
            + b"".join(
                response.SerializeToString()
                for response in world.daemon.stub.WatchBuild(pb.WatchBuildRequest(name=name), timeout=30)
            )
        )
        assert b"***" in answers.read_bytes() and not with_secrets([answers])
        world.stop()
        world.flags.pop()


# --- What a crash of the machine does to the files -------------------------------------------------------------------


def test_torn_journals(world):
    torn = 0
    for _ in range(15):
        appended = {}
        for folder in write_and_kill(world):
            if world.randomness.random() < 0.3:
                continue
            before = len(list(folder.glob("journal.torn-*")))
            size = (folder / "journal").stat().st_size
            what, sequence = tear(folder, world.randomness)
            world.forget_unsynced(folder, sequence)
            torn += what != "cut" or (folder / "journal").stat().st_size != size
            if what == "append":
                appended[folder] = before + 1
        world.start()
        world.verify()
        for folder, expected in appended.items():
            kept = list(folder.glob("journal.torn-*"))
            # One whose end was recorded already is not looked at.
            ended = world.known[f"builds/{folder.name}"].finished
            looked_at = ended is None or ended.state == pb.Build.STATE_INTERRUPTED
            require(len(kept) == expected or not looked_at, "what was cut from", folder, "is kept:", kept)
        world.cancel_all()
        world.kill()
    assert torn >= 15, "nothing was torn"
    end(world)


def scribble(path: Path, at: int, randomness: random.Random):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(randomness.randbytes(64))


@pytest.mark.parametrize("damage", ["header", "pages", "half", "empty", "no wal", "gone", "record"])
def test_records_are_damaged(world, damage):
    records = world.state / "records.db"
    world.start()
    for _ in range(2):
        world.load()
        # Else they may have all places.
        world.post(world.end_endless)
        eventually(lambda: sum(known.finished is not None for known in world.known.values()) >= 8, "eight have ended")
        world.kill()
        world.start()
        world.verify()
    world.resend()
    if damage != "no wal":
        # So that all is in the file itself.
        world.stop()
        world.start()
    world.load()
    eventually(world.unfinished, "a build runs or waits")
    world.kill()
    if damage == "header":
        scribble(records, 0, world.randomness)
    elif damage == "pages":
        for at in range(4096, records.stat().st_size, 4096):
            scribble(records, at, world.randomness)
    elif damage == "half":
        os.truncate(records, records.stat().st_size // 2)
    elif damage == "empty":
        os.truncate(records, 0)
    elif damage == "no wal":
        (world.state / "records.db-wal").unlink()
    elif damage == "gone":
        for path in world.state.glob("records.db*"):
            path.unlink()
    elif damage == "record":
        damage_a_record(records)
    folders = len(list((world.state / "builds").iterdir()))
    world.start()
    assert len(world.listed()) == folders
    world.verify(every=True)
    world.resend_acknowledged()
    assert len(world.listed()) == folders
    # The -wal may hold a good copy of what was damaged.
    if damage in ("half", "empty", "no wal", "record"):
        assert list(world.state.glob("records.db.corrupt-*")), "the damaged file is kept"
    recovers_order(world)
    world.cancel_all()
    world.check_idle()
    end(world)


def damage_a_record(records: Path):
    """In a way that SQLite takes for good: the record of a build that has not ended."""
    import sqlite3

    with sqlite3.connect(records) as database:
        database.execute(
            "UPDATE records SET record = CAST(record || x'00' AS BLOB) WHERE arrival = "
            "(SELECT MAX(arrival) FROM builds WHERE ended = 0)"
        )
    database.close()


def recovers_order(world: World):
    """Newest first, as they were made."""
    times = [build.create_time.ToNanoseconds() for build in world.listed().values()]
    assert times == sorted(times, reverse=True)
