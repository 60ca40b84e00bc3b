"""What users have done, in Redis, for all processes that use it: a hash for each user and limit,
which expires.
"""

import hashlib
from collections.abc import Callable

from mcpd.limits.rules import Rule
from mcpd.limits.windows import Grant
from mcpd.sessions.redis.link import RedisLink
from mcpd.sessions.redis.lua import Script

# The arithmetic of ``mcpd.limits.windows``, which says what it means.
_WINDOW = """
local now, period, slides = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local kept = redis.call('HMGET', KEYS[1], 'number', 'used', 'before')
local number = tonumber(kept[1] or 0)
local used, before = tonumber(kept[2] or 0), tonumber(kept[3] or 0)
local current = math.floor(now / period)
if current > number then
  before = current == number + 1 and used or 0
  number, used = current, 0
elseif current < number - 1 then
  number, before = current, 0
end
local function keep()
  redis.call('HSET', KEYS[1], 'number', string.format('%.0f', number),
    'used', tostring(used), 'before', tostring(before))
  redis.call('EXPIRE', KEYS[1], math.ceil(2 * period))
end
"""

# KEYS: window; ARGV: now, period, slides, amount, least, most
# → granted, seconds to wait, seconds until the window ends
_TAKE = Script(
    _WINDOW
    + """
local amount, least, most = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local passed = math.min(math.max(now - number * period, 0), period)
local left = period - passed
local free = amount - used - (slides and before * left / period or 0)
if least <= free then
  local granted = math.max(least, math.min(most, math.floor(free)))
  used = used + granted
  keep()
  return {tostring(granted), '0', tostring(left)}
end
local wait = left
if least > amount then
  wait = period
elseif slides then
  local room = amount - least - used
  if before > 0 and room >= 0 then
    wait = math.max(left - period * room / before, 0.001)
  elseif used > 0 then
    wait = left + period * math.max(1 - (amount - least) / used, 0)
  end
end
return {'0', tostring(wait), tostring(left)}
"""
)

# KEYS: window; ARGV: now, period, slides, amount
_GIVE_BACK = Script(
    _WINDOW
    + """
used = math.max(0, used - tonumber(ARGV[4]))
keep()
return 1
"""
)


class RedisLedger:
    """See Ledger.

    Args:
        clock: Unix seconds, as all processes have them.
    """

    def __init__(self, redis: RedisLink, clock: Callable[[], float]) -> None:
        self._redis = redis
        self._clock = clock

    async def take(self, key: str, rule: Rule, least: float, most: float) -> Grant:
        """See Ledger."""
        arguments = (*self._arguments(rule), rule.amount, least, most)
        found = await self._redis.run(_TAKE, (self._key(key, rule),), *arguments)
        return Grant(*map(float, found))

    async def give_back(self, key: str, rule: Rule, amount: float) -> None:
        """See Ledger."""
        arguments = (*self._arguments(rule), amount)
        await self._redis.run(_GIVE_BACK, (self._key(key, rule),), *arguments)

    async def sweep(self) -> None:
        """See Ledger: they expire."""

    def close(self) -> None:
        """Nothing is held here."""

    def _arguments(self, rule: Rule) -> tuple[float, float, int]:
        return self._clock(), rule.period_s, int(rule.slides)

    def _key(self, key: str, rule: Rule) -> str:
        digest = hashlib.sha256(f"{rule.name}\n{key}".encode()).hexdigest()[:32]
        return self._redis.keys.limit(digest)
