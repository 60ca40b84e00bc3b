"""What must happen to a session in one step, in Lua. Pure text; ``keys`` tells the keys. Each other
script stands beside its caller.
"""

from enum import StrEnum

from mcpd.sessions.redis.lua import Script
from mcpd.sessions.redis.record import HEAD_CHARS


class Only(StrEnum):
    """Which sessions a DROP is meant for: what an index said may be true no more."""

    ANY = "any"
    IDLE = "idle"  # its last activity is not later than the argument
    UNBOUND = "unbound"  # it has no principal


# KEYS: record, unfinished, read, unread, sizes, own stream (2), topics
# ARGV: Only, cutoff → [1: it was there; 0: it was not; 2: it stays], streams, topics, activity
DROP = Script(
    f"""
local head = redis.call('GETRANGE', KEYS[1], 0, {HEAD_CHARS - 1})
local there = head ~= ''
if there then
  local activity = string.sub(head, 2)
  if ARGV[1] == '{Only.IDLE}' and tonumber(activity) > tonumber(ARGV[2])
    or ARGV[1] == '{Only.UNBOUND}' and string.sub(head, 1, 1) == '1'
  then return {{2, {{}}, {{}}, activity}} end
end
local streams = {{}}
for place = 2, 4 do
  for _, stream in ipairs(redis.call('ZRANGE', KEYS[place], 0, -1)) do
    streams[#streams + 1] = stream
  end
end
local topics = redis.call('SMEMBERS', KEYS[8])
redis.call('DEL', unpack(KEYS))
return {{there and 1 or 0, streams, topics, ''}}
"""
)

# KEYS: activity, ids, unbound; ARGV: id, activity, created, unbound?, max_unbound
# → ids of sessions without a principal that are too many
INDEX = Script(
    """
redis.call('ZADD', KEYS[1], 'GT', ARGV[2], ARGV[1])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
if ARGV[4] ~= '1' then return {} end
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
local surplus = redis.call('ZCARD', KEYS[3]) - tonumber(ARGV[5])
if surplus <= 0 then return {} end
return redis.call('ZRANGE', KEYS[3], 0, surplus - 1)
"""
)

# KEYS: record; ARGV: old, new (without heads), bound? → 1: done; 0: it is another one now
REPLACE = Script(
    f"""
if redis.call('GETRANGE', KEYS[1], {HEAD_CHARS}, -1) ~= ARGV[1] then return 0 end
local activity = redis.call('GETRANGE', KEYS[1], 1, {HEAD_CHARS - 1})
redis.call('SET', KEYS[1], ARGV[3]..activity..ARGV[2], 'KEEPTTL')
return 1
"""
)

# KEYS: record, own stream (2); ARGV: ttl, activity → 1: it is there
TOUCH = Script(
    f"""
if redis.call('EXPIRE', KEYS[1], ARGV[1]) == 0 then return 0 end
if tonumber(redis.call('GETRANGE', KEYS[1], 1, {HEAD_CHARS - 1})) < tonumber(ARGV[2]) then
  redis.call('SETRANGE', KEYS[1], 1, ARGV[2])
end
redis.call('EXPIRE', KEYS[2], ARGV[1])
redis.call('EXPIRE', KEYS[3], ARGV[1])
return 1
"""
)
