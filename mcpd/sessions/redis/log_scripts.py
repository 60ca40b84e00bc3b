"""What must happen to streams and answers in one step, in Lua. Pure text; ``scripts`` tells the
keys.
"""

from mcpd.sessions.bus import Kind
from mcpd.sessions.log import MAX_BYTES, MAX_EVENTS, SESSION_STREAM
from mcpd.sessions.redis.finished_scripts import MAKE_ROOM
from mcpd.sessions.redis.link import Script

_ADD = f"""
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

_LIFE = """
local function life_of(P, process)
  if redis.call('EXISTS', P..':p:'..process) == 0 then return 'gone' end
  if redis.call('PUBSUB', 'NUMSUB', P..':to:'..process)[2] > 0 then return 'alive' end
  return 'suspect'
end
"""

# In the step that makes the change, so that no change goes untold; see ``bus``.
_TELL = """
local function tell(P, process, kind, id, name)
  redis.call('PUBLISH', P..':signals', cjson.encode({process, {kind, id, name}}))
end
"""

# P, process → 'alive'; 'gone'; 'suspect': it lost its connection, or ended
LIFE = Script(_LIFE + "return life_of(ARGV[1], ARGV[2])")

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
    _ADD
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

# P, id, stream, me, ttl, sure? → the call; 'suspect': its owner may be gone; nil: nothing to do
CLAIM = Script(
    _LIFE
    + """
local P, me = ARGV[1], ARGV[4]
local m = P..':m:'..ARGV[2]..':'..ARGV[3]
local state = redis.call('HMGET', m, 'owner', 'call', 'finished')
if not state[1] or state[3] then return nil end
if state[1] ~= me and state[1] ~= '' then
  local life = life_of(P, state[1])
  if life == 'alive' then return nil end
  if life == 'suspect' and ARGV[6] ~= '1' then return 'suspect' end
end
redis.call('HSET', m, 'owner', me)
redis.call('EXPIRE', m, ARGV[5])
return state[2]
"""
)

# P, id, stream, me: nobody owns the stream any more
LET_GO = Script(
    """
local m = ARGV[1]..':m:'..ARGV[2]..':'..ARGV[3]
local state = redis.call('HMGET', m, 'owner', 'finished')
if state[1] == ARGV[4] and not state[2] then redis.call('HSET', m, 'owner', '') end
"""
)

# P, id, stream, process, follower, force?, ttl of the own stream → 1: it is served, and how far
# the last one that left had got
TAKE_TURN = Script(
    _LIFE
    + _TELL
    + f"""
local P, id, stream, process, me = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local m = P..':m:'..id..':'..stream
local own = stream == '{SESSION_STREAM}'
local known = redis.call('EXISTS', own and P..':s:'..id or m)
if known == 0 then return {{1, '0'}} end
local state = redis.call('HMGET', m, 'follower', 'follows_at', 'reached')
local holder = state[1] or ''
if holder ~= '' and holder ~= me and ARGV[6] ~= '1' then
  if life_of(P, state[2]) == 'alive' then return {{0, '0'}} end
end
redis.call('HSET', m, 'follower', me, 'follows_at', process)
if own then redis.call('EXPIRE', m, ARGV[7]) end
if holder ~= me then tell(P, process, '{Kind.FOLLOWED}', id, stream) end
return {{1, state[3] or '0'}}
"""
)

# P, id, stream, process, follower, reached
END_TURN = Script(
    _TELL
    + f"""
local P, id, stream = ARGV[1], ARGV[2], ARGV[3]
local m = P..':m:'..id..':'..stream
local state = redis.call('HMGET', m, 'follower', 'reached')
if state[1] ~= ARGV[5] then return end
local reached = ARGV[6]
if tonumber(state[2] or '0') > tonumber(reached) then reached = state[2] end
redis.call('HSET', m, 'follower', '', 'reached', reached)
tell(P, ARGV[4], '{Kind.LEFT}', id, stream)
"""
)

# P, id, data, drop oldest?, ttl, process → number; nil: there is no room; 0: the session is gone
PUT = Script(
    _ADD
    + _TELL
    + f"""
local P, id = ARGV[1], ARGV[2]
if redis.call('EXISTS', P..':s:'..id) == 0 then return 0 end
if ARGV[4] ~= '1' then
  local size = tonumber(redis.call('HGET', P..':m:'..id..':session', 'bytes') or 0)
  local count = redis.call('XLEN', P..':e:'..id..':session')
  if count >= {MAX_EVENTS} or size >= {MAX_BYTES} then return nil end
end
local number = put(P, id, ARGV[3], ARGV[5])
tell(P, ARGV[6], '{Kind.GREW}', id, '{SESSION_STREAM}')
return number
"""
)

# P, id, through
TAKE = Script(
    """
local P, id = ARGV[1], ARGV[2]
local e = P..':e:'..id..':session'
for _, event in ipairs(redis.call('XRANGE', e, '-', '0-'..ARGV[3])) do
  redis.call('XDEL', e, event[1])
  redis.call('HINCRBY', P..':m:'..id..':session', 'bytes', -#event[2][2])
end
"""
)

# P, id, topic…
WATCH = Script(
    """
local P, id = ARGV[1], ARGV[2]
for _, topic in ipairs(redis.call('SMEMBERS', P..':t:'..id)) do
  redis.call('SREM', P..':w:'..topic, id)
end
redis.call('DEL', P..':t:'..id)
if redis.call('EXISTS', P..':s:'..id) == 0 then return end
for place = 3, #ARGV do
  redis.call('SADD', P..':t:'..id, ARGV[place])
  redis.call('SADD', P..':w:'..ARGV[place], id)
end
"""
)

# P, topic, data, ttl, process, id… → ids that were reached
ANNOUNCE = Script(
    _ADD
    + _TELL
    + f"""
local P = ARGV[1]
local reached = {{}}
for place = 6, #ARGV do
  local id = ARGV[place]
  if redis.call('EXISTS', P..':s:'..id) == 1 then
    put(P, id, ARGV[3], ARGV[4])
    tell(P, ARGV[5], '{Kind.GREW}', id, '{SESSION_STREAM}')
    reached[#reached + 1] = id
  else
    redis.call('SREM', P..':w:'..ARGV[2], id)
  end
end
return reached
"""
)

# P, id, asker, question, ttl
ASK = Script(
    """
local P, id = ARGV[1], ARGV[2]
if redis.call('EXISTS', P..':s:'..id) == 0 then return end
local q = P..':q:'..id..':'..ARGV[3]
redis.call('HSETNX', q, ARGV[4], '')
redis.call('EXPIRE', q, ARGV[5])
"""
)

# P, id, asker, question, answer, process → 1: somebody asked
ANSWER = Script(
    _TELL
    + f"""
local P, id = ARGV[1], ARGV[2]
if redis.call('EXISTS', P..':s:'..id) == 0 then return 0 end
local q = P..':q:'..id..':'..ARGV[3]
local there = redis.call('HGET', q, ARGV[4])
if not there then return 0 end
if there == '' then
  redis.call('HSET', q, ARGV[4], ARGV[5])
  tell(P, ARGV[6], '{Kind.ANSWERED}', id, ARGV[4])
end
return 1
"""
)
