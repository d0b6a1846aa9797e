"""The online store: one promise, kept by the real Redis and by the one in memory."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator

import pytest
import redis.exceptions

from services.kit.errors import ConfigurationError, ContractError, HeadraceError, Transient
from services.kit.online_store import FATES, MemoryStore, OnlineStore, Publication, Store, fate


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Each kind of store."""
    if request.param == "memory":
        yield MemoryStore()
        return
    opened = OnlineStore(request.getfixturevalue("redis_server"))
    yield opened
    opened.close()


@pytest.fixture
def key(unique: Callable[[str], str]) -> Callable[[str], bytes]:
    """Keys of this test alone."""
    start = unique("store")
    return lambda name: f"{start}:{name}".encode()


def test_publish(store: Store, key: Callable[[str], bytes]) -> None:
    """What was published is read in the order asked for; None deletes."""
    guard, a, b = key("guard"), key("a"), key("b")
    assert store.offset(guard) is None
    assert store.publish(guard, 5, {a: b"\x00\xff", b: b""}) is Publication.WRITTEN
    assert store.read([b, a, key("c")]) == [b"", b"\x00\xff", None]
    assert store.offset(guard) == 5
    assert store.publish(guard, 6, {a: None}) is Publication.WRITTEN
    assert store.read([a, b]) == [None, b""]
    assert store.read([]) == []


def test_behind(store: Store, key: Callable[[str], bytes]) -> None:
    """A writer that is behind is refused and changes nothing; a repeat is not."""
    guard, a = key("guard"), key("a")
    store.publish(guard, 9, {a: b"nine"})
    assert store.publish(guard, 8, {a: b"eight"}) is Publication.AHEAD
    assert store.read([a]) == [b"nine"]
    assert store.publish(guard, 9, {a: b"nine again"}) is Publication.WRITTEN
    assert store.read([a]) == [b"nine again"]


def test_lost(store: Store, key: Callable[[str], bytes]) -> None:
    """A store that is behind what the writer had written says so and takes nothing in part."""
    guard, a = key("guard"), key("a")
    assert store.publish(guard, 9, {a: b"x"}, previous=7) is Publication.LOST
    assert store.read([guard, a]) == [None, None]
    store.publish(guard, 3, {})
    assert store.publish(guard, 9, {a: b"x"}, previous=7) is Publication.LOST
    assert store.publish(guard, 9, {a: b"x"}, previous=3) is Publication.WRITTEN


def test_reset(store: Store, key: Callable[[str], bytes]) -> None:
    """A guard is forgotten by who knows what it holds; anybody may write then."""
    guard, a = key("guard"), key("a")
    store.publish(guard, 9, {a: b"nine"})
    assert not store.reset(guard, 8)
    assert store.offset(guard) == 9
    assert store.reset(guard, 9)
    assert store.offset(guard) is None
    assert not store.reset(guard, 9)
    assert store.publish(guard, 3, {a: b"three"}) is Publication.WRITTEN
    assert store.read([a]) == [b"three"]


def test_keys(store: Store, key: Callable[[str], bytes]) -> None:
    """Keys are found by what they begin with, literally, however many there are."""
    values = {key(f"[a*]?:{n}"): b"x" for n in range(2_500)} | {key("a:1"): b"x", key("[aa]?:1"): b"x"}
    store.publish(key("guard"), 0, values)
    found = {name for part in store.keys(key("[a*]?:")) for name in part}
    assert found == {key(f"[a*]?:{n}") for n in range(2_500)}


def test_many(store: Store, key: Callable[[str], bytes]) -> None:
    """Thousands of values go in one step."""
    values = {key(str(n)): str(n).encode() for n in range(5_000)}
    assert store.publish(key("guard"), 0, values) is Publication.WRITTEN
    assert store.read(list(values)) == list(values.values())
    assert store.publish(key("guard"), 1, dict.fromkeys(values)) is Publication.WRITTEN
    assert set(store.read(list(values))) == {None}


def test_out_of_reach() -> None:
    """A store that is not there is transient, a wrong address is not."""
    store = OnlineStore("redis://127.0.0.1:1/0", timeout_s=0.5)
    with pytest.raises(Transient, match="online store"):
        store.read([b"a"])
    with pytest.raises(Transient):
        store.publish(b"guard", 1, {})
    with pytest.raises(Transient):
        store.ping()
    store.close()
    with pytest.raises(ConfigurationError, match="scheme"):
        OnlineStore("127.0.0.1:1")


def test_wrong_type(redis_server: str, key: Callable[[str], bytes]) -> None:
    """A guard that somebody else uses for something else breaks the contract."""
    store = OnlineStore(redis_server)
    store.publish(key("other"), 1, {key("guard"): b"not a number"})
    with pytest.raises(ContractError):
        store.publish(key("guard"), 2, {})
    store.close()


def exceptions() -> list[type[Exception]]:
    """All exceptions that redis declares."""
    found = [c for c in vars(redis.exceptions).values() if inspect.isclass(c) and issubclass(c, Exception)]
    return [c for c in found if c.__module__ == "redis.exceptions"]


@pytest.mark.parametrize("error", exceptions(), ids=lambda error: error.__name__)
def test_errors(error: type[Exception]) -> None:
    """Every error that redis can raise has a fate by name, so that a new one is noticed."""
    assert error in FATES
    assert issubclass(fate(error), HeadraceError)
