"""The embedded store's file: private, one process, and never used when it is not sound."""

import asyncio
import itertools
import os
import resource
import sqlite3
import stat
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import structs

from routing import ledger, model
from tests.unit.build import GROUP, alert, at, message
from webhook.store import contract, opening, rows, sqlite, statements

ROOT = Path(__file__).parents[2]
RELEASED = sorted((ROOT / "tests/fixtures/stores").glob("schema-*.sql"))


async def make(state_dir: Path) -> Path:
    """A sound store with an open incident, closed again; returns its file."""
    store = await sqlite.open_store(state_dir)
    for number in range(50):
        heard = message(alert(str(number)), group={"number": str(number)})
        await store.accept(heard, sources=(), body=b"%d" % number, now=at(0))
    await store.close()
    return state_dir / opening.DATABASE


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != opening.LOCK}


async def refusal(state_dir: Path) -> str:
    """The text of the refusal; that everything was left as it was is checked too."""
    before = content(state_dir)
    with pytest.raises(contract.StoreRefused) as refused:
        await sqlite.open_store(state_dir)
    assert content(state_dir) == before
    return str(refused.value)


def restore(dump: Path, file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(dump.read_text("utf-8"))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# Private


@pytest.mark.parametrize("umask", [0o000, 0o277])
async def test_files_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = await sqlite.open_store(tmp_path / "state")
        await store.probe()
    finally:
        os.umask(before)
    modes = {
        file.name.removeprefix("phantommesh-alerts."): mode(file) for file in (tmp_path / "state").iterdir()
    }
    await store.close()
    assert modes == dict.fromkeys(("lock", "sqlite3", "sqlite3-wal", "sqlite3-shm"), 0o600)
    assert mode(tmp_path / "state") == 0o700


async def test_files_that_others_could_read_are_made_private(tmp_path: Path) -> None:
    file = await make(tmp_path)
    file.chmod(0o644)
    await (await sqlite.open_store(tmp_path)).close()
    assert mode(file) == 0o600


async def test_a_directory_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o750)  # noqa: PTH101  the linter takes the method for a blocking call
    await make(tmp_path)
    assert mode(tmp_path) == 0o750


# Durable


async def test_each_commit_is_on_the_disk(tmp_path: Path) -> None:
    files = opening.open_files(tmp_path)
    assert files.writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert files.writer.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    files.close()


async def test_readers_neither_write_nor_checkpoint(tmp_path: Path) -> None:
    files = opening.open_files(tmp_path)
    for reader in files.readers:
        assert reader.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM incident")
    files.close()


# One process


async def test_a_second_process_is_refused(tmp_path: Path) -> None:
    store = await sqlite.open_store(tmp_path)
    program = (
        "import asyncio, pathlib, sys; from webhook.store import sqlite; "
        "asyncio.run(sqlite.open_store(pathlib.Path(sys.argv[1])))"
    )
    second = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    await store.close()
    assert second.returncode == 1
    assert f"{tmp_path / opening.LOCK} is held by another process" in second.stderr


async def test_a_directory_is_free_again_after_closing_and_after_a_refusal(tmp_path: Path) -> None:
    file = await make(tmp_path)
    sound = file.read_bytes()
    file.write_bytes(b"")
    await refusal(tmp_path)
    file.write_bytes(sound)
    await (await sqlite.open_store(tmp_path)).close()


async def test_the_file_can_have_another_name(tmp_path: Path) -> None:
    store = await sqlite.open_store(tmp_path / "state", "kept/alerts.db")
    with pytest.raises(contract.StoreRefused, match="held by another process"):
        await sqlite.open_store(tmp_path / "state")
    await store.close()
    assert mode(tmp_path / "state" / "kept" / "alerts.db") == 0o600


# Refused


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    file = await make(tmp_path)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 99")
    text = await refusal(tmp_path)
    assert f"{file} has schema version 99" in text
    assert f"up to {len(statements.migrations())}" in text


async def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    file = tmp_path / opening.DATABASE
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE photo (name TEXT)")
    assert f"{file} is a database of another program" in await refusal(tmp_path)


@pytest.mark.parametrize("found", [b"", b"SQLite", b"# my notes\n" * 1000])
async def test_what_is_no_database_is_refused(tmp_path: Path, found: bytes) -> None:
    file = tmp_path / opening.DATABASE
    file.write_bytes(found)
    assert f"{file} is not an SQLite database" in await refusal(tmp_path)


def _overwrite(content: bytes, pages: int = 8) -> bytes:
    """Zeros in every page but the first few, as a disk that lost its data would have."""
    return content[: 4096 * pages] + bytes(len(content) - 4096 * pages)


def _spoil_one_page(content: bytes) -> bytes:
    return content[: 4096 * 7] + bytes(range(256)) * 16 + content[4096 * 8 :]


def _cut_short(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize("damage", [_overwrite, _spoil_one_page, _cut_short])
async def test_a_corrupt_file_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    file = await make(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    text = await refusal(tmp_path)
    assert f"{file} is corrupt" in text
    assert "backup" in text
    assert "\n" not in text


async def test_a_corrupt_file_is_left_with_its_log(tmp_path: Path) -> None:
    store = await sqlite.open_store(tmp_path / "state")
    for number in range(50):
        await store.accept(message(alert(str(number))), sources=(), body=b"%d" % number, now=at(0))
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for name, found in content(tmp_path / "state").items():
        if not name.endswith("-shm"):
            (crashed / name).write_bytes(found)
    await store.close()

    assert content(crashed)[f"{opening.DATABASE}-wal"]
    (crashed / opening.DATABASE).write_bytes(_overwrite(content(crashed)[opening.DATABASE], 1))
    assert "is corrupt" in await refusal(crashed)


async def test_a_log_without_its_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / opening.DATABASE
    (tmp_path / f"{opening.DATABASE}-wal").write_bytes(b"what is left")
    assert f"{file} is missing" in await refusal(tmp_path)


async def test_a_state_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(contract.StoreRefused, match=str(tmp_path / "file" / "state")):
        await sqlite.open_store(tmp_path / "file" / "state")


# Schema


async def test_a_creation_that_was_cut_short_starts_again(tmp_path: Path) -> None:
    (tmp_path / f"{opening.DATABASE}.new").write_bytes(b"half made")
    store = await sqlite.open_store(tmp_path)
    await store.probe()
    await store.close()


@pytest.mark.parametrize("dump", RELEASED, ids=[dump.stem for dump in RELEASED])
async def test_a_database_of_each_released_schema_opens(tmp_path: Path, dump: Path) -> None:
    restore(dump, tmp_path / opening.DATABASE)
    store = await sqlite.open_store(tmp_path)
    (situation,) = await store.open_incidents(10)
    await store.close()
    assert situation.incident.id == model.incident_id(GROUP)
    shown = situation.deliveries["pager"].shown
    assert shown is not None
    assert shown.firing == {alert("pod-1").fingerprint}


async def test_alerts_of_a_row_each_become_a_list(tmp_path: Path) -> None:
    """Up to schema 4 an alert was a row, with microseconds since 1970 for times."""
    group = {"number": "4"}
    heard = [
        structs.replace(
            alert("a"),
            annotations={"x": "ünï \u0000 '\""},
            generator_url="http://prometheus.example/graph",
            episode=2,
        ),
        structs.replace(alert("b", starts=-0.000001, ends=3.5), status=model.AlertStatus.MOVED, moved_to="x"),
        structs.replace(
            alert("c"), starts_at=datetime(1, 1, 1, 0, 0, 0, 1, UTC), held_until=at(1), ends_at=at(-1)
        ),
        structs.replace(
            alert("d"), starts_at=datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), recovers_at=at(2)
        ),
        structs.replace(alert("e"), muted=model.Mute(kind=model.MuteKind.SILENCED, by="ann", until=at(0.25))),
    ]
    restore(ROOT / "tests/fixtures/stores/schema-0004.sql", tmp_path / opening.DATABASE)
    with closing(sqlite3.connect(tmp_path / opening.DATABASE)) as connection, connection:
        connection.execute(
            "INSERT INTO incident VALUES ('4', ?, 2, 1, 1, 0, 0, NULL, 1, '', '', 0, NULL, 0, '[]')",
            (rows.to_json(group),),
        )
        for each in heard:
            instants = [
                None if instant is None else rows.to_micros(instant)
                for instant in (each.starts_at, each.ends_at, each.held_until, each.recovers_at)
            ]
            connection.execute(
                "INSERT INTO alert VALUES ('4', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    each.fingerprint, each.status.value, rows.to_json(each.labels), rows.to_json(each.annotations),
                    *instants[:2], each.generator_url, instants[2], each.episode, each.moved_to, instants[3],
                    None if each.muted is None else rows.to_json(each.muted),
                ),
            )  # fmt: skip

    store = await sqlite.open_store(tmp_path)
    found = (await store.situations(["4"]))["4"].incident.alerts
    standing = {one.fingerprint for one in await store.standing("", 10) if one.incident_id == "4"}
    await store.close()
    assert found == {each.fingerprint: each for each in heard}
    assert standing == {each.fingerprint for each in heard if each.status is model.AlertStatus.FIRING}


async def test_messages_of_a_row_each_stay(tmp_path: Path) -> None:
    """Up to schema 5 a body was a row."""
    restore(ROOT / "tests/fixtures/stores/schema-0005.sql", tmp_path / opening.DATABASE)
    await (await sqlite.open_store(tmp_path)).close()
    with closing(sqlite3.connect(tmp_path / opening.DATABASE)) as connection:
        found = connection.execute(
            "SELECT compressed, start, bytes FROM notification JOIN body ON body.id = body_id "
            "ORDER BY notification.id"
        ).fetchall()
    fires, ends = b'{"version": "4"}', b'{"version": "4", "status": "resolved"}'
    assert [zlib.decompress(compressed) for compressed, *_ in found] == [fires, ends, fires]
    assert [place for _, *place in found] == [[0, None]] * 3


def test_each_schema_has_a_database_of_its_release() -> None:
    assert len(RELEASED) == len(statements.migrations())


async def test_a_step_of_the_schema_is_taken_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await make(tmp_path)
    steps = [*statements.migrations(), "CREATE TABLE half (a); CREATE TABLE tally (a)"]
    monkeypatch.setattr(statements, "migrations", lambda: steps)
    with pytest.raises(contract.StoreRefused, match="already exists"):
        await sqlite.open_store(tmp_path)
    monkeypatch.undo()

    await (await sqlite.open_store(tmp_path)).close()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema WHERE name = 'half'").fetchall() == []


# Without room


async def accept_forever(store: contract.Store, acknowledged: list[str]) -> None:
    for number in itertools.count():
        heard = message(alert(str(number)), group={"number": str(number)})
        acknowledged += await store.accept(heard, sources=(), body=os.urandom(5_000), now=at(0))


@contextmanager
def _small_disk(folder: Path) -> Iterator[Callable[[], None]]:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(400_000))
    try:
        yield ballast.unlink
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def _small_files(folder: Path) -> Iterator[Callable[[], None]]:
    """Every file of this process may only grow so far, which is an I/O error to SQLite."""
    assert folder.is_dir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("without_room", [_small_disk, _small_files])
async def test_without_room_it_is_unavailable_until_there_is_room_again(
    tmp_path: Path, without_room: Callable[[Path], AbstractContextManager[Callable[[], None]]]
) -> None:
    with without_room(tmp_path) as make_room:
        store = await sqlite.open_store(tmp_path)
        acknowledged: list[str] = []
        with pytest.raises(ledger.Unavailable):
            await accept_forever(store, acknowledged)
        with pytest.raises(ledger.Unavailable):
            await store.accept(message(alert()), sources=(), body=os.urandom(200_000), now=at(0))
        assert len(acknowledged) > 5

        make_room()
        await store.probe()
        assert await store.accept(message(alert()), sources=(), body=b"{}", now=at(1))
        assert set(await store.situations(acknowledged)) == set(acknowledged)
        await store.close()
