"""A store in Redis, put together."""

from functools import partial

from mcpd.clock import SteadyClock
from mcpd.sessions.backend import Backend
from mcpd.sessions.redis.address import Address
from mcpd.sessions.redis.answers import RedisAnswers
from mcpd.sessions.redis.bus import RedisBus
from mcpd.sessions.redis.credentials import RedisCredentials
from mcpd.sessions.redis.events import RedisEvents
from mcpd.sessions.redis.keeper import LinkKeeper
from mcpd.sessions.redis.keys import Keys
from mcpd.sessions.redis.lease import RedisLease
from mcpd.sessions.redis.limits import RedisLedger
from mcpd.sessions.redis.link import RedisLink
from mcpd.sessions.redis.liveness import Liveness
from mcpd.sessions.redis.migration import migrate
from mcpd.sessions.redis.ownership import RedisOwnership
from mcpd.sessions.redis.session_index import SessionIndex
from mcpd.sessions.redis.store import TTL_SLACK_S, RedisStore
from mcpd.sessions.redis.tasks import RedisTasks
from mcpd.sessions.redis.watches import RedisWatches


def open_redis(url: str, process: str, *, timeout_s: float, keep_running_s: float) -> Backend:
    """The store behind a URL; it connects when its ``run`` runs.

    Args:
        process: the name of this process among all that use the store.

    Raises:
        ConfigError: the URL cannot be used.
    """
    address = Address.parse(url)
    clock = SteadyClock()  # set by Redis's, which all processes share
    redis = RedisLink(address, Keys(address.prefix))
    bus = RedisBus(redis, process)
    keeper = LinkKeeper(
        redis,
        process,
        on_signal=bus.arrived,
        on_up=bus.resync,
        on_time=clock.set,
        prepare=partial(migrate, redis, SessionIndex(redis)),
    )
    liveness = Liveness(redis)
    store = RedisStore(redis, bus, timeout_s=timeout_s)
    own_ttl_s = timeout_s + TTL_SLACK_S
    return Backend(
        store,
        RedisEvents(
            redis, process, keep_running_s=keep_running_s, own_ttl_s=own_ttl_s, clock=clock
        ),
        RedisAnswers(redis, process, keep_running_s=keep_running_s),
        RedisWatches(redis, process, own_ttl_s=own_ttl_s),
        RedisOwnership(redis, process, liveness, keep_running_s=keep_running_s),
        RedisLease(redis, process, liveness, own_ttl_s=own_ttl_s),
        bus,
        RedisTasks(redis, liveness, clock=clock),
        process,
        keeper.run,
        clock,
        RedisCredentials(redis),
        RedisLedger(redis, clock),
        (redis,),
    )
