"""The one door to Redis: packed values on shelves, read in one round trip, written in one atomic, guarded step.

A shelf is one key of the server, a hash. Whatever takes keys away (an eviction, a DEL, an expiry, a flush) takes a
whole shelf, which cannot be mistaken for one without the values asked for. A shelf counts its fields besides, so that
one that lost some of them is not taken for whole either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Protocol, cast
from urllib.parse import urlsplit

import redis
import redis.exceptions as errors

from headrace.errors import ConfigurationError, ContractError, HeadraceError, Transient

Values = Mapping[bytes, bytes | None]
"""What to write, by field; None deletes the field. Fields are utf-8, or begin with RESERVED."""
Asked = Sequence[tuple[bytes, Sequence[bytes]]]
"""Shelves, each with the fields that are wanted of it."""
Found = list[list[bytes | None] | None]
"""What was asked for, shelf by shelf."""

RESERVED = b"\xff"
"""No utf-8 begins so: fields that are no entity's name do."""
OFFSET, SIZE = RESERVED + b"offset", RESERVED + b"size"
SCANNED = 1_000
"""Keys that the server looks at for each part of a scan."""


class Publication(Enum):
    """What became of a `publish`."""

    WRITTEN = "written"
    AHEAD = "ahead"
    """Refused: somebody wrote with a greater offset. Values are a fold of the input, so theirs are right."""
    LOST = "lost"
    """Refused: the store is behind what the caller had written, or not whole. Everything has to be written anew."""


class Store(Protocol):
    """What both stores promise. Any call may raise Transient, and then nothing was changed."""

    def read(self, asked: Asked) -> Found:
        """The values of each shelf at one instant, None for fields that it has not; None for a shelf that is not whole.

        So a None among the values is a fact: whoever wrote the shelf has written no such field.
        """

    def offsets(self, shelves: Sequence[bytes]) -> list[int | None]:
        """Up to where the values of each shelf are folded; None for a shelf that is not there, or not whole."""

    def publish(
        self, shelf: bytes, offset: int, values: Values, previous: int | None = None, anew: bool = False
    ) -> Publication:
        """Write all values, and that they are folded up to `offset`, or nothing; readers see all of it or nothing.

        Refused when the shelf is folded further than `offset`; when it is less far than `previous`, the offset that the
        caller has written or read before; and when it is not whole. `anew` takes away what is there and asks only for
        the first. A repeat with the same offset writes the same again.
        """

    def drop(self, shelf: bytes, offset: int) -> bool:
        """Take a shelf away, if it is still folded up to `offset`; False, with nothing done, if not."""

    def keys(self, prefix: bytes) -> Iterator[list[bytes]]:
        """All keys that begin with `prefix`, in parts; those that come or go meanwhile may be named or not."""


_WHOLE = """
local held = tonumber(redis.call('HGET', KEYS[1], '\\255offset') or '-1')
local whole = redis.call('HLEN', KEYS[1]) == tonumber(redis.call('HGET', KEYS[1], '\\255size') or '0')
"""
_PUBLISH = (
    _WHOLE
    + """
local key, anew, sets = KEYS[1], ARGV[3] == '1', tonumber(ARGV[4])
if whole and held > tonumber(ARGV[1]) then return 1 end
if anew then redis.call('UNLINK', key)
elseif not whole or held < tonumber(ARGV[2]) then return 2 end
local gone = 4 + 2 * sets
for at = 5, gone, 2000 do redis.call('HSET', key, unpack(ARGV, at, math.min(at + 1999, gone))) end
for at = gone + 1, #ARGV, 2000 do redis.call('HDEL', key, unpack(ARGV, at, math.min(at + 1999, #ARGV))) end
redis.call('HSET', key, '\\255offset', ARGV[1], '\\255size', '0')
redis.call('HSET', key, '\\255size', redis.call('HLEN', key))
return 0
"""
)
_OFFSET = (
    _WHOLE
    + """
if not whole or held < 0 then return -1 end
return held
"""
)
_DROP = """
if redis.call('HGET', KEYS[1], '\\255offset') ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[1])
return 1
"""
_OUTCOMES = (Publication.WRITTEN, Publication.AHEAD, Publication.LOST)


class OnlineStore:
    """A Redis server (6.2 or later). Nothing expires: fields stay until they are deleted, shelves until dropped.

    Parameters:
        url: `redis://host:port/db`, `rediss://` or `unix://`.
        timeout_s: bound on connecting and on each answer, seconds.
    """

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        with _translated():
            try:
                parts = urlsplit(url)
                there = bool(parts.path) if parts.scheme == "unix" else bool(parts.hostname) and parts.port != 0
                database = parts.scheme == "unix" or parts.path in ("", "/") or parts.path[1:].isdecimal()
                # An @ behind the host is one of a password that holds a / or a ?.
                fit = there and database and "@" not in parts.path + parts.query and url.isprintable()
                self._redis = redis.Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s)
                self._redis.connection_pool.make_connection()  # Opens nothing, and reads the options of the URL.
            except (ValueError, TypeError, errors.RedisError):  # Their words may carry a part of a password.
                fit = False
            if not fit:
                raise ConfigurationError(
                    "HEADRACE_REDIS: an online store's URL looks like redis://host:6379/0, rediss://:password@host/0 "
                    "or unix:///path; in a password write / as %2F, : as %3A, @ as %40"
                )
            self._publish = self._redis.register_script(_PUBLISH)
            self._offset = self._redis.register_script(_OFFSET)
            self._drop = self._redis.register_script(_DROP)

    def evicts(self) -> str | None:
        """The policy by which the server may drop keys of ours when memory is short; None when it never does.

        `volatile-*` touches keys that expire, of which we have none; there the server refuses writes instead.
        """
        with _translated():
            policy = self._redis.info("memory").get("maxmemory_policy", "")
        return str(policy) if str(policy).startswith("allkeys") else None

    def check(self) -> None:
        """Raises ConfigurationError, with the remedy, when the server may drop keys of ours."""
        if policy := self.evicts():
            raise ConfigurationError(
                f"online store: maxmemory-policy is {policy}: when memory is short, Redis drops what views wrote, and "
                "features wait until it is written again; set noeviction (redis-cli CONFIG SET maxmemory-policy "
                "noeviction, and in redis.conf), and give it memory enough"
            )

    def read(self, asked: Asked) -> Found:
        """One HMGET a shelf, in one round trip, and a second look, in one more, at shelves that lack a field."""
        if not asked:
            return []
        with _translated():
            looks = self._redis.pipeline(transaction=False)
            for shelf, fields in asked:
                looks.hmget(shelf, [SIZE, *fields])
            answers = cast(list[list[bytes | None]], looks.execute())
        found: Found = [None if size is None else values for size, *values in answers]
        doubted = [at for at, values in enumerate(found) if values is not None and None in values]
        if doubted:
            self._look_again(asked, found, doubted)
        return found

    def _look_again(self, asked: Asked, found: Found, doubted: Sequence[int]) -> None:
        """Whether shelves that lack fields are whole. What was written since the first look is taken as it is now."""
        missing = {at: [n for n, value in enumerate(found[at] or ()) if value is None] for at in doubted}
        with _translated():
            looks = self._redis.pipeline(transaction=True)
            for at, places in missing.items():
                shelf, fields = asked[at]
                looks.hlen(shelf)
                looks.hmget(shelf, [SIZE, *(fields[place] for place in places)])
            answers = iter(looks.execute())
        for (at, places), count, (size, *values) in zip(missing.items(), answers, answers, strict=False):
            told = found[at]
            if told is None or size is None or int(size) != count:
                found[at] = None
                continue
            for place, value in zip(places, values, strict=True):
                told[place] = value

    def offsets(self, shelves: Sequence[bytes]) -> list[int | None]:
        """One script a shelf; see `Store`."""
        with _translated():
            held = [cast(int, self._offset(keys=[shelf])) for shelf in shelves]
        return [None if offset < 0 else offset for offset in held]

    def publish(
        self, shelf: bytes, offset: int, values: Values, previous: int | None = None, anew: bool = False
    ) -> Publication:
        """One script; see `Store`."""
        written = [part for field, value in values.items() if value is not None for part in (field, value)]
        gone = [] if anew else [field for field, value in values.items() if value is None]
        head = (offset, -1 if previous is None else previous, int(anew), len(written) // 2)
        with _translated():
            outcome = self._publish(keys=[shelf], args=[*head, *written, *gone])
        return _OUTCOMES[cast(int, outcome)]

    def drop(self, shelf: bytes, offset: int) -> bool:
        """One script; see `Store`."""
        with _translated():
            return bool(self._drop(keys=[shelf], args=[offset]))

    def keys(self, prefix: bytes) -> Iterator[list[bytes]]:
        """A scan of the whole server; see `Store`."""
        pattern = re.sub(rb"([*?\[\]^\\-])", rb"\\\1", prefix) + b"*"
        cursor = -1
        while cursor != 0:
            with _translated():
                cursor, found = cast(tuple[int, list[bytes]], self._redis.scan(max(cursor, 0), pattern, SCANNED))
            yield found

    def delete(self, keys: Sequence[bytes]) -> None:
        """Take keys away, whatever they hold."""
        with _translated():
            if keys:
                self._redis.unlink(*keys)

    def ping(self) -> None:
        """Raises Transient when the server does not answer."""
        with _translated():
            self._redis.ping()

    def close(self) -> None:
        """Give the connections back."""
        self._redis.close()


class MemoryStore:
    """A store in this process that behaves as the real one: for tests, and for services run without Redis."""

    def __init__(self) -> None:
        self.shelves: dict[bytes, dict[bytes, bytes]] = {}

    def read(self, asked: Asked) -> Found:
        """See `Store`."""
        found: Found = []
        for shelf, fields in asked:
            held = self.shelves.get(shelf, {})
            found.append([held.get(field) for field in fields] if SIZE in held and self._whole(shelf) else None)
        return found

    def offsets(self, shelves: Sequence[bytes]) -> list[int | None]:
        """See `Store`."""
        held = {shelf: self.shelves.get(shelf, {}).get(OFFSET) for shelf in shelves if self._whole(shelf)}
        return [None if (offset := held.get(shelf)) is None else int(offset) for shelf in shelves]

    def publish(
        self, shelf: bytes, offset: int, values: Values, previous: int | None = None, anew: bool = False
    ) -> Publication:
        """See `Store`."""
        held = int(self.shelves.get(shelf, {}).get(OFFSET, -1))
        if self._whole(shelf) and held > offset:
            return Publication.AHEAD
        if not anew and (not self._whole(shelf) or held < (-1 if previous is None else previous)):
            return Publication.LOST
        kept = {} if anew else dict(self.shelves.get(shelf, {}))
        for field, value in values.items():
            if value is None:
                kept.pop(field, None)
            else:
                kept[field] = value
        kept |= {OFFSET: str(offset).encode(), SIZE: b""}
        kept[SIZE] = str(len(kept)).encode()
        self.shelves[shelf] = kept
        return Publication.WRITTEN

    def drop(self, shelf: bytes, offset: int) -> bool:
        """See `Store`."""
        if self.shelves.get(shelf, {}).get(OFFSET) != str(offset).encode():
            return False
        del self.shelves[shelf]
        return True

    def keys(self, prefix: bytes) -> Iterator[list[bytes]]:
        """See `Store`."""
        yield [key for key in self.shelves if key.startswith(prefix)]

    def _whole(self, shelf: bytes) -> bool:
        held = self.shelves.get(shelf, {})
        return len(held) == int(held.get(SIZE, 0))


_FATES: Mapping[type[HeadraceError], tuple[type[Exception], ...]] = {
    Transient: (
        errors.RedisError,
        errors.ConnectionError,
        errors.TimeoutError,
        errors.BusyLoadingError,
        errors.MaxConnectionsError,
        errors.ExternalAuthProviderError,
        errors.InvalidResponse,
        errors.NoScriptError,
        errors.OutOfMemoryError,
        errors.ReadOnlyError,
        errors.ExecAbortError,
        errors.WatchError,
        errors.LockError,
        errors.LockNotOwnedError,
        errors.PubSubError,
        errors.RedisClusterException,
        errors.ClusterError,
        errors.ClusterDownError,
        errors.MasterDownError,
        errors.SlotNotCoveredError,
        errors.AskError,
        errors.MovedError,
        errors.TryAgainError,
    ),
    ConfigurationError: (
        errors.AuthenticationError,
        errors.AuthenticationWrongNumberOfArgsError,
        errors.AuthorizationError,
        errors.NoPermissionError,
    ),
    ContractError: (
        errors.ResponseError,
        errors.DataError,
        errors.ModuleError,
        errors.NoSuchFieldsetError,
        errors.ChildDeadlockedError,
        errors.ClusterCrossSlotError,
        errors.CrossSlotTransactionError,
        errors.InvalidPipelineStack,
        errors.IncorrectPolicyType,
    ),
}
FATES = {error: ours for ours, theirs in _FATES.items() for error in theirs}
"""What becomes of each of redis' errors; a test sweeps them all. One that is new goes the way of its parent."""


def fate(error: type[Exception]) -> type[HeadraceError]:
    """The error of ours that one of redis' becomes."""
    return next(FATES[ancestor] for ancestor in error.__mro__ if ancestor in FATES)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except tuple(FATES) as error:
        named = fate(type(error))
        remedy = "; mend HEADRACE_REDIS" if named is ConfigurationError else ""
        raise named(f"online store: {type(error).__name__}: {error}{remedy}") from error


def open_store(url: str) -> OnlineStore:
    """The online store at a URL. Raises ConfigurationError when it may drop what is written to it, if it can be asked
    now.
    """
    store = OnlineStore(url)
    with suppress(Transient):
        store.check()
    return store
