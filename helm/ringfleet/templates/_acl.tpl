{{/* Redis ACL rules of one program: what it sends itself and what the functions it calls do on its
behalf (Redis checks each step of a function against the caller). One selector per kind of key, so
that, for one, a worker reads a call's context but cannot write it. Each program loads the function library when it
connects, so each could also replace it: the rules bound what a program does in its own name, not what a
taken-over one could leave for the others to run. (list $ "worker"); needs Redis 7. */}}
{{- define "ringfleet.aclRules" -}}
{{- $p := (index . 0).Values.fleet.keyPrefix -}}
{{- $call := printf "%s:{p*}:call:*" $p -}}
{{- $hello := "resetkeys resetchannels -@all +auth +hello +ping +info +time +select +client|setname +role +cluster|slots +asking" -}}
{{- $load := "+function|load" -}}
{{- $partitions := printf "(+get +set ~%s:{p0}:partitions)" $p -}}
{{- if eq (index . 1) "warmer" -}}
{{ $hello }} {{ $load }}
{{ $partitions }}
(+fcall ~{{ $call }} ~{{ $p }}:{p*}:live ~{{ $p }}:{p*}:ended ~{{ $p }}:business:* ~{{ $p }}:{outbound}:*)
(+hget +hmget +hgetall +hexists +hset +hsetnx +hincrby +hdel +exists +expire +unlink ~{{ $call }})
(+xadd +xrange ~{{ $call }}:events)
(+zadd +zrem ~{{ $p }}:{p*}:live)
(+xadd ~{{ $p }}:{p*}:ended)
(+hgetall +hset +del +expire ~{{ $p }}:business:*)
(+get +set ~{{ $p }}:number:* ~{{ $p }}:{p*}:alias:*)
(+hget +hmget +hgetall +hset +hsetnx +hdel +hincrby +expire +zadd +zrem +zscore +zrange +zrangebyscore ~{{ $p }}:{outbound}:*)
{{- else if eq (index . 1) "worker" -}}
{{ $hello }} {{ $load }}
{{ $partitions }}
(+fcall ~{{ $call }} ~{{ $p }}:{p*}:live ~{{ $p }}:{p*}:ended ~{{ $p }}:{p*}:dead ~{{ $p }}:slot:*)
(+hget +hgetall %R~{{ $call }})
(+exists +hget +hmget +hset +hsetnx +hdel ~{{ $call }}:session)
(+exists +xadd +xrange +xrevrange +xinfo|stream ~{{ $call }}:writes)
(+zadd +zrem ~{{ $p }}:{p*}:live)
(+xadd ~{{ $p }}:{p*}:ended ~{{ $p }}:{p*}:dead)
(+get +mget +set +del ~{{ $p }}:slot:*)
(+get +set ~{{ $p }}:greeting:*)
(+hset +expire ~{{ $p }}:worker:*)
{{- else if eq (index . 1) "flusher" -}}
{{- /* Its inspection commands read all of the fleet's keys. */ -}}
{{ $hello }} {{ $load }} +scan
{{ $partitions }}
(+hget +hmget +hgetall +hexists +exists +type +xlen +xrange +xrevrange +xread +xinfo|stream +zrange +zscore %R~{{ $p }}:*)
(+fcall ~{{ $call }} ~{{ $p }}:{p*}:*)
(+exists +hget +hmget +hset +hsetnx +hdel ~{{ $call }}:session)
(+xadd ~{{ $call }}:writes)
(+unlink ~{{ $call }})
(+zscore +zrangebyscore +zrem ~{{ $p }}:{p*}:live)
(+zscore +zrangebyscore +zrem +zadd ~{{ $p }}:{p*}:flushed)
(+xgroup|create +xgroup|delconsumer +xinfo|consumers +xreadgroup +xautoclaim +xpending +xrange +xadd +xdel +xack +xlen ~{{ $p }}:{p*}:ended)
(+xadd +xdel ~{{ $p }}:{p*}:dead)
{{- else if eq (index . 1) "keda" -}}
resetkeys resetchannels -@all +auth +hello +ping +info +select +cluster|slots +asking
{{- /* Its script counts an absent key as a list. */}}
(+eval ~{{ $p }}:{p*}:live)
(+type +zcard +llen %R~{{ $p }}:{p*}:live)
(+xlen %R~{{ $p }}:{p*}:ended)
{{- end -}}
{{- end -}}

{{/* One line of an ACL file: (list $ "worker" password). */}}
{{- define "ringfleet.aclLine" -}}
user {{ (index . 0).Values.redis.acl.userPrefix }}{{ index . 1 }} reset on {{ with index . 2 }}#{{ sha256sum . }}{{ else }}nopass{{ end }} {{ include "ringfleet.aclRules" . | replace "\n" " " }}
{{- end -}}
