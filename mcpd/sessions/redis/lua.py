"""Functions that several scripts share, in Lua. Pure text; ``session_scripts`` tells the keys."""

from mcpd.sessions.streams import MAX_BYTES, MAX_EVENTS

# Puts a message onto a session's own stream.
ADD = f"""
local function trim(m, e)
  local size = tonumber(redis.call('HGET', m, 'bytes') or 0)
  local count = redis.call('XLEN', e)
  while count > 1 and (count > {MAX_EVENTS} or size > {MAX_BYTES}) do
    local oldest = redis.call('XRANGE', e, '-', '+', 'COUNT', 1)[1]
    redis.call('XDEL', e, oldest[1])
    size = redis.call('HINCRBY', m, 'bytes', -#oldest[2][2])
    count = count - 1
  end
end
local function put(P, id, data, ttl)
  local m, e = P..':m:'..id..':session', P..':e:'..id..':session'
  local now = redis.call('TIME')
  local number = '0-'..now[1]..string.format('%06d', now[2])
  local added = redis.pcall('XADD', e, number, 'd', data)
  if type(added) == 'table' then added = redis.call('XADD', e, '0-*', 'd', data) end
  redis.call('HINCRBY', m, 'bytes', #data)
  redis.call('EXPIRE', m, ttl)
  redis.call('EXPIRE', e, ttl)
  trim(m, e)
  return added
end
"""

# Whether a process lives; see ``liveness``.
LIFE_OF = """
local function life_of(P, process)
  if redis.call('EXISTS', P..':p:'..process) == 0 then return 'gone' end
  if redis.call('PUBSUB', 'NUMSUB', P..':to:'..process)[2] > 0 then return 'alive' end
  return 'suspect'
end
"""

# In the step that makes the change, so that no change goes untold; see ``bus``.
TELL = """
local function tell(P, process, kind, id, name)
  redis.call('PUBLISH', P..':signals', cjson.encode({process, {kind, id, name}}))
end
"""
