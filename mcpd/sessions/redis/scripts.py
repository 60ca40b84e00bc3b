"""What must happen in Redis in one step, in Lua. Pure text.

Keys, all behind the prefix P:
    P:s:ID              record of a session (JSON); expires with it
    P:activity          sorted set: session → last activity
    P:ids               sorted set of equal scores: sessions in the order of their ids
    P:unbound           sorted set: sessions without a principal → created
    P:i:ID              sorted set: streams of a session → when begun
    P:m:ID:STREAM       hash: owner, call, last, bytes, finished
    P:e:ID:STREAM       stream: 0-NUMBER → message
    P:q:ID:ASKER        hash: question → answer
    P:t:ID, P:w:TOPIC   sets: topics of a session, sessions of a topic
    P:p:PROCESS         a process that lives; expires when it gives no sign of life
"""

from mcpd.sessions.log import MAX_BYTES, MAX_EVENTS, MAX_STREAMS
from mcpd.sessions.redis.link import Script

_DROP = """
local function drop(P, id)
  local there = redis.call('DEL', P..':s:'..id)
  redis.call('ZREM', P..':activity', id)
  redis.call('ZREM', P..':ids', id)
  redis.call('ZREM', P..':unbound', id)
  local streams = redis.call('ZRANGE', P..':i:'..id, 0, -1)
  streams[#streams + 1] = 'session'
  for _, stream in ipairs(streams) do
    redis.call('DEL', P..':m:'..id..':'..stream, P..':e:'..id..':'..stream)
  end
  for _, topic in ipairs(redis.call('SMEMBERS', P..':t:'..id)) do
    redis.call('SREM', P..':w:'..topic, id)
  end
  redis.call('DEL', P..':i:'..id, P..':t:'..id)
  return there
end
"""

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

# P, id, record, created, activity, unbound?, max_unbound, ttl → ids of dropped sessions
CREATE = Script(
    _DROP
    + """
local P, id = ARGV[1], ARGV[2]
redis.call('SET', P..':s:'..id, ARGV[3], 'EX', ARGV[8])
redis.call('ZADD', P..':activity', ARGV[5], id)
redis.call('ZADD', P..':ids', 0, id)
local dropped = {}
if ARGV[6] == '1' then
  redis.call('ZADD', P..':unbound', ARGV[4], id)
  local surplus = redis.call('ZCARD', P..':unbound') - tonumber(ARGV[7])
  if surplus > 0 then
    for _, old in ipairs(redis.call('ZRANGE', P..':unbound', 0, surplus - 1)) do
      if drop(P, old) == 1 then dropped[#dropped + 1] = old end
    end
  end
end
return dropped
"""
)

# P, id, old, new, bound? → 1: done; 0: it is another one now
REPLACE = Script(
    """
local key = ARGV[1]..':s:'..ARGV[2]
if redis.call('GET', key) ~= ARGV[3] then return 0 end
redis.call('SET', key, ARGV[4], 'KEEPTTL')
if ARGV[5] == '1' then redis.call('ZREM', ARGV[1]..':unbound', ARGV[2]) end
return 1
"""
)

# P, id… → how many were there
DROP = Script(
    _DROP
    + """
local there = 0
for place = 2, #ARGV do there = there + drop(ARGV[1], ARGV[place]) end
return there
"""
)

# P, cutoff, limit → ids that were dropped
EXPIRE = Script(
    _DROP
    + """
local P = ARGV[1]
local ids = redis.call('ZRANGEBYSCORE', P..':activity', '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])
for _, id in ipairs(ids) do drop(P, id) end
return ids
"""
)

# P, ttl, (id, activity)…
TOUCH = Script(
    """
local P, ttl = ARGV[1], ARGV[2]
for place = 3, #ARGV, 2 do
  local id = ARGV[place]
  if redis.call('EXPIRE', P..':s:'..id, ttl) == 1 then
    redis.call('ZADD', P..':activity', 'GT', ARGV[place + 1], id)
    redis.call('EXPIRE', P..':m:'..id..':session', ttl)
    redis.call('EXPIRE', P..':e:'..id..':session', ttl)
  end
end
"""
)

# P, id, stream, call, owner, ttl, now → 1: begun; 0: the session is gone
BEGIN = Script(
    f"""
local P, id, stream = ARGV[1], ARGV[2], ARGV[3]
if redis.call('EXISTS', P..':s:'..id) == 0 then return 0 end
local index = P..':i:'..id
local surplus = redis.call('ZCARD', index) - {MAX_STREAMS} + 1
if surplus > 0 then
  for _, old in ipairs(redis.call('ZRANGE', index, 0, -1)) do
    local m = P..':m:'..id..':'..old
    local state = redis.call('HMGET', m, 'owner', 'finished')
    if surplus > 0 and (state[2] or not state[1]) then
      redis.call('DEL', m, P..':e:'..id..':'..old)
      redis.call('ZREM', index, old)
      surplus = surplus - 1
    end
  end
end
local m = P..':m:'..id..':'..stream
redis.call('HSET', m, 'call', ARGV[4], 'owner', ARGV[5], 'last', 0, 'bytes', 0)
redis.call('EXPIRE', m, ARGV[6])
redis.call('ZADD', index, ARGV[7], stream)
redis.call('EXPIRE', index, ARGV[6])
return 1
"""
)

# P, id, stream, owner, number, data, with data?, last?, ttl running, ttl finished → 1: kept
APPEND = Script(
    _ADD
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
if ARGV[8] == '1' then
  redis.call('HSET', m, 'finished', 1)
  ttl = ARGV[10]
end
if ARGV[8] == '1' or not state[3] then
  redis.call('EXPIRE', m, ttl)
  redis.call('EXPIRE', e, ttl)
end
return 1
"""
)

# P, id, stream, me, ttl, sure? → the call; 'suspect': its owner may be gone; nil: nothing to do
CLAIM = Script(
    """
local P, me = ARGV[1], ARGV[4]
local m = P..':m:'..ARGV[2]..':'..ARGV[3]
local state = redis.call('HMGET', m, 'owner', 'call', 'finished')
if not state[1] or state[3] then return nil end
if state[1] ~= me and redis.call('EXISTS', P..':p:'..state[1]) == 1 then
  if redis.call('PUBSUB', 'NUMSUB', P..':to:'..state[1])[2] > 0 then return nil end
  if ARGV[6] ~= '1' then return 'suspect' end
end
redis.call('HSET', m, 'owner', me)
redis.call('EXPIRE', m, ARGV[5])
return state[2]
"""
)

# P, id, data, drop oldest?, ttl → number; nil: there is no room; 0: the session is gone
PUT = Script(
    _ADD
    + f"""
local P, id = ARGV[1], ARGV[2]
if redis.call('EXISTS', P..':s:'..id) == 0 then return 0 end
if ARGV[4] ~= '1' then
  local size = tonumber(redis.call('HGET', P..':m:'..id..':session', 'bytes') or 0)
  local count = redis.call('XLEN', P..':e:'..id..':session')
  if count >= {MAX_EVENTS} or size >= {MAX_BYTES} then return nil end
end
return put(P, id, ARGV[3], ARGV[5])
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

# P, topic, data, ttl, id… → ids that were reached
ANNOUNCE = Script(
    _ADD
    + """
local P = ARGV[1]
local reached = {}
for place = 5, #ARGV do
  local id = ARGV[place]
  if redis.call('EXISTS', P..':s:'..id) == 1 then
    put(P, id, ARGV[3], ARGV[4])
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

# P, id, asker, question, answer → 1: somebody asked
ANSWER = Script(
    """
local P, id = ARGV[1], ARGV[2]
if redis.call('EXISTS', P..':s:'..id) == 0 then return 0 end
local q = P..':q:'..id..':'..ARGV[3]
local there = redis.call('HGET', q, ARGV[4])
if not there then return 0 end
if there == '' then redis.call('HSET', q, ARGV[4], ARGV[5]) end
return 1
"""
)
