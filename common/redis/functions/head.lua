#!lua name=ringfleet_@FUNCTIONS_VERSION@
-- The steps of a call's life that must be atomic. Loaded by every program when it connects, unless it is
-- there; plain turns do not come here, they are plain XADDs. This file comes first, the others of its folder follow.
--
-- The names of the library and of its functions end in a digest of this text (see common/CMakeLists.txt): during
-- an upgrade each program calls the functions it was built with, beside those of the other version. What
-- they share is the data. A change that the version before would misread raises FORMAT_VERSION.
--
-- Every function answers an array whose first element is a word in capitals. Times are epoch ms of
-- the Redis server, so that no two machines' clocks are compared. KEYS of one call share a slot.
--
-- Session hash: v, phase (ringing, live, ended), epoch, worker, stream_sid, started_ms, seen_ms (its worker took it),
-- lost_ms (what comes after that one was asked), ended_ms, reason, verdict, status, status_seq, final, offered_n,
-- claimed_n, losses (in a row), handed_over, token:<n>, until:<n> (when that token expires), indexed, last_writes
-- (id of the entry that ended the journal), flushed_writes, flushed_events, dead:<stream>:<entry id>, doubts:<entry of the
-- index>; of a call that we dialled also provider_call_sid, conversation_id, said (lines of dialogue that webhooks brought).

local FORMAT_VERSION = 1

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Last id of a stream as epoch, seq (0, 0 when there is none), also after its entries are gone.
local function last_id(stream)
  if redis.call('EXISTS', stream) == 0 then return 0, 0, '0-0' end
  local info = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      local hi, lo = string.match(info[i + 1], '^(%d+)-(%d+)$')
      return tonumber(hi), tonumber(lo), info[i + 1]
    end
  end
  return 0, 0, '0-0'
end

local function field(session, name)
  return redis.call('HGET', session, name) or ''
end

local function number_field(session, name, default)
  return tonumber(redis.call('HGET', session, name) or default)
end

-- Whether a stream of events has one with this id of the carrier's, or of ours.
local function has_entry(events, id)
  for _, entry in ipairs(redis.call('XRANGE', events, '-', '+')) do
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'id' and entry[2][i + 1] == id then return true end
    end
  end
  return false
end

local function int(n) return string.format('%.0f', n) end

-- The session remembers the entry, so that one that is lost (trimmed, deleted by hand) can be missed: rf_find.
local function index(session, ended, sid, why)
  redis.call('HSET', session, 'indexed', redis.call('XADD', ended, '*', 'call_sid', sid, 'why', why))
end

local function index_ended(session, ended, live, sid, why)
  redis.call('ZREM', live, sid)
  index(session, ended, sid, why)
end

-- Each function is registered where it stands. Those that end calls and drain are allowed to when memory is full:
-- they free more than they add. rf_after too: the verdict of a call that ends is read through it.
local function register(name, callback, flags)
  redis.register_function { function_name = name .. '_@FUNCTIONS_VERSION@', callback = callback, flags = flags }
end

-- rf_version: whether this library is there.
-- -> VERSION format
local function rf_version() return { 'VERSION', FORMAT_VERSION } end
register('rf_version', rf_version, { 'no-writes', 'allow-oom' })
