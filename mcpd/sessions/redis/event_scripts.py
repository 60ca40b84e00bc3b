"""What must happen to the messages of streams in one step, in Lua. Pure text; ``session_scripts``
tells the keys.
"""

from mcpd.sessions.bus import SignalKind
from mcpd.sessions.redis.connection import Script
from mcpd.sessions.redis.lua import ADD, TELL
from mcpd.sessions.streams import (
    MAX_BYTES,
    MAX_EVENTS,
    MAX_FINISHED,
    MAX_FINISHED_BYTES,
    SESSION_STREAM,
    SMALL_BYTES,
)

# What is read goes before what is unread, and the oldest first; only a large stream is reason to
# look at the sizes of the others.
MAKE_ROOM = f"""
local function forget(P, id, index, stream)
  redis.call('ZREM', index, stream)
  redis.call('DEL', P..':m:'..id..':'..stream, P..':e:'..id..':'..stream)
end
local function large(P, id, stream)
  local size = tonumber(redis.call('HGET', P..':m:'..id..':'..stream, 'bytes') or 0)
  return size > {SMALL_BYTES} and size or 0
end
local function make_room(P, id, stream, expired)
  local indexes, count = {{P..':f:'..id, P..':u:'..id}}, 1
  for _, index in ipairs(indexes) do
    redis.call('ZREMRANGEBYSCORE', index, '-inf', expired)
    count = count + redis.call('ZCARD', index)
  end
  for _, index in ipairs(indexes) do
    while count > {MAX_FINISHED} and redis.call('ZCARD', index) > 0 do
      forget(P, id, index, redis.call('ZRANGE', index, 0, 0)[1])
      count = count - 1
    end
  end
  local taken = large(P, id, stream)
  if taken == 0 then return end
  local found = {{}}
  for _, index in ipairs(indexes) do
    for _, other in ipairs(redis.call('ZRANGE', index, 0, -1)) do
      local size = large(P, id, other)
      taken = taken + size
      if size > 0 then found[#found + 1] = {{index, other, size}} end
    end
  end
  for _, one in ipairs(found) do
    if taken <= {MAX_FINISHED_BYTES} then return end
    forget(P, id, one[1], one[2])
    taken = taken - one[3]
  end
end
"""

# P, id, stream, call, owner, ttl, now → 1: begun; 0: the session is gone
BEGIN = Script(
    """
local P, id, stream = ARGV[1], ARGV[2], ARGV[3]
if redis.call('EXISTS', P..':s:'..id) == 0 then return 0 end
local m, index = P..':m:'..id..':'..stream, P..':i:'..id
redis.call('HSET', m, 'call', ARGV[4], 'owner', ARGV[5], 'last', 0, 'bytes', 0)
redis.call('EXPIRE', m, ARGV[6])
redis.call('ZREMRANGEBYSCORE', index, '-inf', ARGV[7] - ARGV[6])
redis.call('ZADD', index, ARGV[7], stream)
redis.call('EXPIRE', index, ARGV[6])
return 1
"""
)

# P, id, stream, owner, number, data, with data?, last?, ttl running, ttl finished, now,
# unread? → 1: kept
APPEND = Script(
    ADD
    + MAKE_ROOM
    + """
local P, id, stream = ARGV[1], ARGV[2], ARGV[3]
local m, e = P..':m:'..id..':'..stream, P..':e:'..id..':'..stream
local state = redis.call('HMGET', m, 'owner', 'last', 'finished')
if state[1] ~= ARGV[4] then return 0 end
if ARGV[7] == '1' and tonumber(ARGV[5]) > tonumber(state[2]) then
  redis.call('XADD', e, '0-'..ARGV[5], 'd', ARGV[6])
  redis.call('HSET', m, 'last', ARGV[5])
  redis.call('HINCRBY', m, 'bytes', #ARGV[6])
  trim(m, e)
end
local ttl = ARGV[9]
if ARGV[8] == '1' and not state[3] then
  make_room(P, id, stream, ARGV[11] - ARGV[10])
  local index = P..(ARGV[12] == '1' and ':u:' or ':f:')..id
  redis.call('HSET', m, 'finished', 1)
  ttl = ARGV[10]
  redis.call('ZADD', index, ARGV[11], stream)
  redis.call('EXPIRE', index, ttl)
  redis.call('ZREM', P..':i:'..id, stream)
end
if not state[3] then
  redis.call('EXPIRE', m, ttl)
  redis.call('EXPIRE', e, ttl)
end
return 1
"""
)

# P, id, stream, ttl
MARK_UNREAD = Script(
    """
local P, id, stream = ARGV[1], ARGV[2], ARGV[3]
local ended = redis.call('ZSCORE', P..':f:'..id, stream)
if not ended then return end
redis.call('ZREM', P..':f:'..id, stream)
redis.call('ZADD', P..':u:'..id, ended, stream)
redis.call('EXPIRE', P..':u:'..id, ARGV[4])
"""
)

# P, id, data, drop oldest?, ttl, process → number; nil: there is no room; 0: the session is gone
PUT = Script(
    ADD
    + TELL
    + f"""
local P, id = ARGV[1], ARGV[2]
if redis.call('EXISTS', P..':s:'..id) == 0 then return 0 end
if ARGV[4] ~= '1' then
  local size = tonumber(redis.call('HGET', P..':m:'..id..':session', 'bytes') or 0)
  local count = redis.call('XLEN', P..':e:'..id..':session')
  if count >= {MAX_EVENTS} or size >= {MAX_BYTES} then return nil end
end
local number = put(P, id, ARGV[3], ARGV[5])
tell(P, ARGV[6], '{SignalKind.GREW}', id, '{SESSION_STREAM}')
return number
"""
)

# P, id, through
DROP_THROUGH = Script(
    """
local P, id = ARGV[1], ARGV[2]
local e = P..':e:'..id..':session'
for _, event in ipairs(redis.call('XRANGE', e, '-', '0-'..ARGV[3])) do
  redis.call('XDEL', e, event[1])
  redis.call('HINCRBY', P..':m:'..id..':session', 'bytes', -#event[2][2])
end
"""
)
