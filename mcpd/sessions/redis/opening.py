"""A store in Redis, put together."""

from mcpd.sessions.backend import Backend
from mcpd.sessions.redis.answers import RedisAnswers
from mcpd.sessions.redis.bus import RedisBus
from mcpd.sessions.redis.events import RedisEvents
from mcpd.sessions.redis.lease import RedisLease
from mcpd.sessions.redis.link import Address, Link
from mcpd.sessions.redis.liveness import LEASE_S, Liveness
from mcpd.sessions.redis.ownership import RedisOwnership
from mcpd.sessions.redis.store import TTL_SLACK_S, RedisStore
from mcpd.sessions.redis.tasks import RedisShelf
from mcpd.sessions.redis.watches import RedisWatches


def open_redis(url: str, process: str, *, timeout_s: float, keep_running_s: float) -> Backend:
    """The store behind a URL; it connects when its ``run`` runs.

    Args:
        process: the name of this process among all that use the store.

    Raises:
        ConfigError: the URL cannot be used.
    """
    address = Address.parse(url)
    prefix = address.prefix
    bus = RedisBus(f"{prefix}:signals", process)
    link = Link(
        address,
        channels=(f"{prefix}:signals", f"{prefix}:to:{process}"),
        on_message=bus.arrived,
        on_up=bus.resync,
        beat=("SET", f"{prefix}:p:{process}", "1", "EX", int(LEASE_S)),
    )
    bus.attach(link)
    liveness = Liveness(link)
    store = RedisStore(link, bus, timeout_s=timeout_s)
    own_ttl_s = timeout_s + TTL_SLACK_S
    return Backend(
        store,
        RedisEvents(link, process, keep_running_s=keep_running_s, own_ttl_s=own_ttl_s),
        RedisAnswers(link, process, keep_running_s=keep_running_s),
        RedisWatches(link, process, own_ttl_s=own_ttl_s),
        RedisOwnership(link, process, liveness, keep_running_s=keep_running_s),
        RedisLease(link, process, own_ttl_s=own_ttl_s),
        bus,
        RedisShelf(link, liveness),
        process,
        link.run,
    )
