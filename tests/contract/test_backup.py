"""A store is copied while it runs, put back while it does not, and copied before its schema changes."""

import asyncio
import json
import os
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from routing import model
from tests.unit.build import GROUP, alert, at, message
from webhook.store import backup, contract, copying, opening, sqlite, statements

ROOT = Path(__file__).parents[2]
RELEASED = sorted((ROOT / "tests/fixtures/stores").glob("schema-*.sql"))
COMMAND = [sys.executable, "-c", "from webhook.cli import main; main()"]


async def record(store: contract.Store, number: int) -> str:
    heard = message(alert(str(number)), group={"number": str(number)})
    (incident_id,) = await store.accept(heard, sources=(), body=b"%d" % number, now=at(0))
    return incident_id


async def make(state_dir: Path, incidents: int = 20) -> list[str]:
    """A store with open incidents, closed again; returns their ids."""
    store = await sqlite.open_store(state_dir)
    ids = [await record(store, number) for number in range(incidents)]
    await store.close()
    return ids


async def open_ids(state_dir: Path) -> set[str]:
    store = await sqlite.open_store(state_dir)
    found = {situation.incident.id for situation in await store.open_incidents(10_000)}
    await store.close()
    return found


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != opening.LOCK}


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def from_dump(dump: Path, file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(dump.read_text("utf-8"))


def schema_of(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# Backup


async def test_a_backup_of_a_running_store_has_all_that_was_accepted_before_it(tmp_path: Path) -> None:
    store = await sqlite.open_store(tmp_path / "state")
    before = {await record(store, number) for number in range(50)}
    copying_now = asyncio.create_task(
        asyncio.to_thread(backup.backup, tmp_path / "state", tmp_path / "backup")
    )
    number = 50
    while not copying_now.done():
        await record(store, number)  # fails after 5 s, if the copy kept it from committing
        number += 1
    copied = await copying_now
    after = await record(store, number)
    await store.close()
    assert copied.open_incidents >= 50

    backup.restore(tmp_path / "other", tmp_path / "backup", at(0))
    assert before <= await open_ids(tmp_path / "other")
    assert after not in await open_ids(tmp_path / "other")


async def test_a_long_backup_keeps_no_commit_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is stopped in the middle, with its snapshot open, for as long as it takes to commit."""
    store = await sqlite.open_store(tmp_path / "state")
    await record(store, 0)
    reached, go_on, loop = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop()
    copy = copying.copy

    def paused(connection: sqlite3.Connection, target: Path) -> None:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM incident").fetchone()
        loop.call_soon_threadsafe(reached.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
        connection.execute("COMMIT")
        copy(connection, target)

    monkeypatch.setattr(copying, "copy", paused)
    copying_now = asyncio.create_task(
        asyncio.to_thread(backup.backup, tmp_path / "state", tmp_path / "backup")
    )
    await reached.wait()
    for number in range(1, 20):
        await record(store, number)
    go_on.set()
    assert (await copying_now).open_incidents == 20
    await store.close()


async def test_a_backup_of_a_store_at_rest_is_whole_and_private_and_leaves_the_store_alone(
    tmp_path: Path,
) -> None:
    ids = await make(tmp_path / "state")
    before = (tmp_path / "state" / opening.DATABASE).read_bytes()
    umask = os.umask(0)
    try:
        copied = backup.backup(tmp_path / "state", tmp_path / "backup")
    finally:
        os.umask(umask)
    assert (copied.open_incidents, copied.schema) == (len(ids), len(statements.migrations()))
    assert copied.size_bytes == copied.file.stat().st_size
    assert mode(tmp_path / "backup") == 0o600
    assert (tmp_path / "state" / opening.DATABASE).read_bytes() == before
    assert await open_ids(tmp_path / "state") == set(ids)


async def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    await make(tmp_path / "state")
    (tmp_path / "backup").write_text("precious")
    with pytest.raises(contract.StoreRefused, match="is there already"):
        backup.backup(tmp_path / "state", tmp_path / "backup")
    assert (tmp_path / "backup").read_text() == "precious"


async def test_a_backup_of_a_corrupt_store_is_refused_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    await make(tmp_path / "state", incidents=200)
    database = tmp_path / "state" / opening.DATABASE
    sound = database.read_bytes()
    database.write_bytes(sound[:8192] + b"\xff" * 8192 + sound[16384:])
    with pytest.raises(contract.StoreRefused, match=r"cannot be copied|is corrupt"):
        backup.backup(tmp_path / "state", tmp_path / "backup")
    assert names(tmp_path) == ["state"]


@pytest.mark.parametrize(
    ("target", "why"), [("missing/backup", "unable to open|No such file"), ("state", "is there already")]
)
async def test_a_backup_that_cannot_be_written_says_so(tmp_path: Path, target: str, why: str) -> None:
    await make(tmp_path / "state")
    with pytest.raises(contract.StoreRefused, match=why):
        backup.backup(tmp_path / "state", tmp_path / target)


def test_a_directory_without_a_store_is_not_backed_up(tmp_path: Path) -> None:
    with pytest.raises(contract.StoreRefused, match="no store here"):
        backup.backup(tmp_path, tmp_path / "backup")
    assert list(tmp_path.iterdir()) == []


# Restore


async def test_a_restore_sets_aside_what_was_there_with_its_log(tmp_path: Path) -> None:
    ids = await make(tmp_path / "state")
    backup.backup(tmp_path / "state", tmp_path / "backup")
    # A log that was never written back: what a killed process leaves.
    store = await sqlite.open_store(tmp_path / "state")
    later = await record(store, 1000)
    killed = tmp_path / "killed"
    shutil.copytree(tmp_path / "state", killed)
    await store.close()
    assert (killed / f"{opening.DATABASE}-wal").stat().st_size > 0

    restored = backup.restore(killed, tmp_path / "backup", at(0))
    assert restored.open_incidents == len(ids)
    assert await open_ids(killed) == set(ids)
    assert mode(killed / opening.DATABASE) == 0o600
    assert restored.set_aside is not None
    aside = tmp_path / "aside"
    aside.mkdir()
    for suffix in ("", "-wal"):
        (killed / f"{restored.set_aside.name}{suffix}").rename(aside / f"{opening.DATABASE}{suffix}")
    assert await open_ids(aside) == {*ids, later}


async def test_a_store_in_use_is_not_restored(tmp_path: Path) -> None:
    await make(tmp_path / "state")
    backup.backup(tmp_path / "state", tmp_path / "backup")
    store = await sqlite.open_store(tmp_path / "state")
    before = content(tmp_path / "state")
    with pytest.raises(contract.StoreRefused, match="is held by another process"):
        backup.restore(tmp_path / "state", tmp_path / "backup", at(0))
    assert content(tmp_path / "state") == before
    await store.close()


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5000])


def _spoil(file: Path) -> None:
    sound = file.read_bytes()
    file.write_bytes(sound[:8192] + b"\xff" * 8192 + sound[16384:])


def _replace_by_text(file: Path) -> None:
    file.write_text("no database")


def _make_newer(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 99")


def _make_foreign(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA application_id = 7")


def _give_a_log(file: Path) -> None:
    file.with_name(f"{file.name}-wal").write_bytes(b"something")


def _remove(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_cut, "backup is"),
        (_spoil, "backup is"),
        (_replace_by_text, "backup is not an SQLite database"),
        (_make_newer, "backup has schema version 99"),
        (_make_foreign, "backup is a database of another program"),
        (_give_a_log, "has a log of its own"),
        (_remove, "there is no such file"),
    ],
)
async def test_what_is_no_sound_backup_is_refused_and_the_store_stays(
    tmp_path: Path, spoil: Callable[[Path], None], why: str
) -> None:
    await make(tmp_path / "state", incidents=200)
    backup.backup(tmp_path / "state", tmp_path / "backup")
    spoil(tmp_path / "backup")
    before = content(tmp_path / "state")
    with pytest.raises(contract.StoreRefused, match=why):
        backup.restore(tmp_path / "state", tmp_path / "backup", at(0))
    assert content(tmp_path / "state") == before


class _Killed(BaseException):
    pass


async def test_a_restore_that_was_killed_at_any_step_is_never_taken_for_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each step the store is as it was, or restored, or refused; a second restore mends it."""
    old = await make(tmp_path / "state", incidents=3)
    new = await make(tmp_path / "other", incidents=5)
    backup.backup(tmp_path / "other", tmp_path / "backup")
    outcomes: list[str] = []
    for steps in range(100):
        state = tmp_path / f"killed-{steps}"
        shutil.copytree(tmp_path / "state", state)
        (state / f"{opening.DATABASE}-wal").write_bytes(b"")
        done = _restore_killed_after(steps, state, tmp_path / "backup", monkeypatch)
        outcomes.append(await _found(state, {"old": set(old), "new": set(new)}))
        backup.restore(state, tmp_path / "backup", at(1))
        assert await open_ids(state) == set(new)
        if done:
            break
    assert outcomes == sorted(outcomes, key=["old", "refused", "new"].index)
    assert set(outcomes) == {"old", "refused", "new"}


async def _found(state: Path, known: dict[str, set[str]]) -> str:
    """Which of the known stores a start finds, or that it refuses because of the restore."""
    try:
        found = await open_ids(state)
    except contract.StoreRefused as refusal:
        return "refused" if "was being restored" in str(refusal) else str(refusal)
    (name,) = [name for name, ids in known.items() if ids == found]
    return name


def _restore_killed_after(steps: int, state: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Restore, and die before the rename after `steps` of them; returns whether it came to its end."""
    renamed = 0
    rename = Path.rename

    def counted(path: Path, target: Path) -> Path:
        nonlocal renamed
        if renamed == steps:
            raise _Killed
        renamed += 1
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", counted)
        try:
            backup.restore(state, source, at(0))
        except _Killed:
            return False
    return True


@pytest.mark.skipif(os.geteuid() != 0, reason="only root acts for another user")
async def test_what_root_restores_belongs_to_the_user_of_the_service(tmp_path: Path) -> None:
    await make(tmp_path / "state")
    backup.backup(tmp_path / "state", tmp_path / "copy")
    (tmp_path / "state" / opening.LOCK).unlink()
    os.chown(tmp_path / "state", 4711, 4712)

    backup.restore(tmp_path / "state", tmp_path / "copy", at(0))

    for name in (opening.DATABASE, opening.LOCK):
        found = (tmp_path / "state" / name).stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (4711, 4712, 0o600)


async def test_a_restore_makes_a_directory_that_is_not_there(tmp_path: Path) -> None:
    ids = await make(tmp_path / "state")
    backup.backup(tmp_path / "state", tmp_path / "backup")
    restored = backup.restore(tmp_path / "new" / "state", tmp_path / "backup", at(0))
    assert restored.set_aside is None
    assert mode(tmp_path / "new" / "state") == 0o700
    assert await open_ids(tmp_path / "new" / "state") == set(ids)


@pytest.mark.parametrize("dump", RELEASED, ids=[dump.stem for dump in RELEASED])
async def test_a_backup_of_an_older_schema_is_restored_and_brought_up_to_date(
    tmp_path: Path, dump: Path
) -> None:
    from_dump(dump, tmp_path / "backup")
    backup.restore(tmp_path / "state", tmp_path / "backup", at(0))
    assert await open_ids(tmp_path / "state") == {model.incident_id(GROUP)}


async def test_the_command_line_backs_up_to_a_stream_and_restores_from_one(tmp_path: Path) -> None:
    ids = await make(tmp_path / "state")
    made = _run("backup", "-", "--state-dir", str(tmp_path / "state"), stdin=b"")
    assert sorted(path.name for path in (tmp_path / "state").glob("copy-*")) == []
    told = _run("restore", "-", "--state-dir", str(tmp_path / "other"), "--output", "json", stdin=made)
    assert json.loads(told)["open_incidents"] == len(ids)
    assert await open_ids(tmp_path / "other") == set(ids)


def _run(*words: str, stdin: bytes) -> bytes:
    done = subprocess.run(
        [*COMMAND, *words],
        input=stdin,
        capture_output=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


# The copy before the schema changes


def kept_copies(state_dir: Path) -> list[str]:
    return sorted(path.name for path in state_dir.iterdir() if "before-schema" in path.name)


async def test_before_its_schema_changes_a_store_is_copied(tmp_path: Path) -> None:
    from_dump(RELEASED[0], tmp_path / opening.DATABASE)
    assert await open_ids(tmp_path) == {model.incident_id(GROUP)}
    kept = tmp_path / f"{opening.DATABASE}.before-schema-2"
    assert kept_copies(tmp_path) == [kept.name]
    assert mode(kept) == 0o600
    assert schema_of(kept) == 1
    copying.check(kept)

    # The way back: the older program finds its store as it left it.
    backup.restore(tmp_path / "back", kept, at(0))
    assert schema_of(tmp_path / "back" / opening.DATABASE) == 1


async def test_a_store_that_is_new_or_current_is_not_copied(tmp_path: Path) -> None:
    await make(tmp_path)
    await open_ids(tmp_path)
    assert kept_copies(tmp_path) == []


async def test_without_room_for_the_copy_the_schema_stays(tmp_path: Path) -> None:
    database = tmp_path / opening.DATABASE
    from_dump(RELEASED[0], database)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        with pytest.raises(contract.StoreRefused, match=r"before-schema-2.*make room for \d+ bytes"):
            await sqlite.open_store(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert schema_of(database) == 1
    assert kept_copies(tmp_path) == []
    assert await open_ids(tmp_path) == {model.incident_id(GROUP)}


async def test_each_step_keeps_the_copy_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_dump(RELEASED[0], tmp_path / opening.DATABASE)
    await open_ids(tmp_path)
    steps = [*statements.migrations(), "CREATE TABLE later (a);"]
    monkeypatch.setattr(statements, "migrations", lambda: steps)
    await open_ids(tmp_path)
    assert kept_copies(tmp_path) == [
        f"{opening.DATABASE}.before-schema-2",
        f"{opening.DATABASE}.before-schema-{len(steps)}",
    ]
