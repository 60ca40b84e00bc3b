"""What users have done, in Redis, for all processes that use it: a hash for each user and limit,
which expires.
"""

import hashlib
from collections.abc import Callable

from mcpd.limits.rules import Rule
from mcpd.limits.windows import Grant, slots_of
from mcpd.sessions.redis.link import RedisLink
from mcpd.sessions.redis.lua import Script

# The arithmetic of ``mcpd.limits.windows``, which says what it means.
_WINDOW = """
local now, period, slots = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'number', 'counts')
local number, counts = tonumber(kept[1] or 0), {}
for one in string.gmatch(kept[2] or '', '%S+') do counts[#counts + 1] = tonumber(one) end
local current = math.floor(now * slots / period)
local passed = current - number
if #counts == 0 or passed >= slots then
  number, counts = current, {0}
elseif passed > 0 then
  number = current
  for _ = 1, passed do counts[#counts + 1] = 0 end
  while #counts > slots do table.remove(counts, 1) end
end
local function keep()
  local told = {}
  for place, one in ipairs(counts) do told[place] = string.format('%.17g', one) end
  redis.call('HSET', KEYS[1], 'number', string.format('%.0f', number),
    'counts', table.concat(told, ' '))
  redis.call('EXPIRE', KEYS[1], math.ceil(2 * period))
end
"""

# KEYS: window; ARGV: now, period, slots, amount, least, most
# → granted, seconds to wait, seconds for which that holds
_TAKE = Script(
    _WINDOW
    + """
local amount, least, most = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local slot = period / slots
local left = math.min(math.max((number + 1) * slot - now, 0.001), slot)
local holds = left + period - slot
local free = amount
for _, one in ipairs(counts) do free = free - one end
if least <= free then
  local granted = math.max(least, math.min(most, math.floor(free)))
  counts[#counts] = counts[#counts] + granted
  keep()
  return {string.format('%.17g', granted), '0', tostring(holds)}
end
local needed, age, wait = least - free, slots - #counts, period
for _, one in ipairs(counts) do
  needed = needed - one
  if needed <= 1e-9 then
    wait = left + age * slot
    break
  end
  age = age + 1
end
return {'0', tostring(wait), tostring(holds)}
"""
)

# KEYS: window; ARGV: now, period, slots, amount
_GIVE_BACK = Script(
    _WINDOW
    + """
local amount = tonumber(ARGV[4])
for place, one in ipairs(counts) do
  local given = math.min(one, amount)
  amount = amount - given
  counts[place] = one - given
end
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
        return self._clock(), rule.period_s, slots_of(rule)

    def _key(self, key: str, rule: Rule) -> str:
        digest = hashlib.sha256(f"{rule.name}\n{key}".encode()).hexdigest()[:32]
        return self._redis.keys.limit(digest)
