"""The online store: one promise, kept by the real Redis and by the one in memory."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis.exceptions

from headrace.devparts.redis import Redis
from headrace.errors import ConfigurationError, ContractError, HeadraceError, Transient
from headrace.stores.online import FATES, OFFSET, SIZE, MemoryStore, OnlineStore, Publication, Store, fate
from tests.conftest import started


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


def values(store: Store, shelf: bytes, fields: list[bytes]) -> list[bytes | None] | None:
    """What one shelf holds."""
    (found,) = store.read([(shelf, fields)])
    return found


def test_publish(store: Store, key: Callable[[str], bytes]) -> None:
    """What was published is read in the order asked for; None deletes."""
    shelf = key("shelf")
    assert store.offsets([shelf]) == [None]
    assert store.read([(shelf, [b"a"])]) == [None]
    assert store.publish(shelf, 5, {b"a": b"\x00\xff", b"b": b""}) is Publication.WRITTEN
    assert values(store, shelf, [b"b", b"a", b"c"]) == [b"", b"\x00\xff", None]
    assert store.offsets([shelf, key("other")]) == [5, None]
    assert store.publish(shelf, 6, {b"a": None}) is Publication.WRITTEN
    assert values(store, shelf, [b"a", b"b"]) == [None, b""]
    assert values(store, shelf, []) == []
    assert store.read([]) == []


def test_several_shelves(store: Store, key: Callable[[str], bytes]) -> None:
    """Shelves are read in one go, each with its own fields; one that is not there is none."""
    one, two = key("one"), key("two")
    store.publish(one, 1, {b"a": b"1a", b"b": b"1b"})
    store.publish(two, 1, {b"a": b"2a"})
    assert store.read([(two, [b"a", b"b"]), (key("three"), [b"a"]), (one, [b"b", b"x", b"a"])]) == [
        [b"2a", None],
        None,
        [b"1b", None, b"1a"],
    ]


def test_behind(store: Store, key: Callable[[str], bytes]) -> None:
    """A writer that is behind is refused and changes nothing; a repeat is not."""
    shelf = key("shelf")
    store.publish(shelf, 9, {b"a": b"nine"})
    for anew in (False, True):
        assert store.publish(shelf, 8, {b"a": b"eight"}, anew=anew) is Publication.AHEAD
    assert values(store, shelf, [b"a"]) == [b"nine"]
    assert store.publish(shelf, 9, {b"a": b"nine again"}) is Publication.WRITTEN
    assert values(store, shelf, [b"a"]) == [b"nine again"]


def test_lost(store: Store, key: Callable[[str], bytes]) -> None:
    """A store that is behind what the writer had written says so and takes nothing in part."""
    shelf = key("shelf")
    assert store.publish(shelf, 9, {b"a": b"x"}, previous=7) is Publication.LOST
    assert store.offsets([shelf]) == [None]
    store.publish(shelf, 3, {})
    assert store.publish(shelf, 9, {b"a": b"x"}, previous=7) is Publication.LOST
    assert store.publish(shelf, 9, {b"a": b"x"}, previous=3) is Publication.WRITTEN


def test_anew(store: Store, key: Callable[[str], bytes]) -> None:
    """Written anew, a shelf holds what was written now and nothing else, however little was there before."""
    shelf = key("shelf")
    store.publish(shelf, 3, {b"a": b"old", b"b": b"old"})
    assert store.publish(shelf, 4, {b"a": b"new", b"c": None}, previous=9, anew=True) is Publication.WRITTEN
    assert values(store, shelf, [b"a", b"b"]) == [b"new", None]
    assert store.offsets([shelf]) == [4]


def take(store: Store, shelf: bytes, *fields: bytes) -> None:
    """Take fields from under the store, or the whole shelf."""
    if isinstance(store, MemoryStore):
        for field in fields:
            del store.shelves[shelf][field]
        if not fields:
            del store.shelves[shelf]
        return
    assert isinstance(store, OnlineStore)
    assert store._redis.hdel(shelf, *fields) if fields else store._redis.delete(shelf)


@pytest.mark.parametrize("field", [b"a", b"b", OFFSET, SIZE, b""], ids=["wanted", "other", "offset", "size", "all"])
def test_not_whole(store: Store, key: Callable[[str], bytes], field: bytes) -> None:
    """A shelf that lost one field or all is none until it is written anew: a field that is absent is a fact."""
    shelf = key("shelf")
    store.publish(shelf, 9, {b"a": b"x", b"b": b"y"})
    take(store, shelf, *([field] if field else []))
    assert values(store, shelf, [b"a", b"never"]) is None
    assert store.offsets([shelf]) == [None]
    if field:
        assert store.publish(shelf, 10, {b"c": b"z"}, previous=9) is Publication.LOST
    assert store.publish(shelf, 8, {b"a": b"x"}, previous=9, anew=True) is Publication.WRITTEN
    assert values(store, shelf, [b"a", b"never"]) == [b"x", None]


def test_drop(store: Store, key: Callable[[str], bytes]) -> None:
    """A shelf is taken away by who knows how far it is; anybody may write then."""
    shelf = key("shelf")
    store.publish(shelf, 9, {b"a": b"nine"})
    assert not store.drop(shelf, 8)
    assert store.offsets([shelf]) == [9]
    assert store.drop(shelf, 9)
    assert store.offsets([shelf]) == [None]
    assert not store.drop(shelf, 9)
    assert store.publish(shelf, 3, {b"a": b"three"}) is Publication.WRITTEN
    assert values(store, shelf, [b"a"]) == [b"three"]


def test_keys(store: Store, key: Callable[[str], bytes]) -> None:
    """Keys are found by what they begin with, literally, however many there are."""
    for name in (*(f"[a*]?:{n}" for n in range(300)), "a:1", "[aa]?:1"):
        store.publish(key(name), 0, {})
    found = {name for part in store.keys(key("[a*]?:")) for name in part}
    assert found == {key(f"[a*]?:{n}") for n in range(300)}


def test_many(store: Store, key: Callable[[str], bytes]) -> None:
    """Thousands of values go in one step."""
    many = {str(n).encode(): str(n).encode() for n in range(5_000)}
    shelf = key("shelf")
    assert store.publish(shelf, 0, many) is Publication.WRITTEN
    assert values(store, shelf, list(many)) == list(many.values())
    assert store.publish(shelf, 1, dict.fromkeys(many)) is Publication.WRITTEN
    assert set(values(store, shelf, list(many)) or ()) == {None}


@pytest.mark.parametrize(
    ("policy", "refused"),
    [("noeviction", False), ("volatile-lru", False), ("allkeys-lru", True), ("allkeys-lfu", True)],
)
def test_eviction_is_refused(tmp_path: Path, policy: str, refused: bool) -> None:
    """A server that may drop any key when memory is short is refused with the remedy; nothing of ours expires."""
    server = Redis(tmp_path / "redis", with_parent=True)
    started(server.start)
    store = OnlineStore(server.address)
    try:
        store._redis.config_set("maxmemory-policy", policy)
        if refused:
            with pytest.raises(ConfigurationError, match=f"{policy}.*CONFIG SET maxmemory-policy noeviction"):
                store.check()
        else:
            store.check()
    finally:
        store.close()
        server.stop()


def test_out_of_reach() -> None:
    """A store that is not there is transient, a wrong address is not."""
    store = OnlineStore("redis://127.0.0.1:1/0", timeout_s=0.5)
    with pytest.raises(Transient, match="online store"):
        store.read([(b"shelf", [b"a"])])
    with pytest.raises(Transient):
        store.publish(b"shelf", 1, {})
    with pytest.raises(Transient):
        store.ping()
    store.close()
    with pytest.raises(
        ConfigurationError, match="HEADRACE_REDIS: an online store's URL looks like redis://host:6379/0"
    ):
        OnlineStore("127.0.0.1:1")


def test_wrong_type(redis_server: str, key: Callable[[str], bytes]) -> None:
    """A key that somebody else uses for something else breaks the contract."""
    store = OnlineStore(redis_server)
    store._redis.set(key("shelf"), b"no shelf")
    for call in (lambda: store.publish(key("shelf"), 2, {}), lambda: store.read([(key("shelf"), [])])):
        with pytest.raises(ContractError):
            call()
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
