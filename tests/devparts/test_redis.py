"""The embedded Redis."""

from pathlib import Path

import pytest
import redis

from headrace.devparts.redis import Redis


def test_data_survives_a_clean_restart(tmp_path: Path) -> None:
    """A stopped and restarted server has the same address and the same data."""
    server = Redis(tmp_path, with_parent=True)
    server.start()
    with redis.Redis.from_url(server.address) as client:
        client.set("a", "1")
    server.stop()
    assert not server.running()

    again = Redis(tmp_path, with_parent=True)
    again.start()
    assert again.address == server.address
    with redis.Redis.from_url(again.address) as client:
        assert client.get("a") == b"1"
    again.stop()


@pytest.mark.faults
def test_killed_server_comes_back(tmp_path: Path) -> None:
    """A killed server is seen as gone and starts again on its port."""
    server = Redis(tmp_path, with_parent=True)
    server.start()
    server.kill()
    assert not server.running()
    server.start()
    with redis.Redis.from_url(server.address) as client:
        assert client.ping()
    server.stop()


def test_starting_twice_keeps_the_first(tmp_path: Path) -> None:
    """A second start finds the running server, also from another object, and does not start a rival."""
    server = Redis(tmp_path, with_parent=True)
    server.start()
    first = server.process()
    Redis(tmp_path).start()
    assert server.process() == first
    server.stop()
