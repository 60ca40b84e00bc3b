"""What must happen to the messages of streams in one step, in Lua. Pure text; ``keys`` tells the
keys.
"""

from mcpd.sessions.bus import SignalKind
from mcpd.sessions.redis.lua import ADD, TELL, Script
from mcpd.sessions.streams import (
    MAX_BYTES,
    MAX_EVENTS,
    MAX_FINISHED,
    MAX_FINISHED_BYTES,
    SESSION_STREAM,
    SMALL_BYTES,
)

# What is read goes before what is unread, and the oldest first; only a large stream is reason to
# look at the sizes of the others. The names of what went are returned: their messages are deleted
# in a step of their own, and expire in any case.
MAKE_ROOM = f"""
local gone = {{}}
local function forget(index, sizes, stream)
  redis.call('ZREM', index, stream)
  redis.call('HDEL', sizes, stream)
  gone[#gone + 1] = stream
end
local function make_room(indexes, sizes, size, expired)
  local count = 1
  for _, index in ipairs(indexes) do
    for _, stream in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', expired)) do
      forget(index, sizes, stream)
    end
    count = count + redis.call('ZCARD', index)
  end
  for _, index in ipairs(indexes) do
    while count > {MAX_FINISHED} and redis.call('ZCARD', index) > 0 do
      forget(index, sizes, redis.call('ZRANGE', index, 0, 0)[1])
      count = count - 1
    end
  end
  if size <= {SMALL_BYTES} then return end
  local taken, found = size, {{}}
  for _, index in ipairs(indexes) do
    for _, other in ipairs(redis.call('ZRANGE', index, 0, -1)) do
      local its = tonumber(redis.call('HGET', sizes, other) or 0)
      taken = taken + its
      if its > 0 then found[#found + 1] = {{index, other, its}} end
    end
  end
  for _, one in ipairs(found) do
    if taken <= {MAX_FINISHED_BYTES} then return end
    forget(one[1], sizes, one[2])
    taken = taken - one[3]
  end
end
"""

# KEYS: record, stream, unfinished; ARGV: stream, call, owner, ttl, now
# → 1: begun, now or before; 0: the session is gone, or another process has the stream
BEGIN = Script(
    """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local m, index, ttl = KEYS[2], KEYS[3], ARGV[4]
local owner = redis.call('HGET', m, 'owner')
if owner then return owner == ARGV[3] and 1 or 0 end
redis.call('HSET', m, 'call', ARGV[2], 'owner', ARGV[3], 'last', 0, 'bytes', 0)
redis.call('EXPIRE', m, ttl)
redis.call('ZREMRANGEBYSCORE', index, '-inf', ARGV[5] - ttl)
redis.call('ZADD', index, ARGV[5], ARGV[1])
redis.call('EXPIRE', index, ttl)
return 1
"""
)

# KEYS: stream (2), unfinished, read, unread, sizes; ARGV: stream, owner, number of the first
# message, last?, ttl running, ttl finished, now, unread?, messages
# → nil: it is not ours; names of what was forgotten
APPEND = Script(
    ADD
    + MAKE_ROOM
    + f"""
local m, e, stream = KEYS[1], KEYS[2], ARGV[1]
local state = redis.call('HMGET', m, 'owner', 'last', 'finished')
if state[1] ~= ARGV[2] then return nil end
local number, known, size = tonumber(ARGV[3]), tonumber(state[2]), 0
for place = 9, #ARGV do
  if number > known then
    redis.call('XADD', e, '0-'..number, 'd', ARGV[place])
    size = size + #ARGV[place]
  end
  number = number + 1
end
if #ARGV > 8 and number - 1 > known then
  redis.call('HSET', m, 'last', number - 1)
  redis.call('HINCRBY', m, 'bytes', size)
  trim(m, e)
end
if state[3] then return gone end
local ttl = ARGV[5]
if ARGV[4] == '1' then
  local size = tonumber(redis.call('HGET', m, 'bytes') or 0)
  make_room({{KEYS[4], KEYS[5]}}, KEYS[6], size, ARGV[7] - ARGV[6])
  local index = ARGV[8] == '1' and KEYS[5] or KEYS[4]
  redis.call('HSET', m, 'finished', 1)
  ttl = ARGV[6]
  redis.call('ZADD', index, ARGV[7], stream)
  redis.call('EXPIRE', index, ttl)
  if size > {SMALL_BYTES} then
    redis.call('HSET', KEYS[6], stream, size)
    redis.call('EXPIRE', KEYS[6], ttl)
  end
  redis.call('ZREM', KEYS[3], stream)
end
redis.call('EXPIRE', m, ttl)
redis.call('EXPIRE', e, ttl)
return gone
"""
)

# KEYS: read, unread, sizes; ARGV: stream, ttl
MARK_UNREAD = Script(
    """
local ended = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not ended then return end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], ended, ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[2])
"""
)

# KEYS: record, own stream (2); ARGV: id, data, drop oldest?, ttl, process, channel
# → number; nil: there is no room; 0: the session is gone
PUT = Script(
    ADD
    + TELL
    + f"""
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local m, e = KEYS[2], KEYS[3]
if ARGV[3] ~= '1' then
  local size = tonumber(redis.call('HGET', m, 'bytes') or 0)
  local count = redis.call('XLEN', e)
  if count >= {MAX_EVENTS} or size >= {MAX_BYTES} then return nil end
end
local number = put(m, e, ARGV[2], ARGV[4])
if type(number) == 'string' then
  tell(ARGV[6], ARGV[5], '{SignalKind.GREW}', ARGV[1], '{SESSION_STREAM}')
end
return number
"""
)

# KEYS: own stream (2); ARGV: through
DROP_THROUGH = Script(
    """
for _, event in ipairs(redis.call('XRANGE', KEYS[2], '-', '0-'..ARGV[1])) do
  redis.call('XDEL', KEYS[2], event[1])
  redis.call('HINCRBY', KEYS[1], 'bytes', -#event[2][2])
end
"""
)
