-- ---- a call is opened: its context, its session, its place among the live ----

-- rf_open: the call's first webhook. Writes context and session once; a webhook that comes again
-- finds them and gets the first token back. A status that came before it (rf_event) opens nothing.
-- With a fourth key the call's row may be missing in Postgres: a call_open entry will make it.
-- KEYS context, session, live[, events]
-- ARGV sid, token, context_ttl_s, lease_ms, token_ttl_ms, then context fields and values (from, to, direction, opened_ms too)
-- -> OPENED token | EXISTS token source (of the context that is there) claimed_n ('' before the first stream)
local function rf_open(keys, args)
  local context, session, live, events = keys[1], keys[2], keys[3], keys[4]
  if redis.call('HEXISTS', session, 'token:0') == 1 then
    return { 'EXISTS', field(session, 'token:0'), field(context, 'source'), field(session, 'claimed_n') }
  end
  local now = now_ms()
  redis.call('HSET', context, 'v', FORMAT_VERSION, unpack(args, 6))
  redis.call('EXPIRE', context, args[3])
  redis.call('HSET', session, 'v', FORMAT_VERSION, 'phase', 'ringing', 'epoch', 0, 'opened_ms', int(now),
    'token:0', args[2], 'until:0', int(now + args[5]))
  redis.call('ZADD', live, int(now + args[4]), args[1])
  if events then
    redis.call('XADD', events, '*', 'id', 'open', 'at', int(now), 'type', 'call_open', 'by', 'warmer',
      'from', field(context, 'from'), 'to', field(context, 'to'), 'direction', field(context, 'direction'),
      'started_ms', field(context, 'opened_ms'))
  end
  return { 'OPENED', args[2] }
end
register('rf_open', rf_open, {})

-- rf_fill: context that arrived after the deadline replaces what was answered with. It does not
-- bring a context back whose time is over, and does not prolong it.
-- KEYS context
-- ARGV fields and values
-- -> FILLED count | GONE
local function rf_fill(keys, args)
  if redis.call('EXISTS', keys[1]) == 0 then return { 'GONE' } end
  redis.call('HSET', keys[1], unpack(args))
  return { 'FILLED', #args / 2 }
end
register('rf_fill', rf_fill, {})

-- rf_keep: the last good snapshot of a business, in place of the one before.
-- KEYS business
-- ARGV ttl_s, fields and values
-- -> KEPT
local function rf_keep(keys, args)
  redis.call('DEL', keys[1])
  redis.call('HSET', keys[1], 'kept_ms', int(now_ms()), unpack(args, 2))
  redis.call('EXPIRE', keys[1], args[1])
  return { 'KEPT' }
end
register('rf_keep', rf_keep, {})

-- rf_dial: a call is about to be dialled: rf_open before there is anybody to stream to. Its token is made when
-- somebody answers (rf_after with n = 0). A later attempt at the same call writes the context anew.
-- KEYS context, session, live
-- ARGV sid, context_ttl_s, lease_ms, then context fields and values
-- -> DIALLING | ANSWERED (it has been answered, or is over: nothing was changed)
local function rf_dial(keys, args)
  local context, session, live = keys[1], keys[2], keys[3]
  if redis.call('HEXISTS', session, 'token:0') == 1 or field(session, 'phase') == 'ended' then
    return { 'ANSWERED' }
  end
  local now = now_ms()
  redis.call('HSET', context, unpack(args, 4))
  redis.call('EXPIRE', context, args[2])
  redis.call('HSET', session, 'v', FORMAT_VERSION, 'phase', 'ringing', 'epoch', 0, 'opened_ms', int(now))
  redis.call('ZADD', live, int(now + args[3]), args[1])
  return { 'DIALLING' }
end
register('rf_dial', rf_dial, {})
