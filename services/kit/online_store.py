"""The one door to Redis: packed values by key, read in one round trip, written in one atomic, guarded step."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Protocol, cast

import redis
import redis.exceptions as errors

from services.kit.errors import ConfigurationError, ContractError, HeadraceError, Transient

Values = Mapping[bytes, bytes | None]
"""What to write; None deletes the key."""

SCANNED = 1_000
"""Keys that the server looks at for each part of a scan."""


class Publication(Enum):
    """What became of a `publish`."""

    WRITTEN = "written"
    AHEAD = "ahead"
    """Refused: somebody wrote with a greater offset. Values are a fold of the input, so theirs are right."""
    LOST = "lost"
    """Refused: the store is behind what the caller had written. It lost data; everything has to be written anew."""


class Store(Protocol):
    """What both stores promise. Any call may raise Transient, and then nothing was changed."""

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of all keys at one instant, None for those without."""

    def offset(self, guard: bytes) -> int | None:
        """The offset that `guard` holds: up to where the values behind it are folded."""

    def publish(self, guard: bytes, offset: int, values: Values, previous: int | None = None) -> Publication:
        """Write all values and `guard` = offset, or nothing; readers see all of it or nothing.

        Refused when the guard holds more than `offset`, or less than `previous`, the offset that the caller has
        written or read before. A repeat with the same offset writes the same again.
        """

    def reset(self, guard: bytes, offset: int) -> bool:
        """Forget `guard`, so that anybody may publish, if it still holds `offset`; False, with nothing done, if not."""

    def keys(self, prefix: bytes) -> Iterator[list[bytes]]:
        """All keys that begin with `prefix`, in parts; those that come or go meanwhile may be named or not."""


_PUBLISH = """
local held = tonumber(redis.call('GET', KEYS[1]) or '-1')
if held > tonumber(ARGV[1]) then return 1 end
if held < tonumber(ARGV[2]) then return 2 end
local sets = tonumber(ARGV[3])
for first = 1, sets, 1000 do
  local pairs = {}
  for at = first, math.min(first + 999, sets) do
    pairs[#pairs + 1] = KEYS[1 + at]
    pairs[#pairs + 1] = ARGV[3 + at]
  end
  redis.call('MSET', unpack(pairs))
end
for at = sets + 2, #KEYS do redis.call('DEL', KEYS[at]) end
redis.call('SET', KEYS[1], ARGV[1])
return 0
"""
_RESET = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1
"""
_OUTCOMES = (Publication.WRITTEN, Publication.AHEAD, Publication.LOST)


class OnlineStore:
    """A Redis server (6.2 or later). Keys stay until they are deleted: no expiry, entities that vanish are deleted.

    Parameters:
        url: `redis://host:port/db`, `rediss://` or `unix://`.
        timeout_s: bound on connecting and on each answer, seconds.
    """

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        with _translated():
            try:
                self._redis = redis.Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s)
            except ValueError as error:
                raise ConfigurationError(f"online store: {error}") from error
            self._publish = self._redis.register_script(_PUBLISH)
            self._reset = self._redis.register_script(_RESET)

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """One MGET; see `Store`."""
        if not keys:
            return []
        with _translated():
            return cast(list[bytes | None], self._redis.mget(keys))

    def offset(self, guard: bytes) -> int | None:
        """See `Store`."""
        with _translated():
            held = cast(bytes | None, self._redis.get(guard))
        return None if held is None else int(held)

    def publish(self, guard: bytes, offset: int, values: Values, previous: int | None = None) -> Publication:
        """One script; see `Store`."""
        written = {key: value for key, value in values.items() if value is not None}
        gone = [key for key, value in values.items() if value is None]
        numbers = (offset, -1 if previous is None else previous, len(written))
        with _translated():
            outcome = self._publish(keys=[guard, *written, *gone], args=[*numbers, *written.values()])
        return _OUTCOMES[cast(int, outcome)]

    def reset(self, guard: bytes, offset: int) -> bool:
        """One script; see `Store`."""
        with _translated():
            return bool(self._reset(keys=[guard], args=[offset]))

    def keys(self, prefix: bytes) -> Iterator[list[bytes]]:
        """A scan of the whole server; see `Store`."""
        pattern = re.sub(rb"([*?\[\]^\\-])", rb"\\\1", prefix) + b"*"
        cursor = -1
        while cursor != 0:
            with _translated():
                cursor, found = cast(tuple[int, list[bytes]], self._redis.scan(max(cursor, 0), pattern, SCANNED))
            yield found

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
        self.values: dict[bytes, bytes] = {}

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `Store`."""
        return [self.values.get(key) for key in keys]

    def offset(self, guard: bytes) -> int | None:
        """See `Store`."""
        held = self.values.get(guard)
        return None if held is None else int(held)

    def publish(self, guard: bytes, offset: int, values: Values, previous: int | None = None) -> Publication:
        """See `Store`."""
        held = self.offset(guard)
        if held is not None and held > offset:
            return Publication.AHEAD
        if (-1 if held is None else held) < (-1 if previous is None else previous):
            return Publication.LOST
        for key, value in values.items():
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value
        self.values[guard] = str(offset).encode()
        return Publication.WRITTEN

    def reset(self, guard: bytes, offset: int) -> bool:
        """See `Store`."""
        if self.offset(guard) != offset:
            return False
        del self.values[guard]
        return True

    def keys(self, prefix: bytes) -> Iterator[list[bytes]]:
        """See `Store`."""
        yield [key for key in self.values if key.startswith(prefix)]


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
        raise fate(type(error))(f"online store: {type(error).__name__}: {error}") from error
