"""What becomes of a session's finished streams, in Lua. Pure text; ``scripts`` tells the keys."""

from mcpd.sessions.log import MAX_FINISHED, MAX_FINISHED_BYTES, SMALL_BYTES
from mcpd.sessions.redis.link import Script

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
