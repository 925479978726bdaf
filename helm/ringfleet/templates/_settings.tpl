{{/* What a program reads from a file: setting to name of the secret; (list $ "worker"). The network
side of "the worker has no database" begins here: it is given no address of one. */}}
{{- define "ringfleet.secretsOf" -}}
{{- $root := index . 0 -}}
{{- $program := index . 1 -}}
{{- if eq $program "warmer" -}}
REDIS_URL: redis-url-warmer
DATABASE_URL: database-url-warmer
TWILIO_AUTH_TOKEN: twilio-auth-token
STREAM_SECRET: stream-secret
{{- if include "ringfleet.isUsed" (list $root "api-key") }}
API_KEY: api-key
{{- end }}
{{- if include "ringfleet.isUsed" (list $root "elevenlabs-outbound-key") }}
ELEVENLABS_API_KEY: elevenlabs-outbound-key
{{- end }}
{{- if include "ringfleet.isUsed" (list $root "elevenlabs-tool-key") }}
ELEVENLABS_TOOL_KEY: elevenlabs-tool-key
{{- end }}
{{- if include "ringfleet.isUsed" (list $root "elevenlabs-webhook-secret") }}
ELEVENLABS_WEBHOOK_SECRET: elevenlabs-webhook-secret
{{- end }}
{{- else if eq $program "worker" -}}
REDIS_URL: redis-url-worker
STREAM_SECRET: stream-secret
{{- if eq ($root.Values.worker.settings.aiProvider | default "openai") "openai" }}
OPENAI_API_KEY: openai-api-key
{{- else if include "ringfleet.isUsed" (list $root "elevenlabs-api-key") }}
ELEVENLABS_API_KEY: elevenlabs-api-key
{{- end }}
{{- else if eq $program "flusher" -}}
REDIS_URL: redis-url-flusher
DATABASE_URL: database-url-flusher
{{- include "ringfleet.afterCallSecrets" $root }}
{{- else if eq $program "jobs" -}}
DATABASE_URL: database-url-flusher
{{- include "ringfleet.afterCallSecrets" $root }}
{{- else if eq $program "migrate" -}}
DATABASE_URL: database-url-migrate
{{- end -}}
{{- end -}}

{{/* Of what is done after calls: each where its setting asks for it. */}}
{{- define "ringfleet.afterCallSecrets" -}}
{{- $settings := .Values.flusher.settings -}}
{{- if $settings.recordingStore }}
TWILIO_AUTH_TOKEN: twilio-auth-token
{{- if include "ringfleet.isUsed" (list . "elevenlabs-outbound-key") }}
ELEVENLABS_API_KEY: elevenlabs-outbound-key
{{- end }}
{{- if hasPrefix "s3://" $settings.recordingStore }}
S3_ACCESS_KEY: s3-access-key
S3_SECRET_KEY: s3-secret-key
{{- end }}
{{- end }}
{{- if and $settings.transcriptionUrl (include "ringfleet.isUsed" (list . "transcription-key")) }}
TRANSCRIPTION_KEY: transcription-key
{{- end }}
{{- if and $settings.afterCallUrl (include "ringfleet.isUsed" (list . "after-call-secret")) }}
AFTER_CALL_SECRET: after-call-secret
{{- end }}
{{- end -}}

{{/* The disk for recordings: the store, where it is a directory, and room for files on their way to a bucket. */}}
{{- define "ringfleet.recordingMounts" -}}
{{- with .Values.flusher -}}
{{- if hasPrefix "/" (.settings.recordingStore | default "") -}}
- {name: recordings, mountPath: {{ .settings.recordingStore }}}
{{- else if .settings.recordingStore -}}
- {name: recordings, mountPath: /var/spool/ringfleet}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ringfleet.recordingVolumes" -}}
{{- with .Values.flusher -}}
{{- if hasPrefix "/" (.settings.recordingStore | default "") -}}
- name: recordings
  {{- toYaml .recordings.volume | nindent 2 }}
{{- else if .settings.recordingStore -}}
- name: recordings
  emptyDir: {sizeLimit: {{ .recordings.spoolSize }}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* True if an optional secret is to be given: (list $ "api-key"). */}}
{{- define "ringfleet.isUsed" -}}
{{- $secrets := (index . 0).Values.secrets -}}
{{- if or (has (index . 1) $secrets.optional) (get $secrets.values (index . 1)) -}}
true
{{- end -}}
{{- end -}}

{{/* True if the release makes this secret up itself: (list $ "redis-url-worker"). */}}
{{- define "ringfleet.isGenerated" -}}
{{- $values := (index . 0).Values -}}
{{- $name := index . 1 -}}
{{- if and (hasPrefix "redis-" $name) (eq $values.redis.mode "development") -}}
true
{{- else if and (hasPrefix "database-url-" $name) (eq $values.postgres.mode "development") -}}
true
{{- else if and (has $name (list "stream-secret" "twilio-auth-token")) (eq $values.redis.mode "development") (not $values.secrets.existingSecret) (not (get $values.secrets.values $name)) -}}
true
{{- end -}}
{{- end -}}

{{/* The Secret object a secret is in, and its key there. */}}
{{- define "ringfleet.secretObject" -}}
{{- $root := index . 0 -}}
{{- if include "ringfleet.isGenerated" . -}}
{{ include "ringfleet.fullname" $root }}-development
{{- else -}}
{{ $root.Values.secrets.existingSecret | default (printf "%s-secrets" (include "ringfleet.fullname" $root)) }}
{{- end -}}
{{- end -}}

{{- define "ringfleet.secretKey" -}}
{{- if include "ringfleet.isGenerated" . -}}
{{ index . 1 }}
{{- else if (index . 0).Values.secrets.existingSecret -}}
{{ get (index . 0).Values.secrets.keys (index . 1) | default (index . 1) }}
{{- else -}}
{{ index . 1 }}
{{- end -}}
{{- end -}}

{{/* The volume with a program's own secrets and no others: (list $ "worker"). */}}
{{- define "ringfleet.secretVolume" -}}
{{- $root := index . 0 -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $setting, $name := include "ringfleet.secretsOf" . | fromYaml }}
      - secret:
          name: {{ include "ringfleet.secretObject" (list $root $name) }}
          items:
            - {key: {{ include "ringfleet.secretKey" (list $root $name) | quote }}, path: {{ $name }}}
      {{- end }}
{{- end -}}

{{/* (list $ "worker") */}}
{{- define "ringfleet.secretEnv" -}}
{{- range $setting, $name := include "ringfleet.secretsOf" . | fromYaml }}
- {name: RINGFLEET_{{ $setting }}_FILE, value: /run/secrets/ringfleet/{{ $name }}}
{{- end }}
{{- end -}}

{{/* The environment of a program: (list $ "worker" values). */}}
{{- define "ringfleet.env" -}}
{{- $root := index . 0 -}}
{{- $program := index . 1 -}}
- {name: RINGFLEET_LOG_LEVEL, value: {{ $root.Values.fleet.logLevel | quote }}}
- {name: RINGFLEET_PARTITIONS, value: {{ $root.Values.fleet.partitions | quote }}}
- {name: RINGFLEET_KEY_PREFIX, value: {{ $root.Values.fleet.keyPrefix | quote }}}
{{- if eq $program "warmer" }}
- {name: RINGFLEET_LISTEN, value: "{{ $root.Values.fleet.listenOn }}:8080"}
- {name: RINGFLEET_ELEVENLABS_LISTEN, value: "{{ $root.Values.fleet.listenOn }}:8082"}
- {name: RINGFLEET_ADMIN_LISTEN, value: "{{ $root.Values.fleet.listenOn }}:9100"}
- {name: RINGFLEET_PUBLIC_URL, value: {{ $root.Values.fleet.publicUrl | quote }}}
- {name: RINGFLEET_MEDIA_URL, value: {{ $root.Values.fleet.mediaUrl | quote }}}
{{- else if eq $program "worker" }}
- {name: RINGFLEET_LISTEN, value: "{{ $root.Values.fleet.listenOn }}:8081"}
- {name: RINGFLEET_ADMIN_LISTEN, value: "{{ $root.Values.fleet.listenOn }}:9101"}
- {name: RINGFLEET_DRAIN_SECONDS, value: {{ (index . 2).drainSeconds | quote }}}
- name: RINGFLEET_WORKER_ID
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- if (index . 2).spoolVolume }}
- {name: RINGFLEET_SPOOL_DIR, value: /var/spool/ringfleet/journal}
{{- end }}
{{- else if has $program (list "flusher" "jobs") }}
- {name: RINGFLEET_ADMIN_LISTEN, value: "{{ $root.Values.fleet.listenOn }}:9102"}
- {name: RINGFLEET_JOBS, value: {{ ternary "elsewhere" "here" $root.Values.flusher.jobs.separate }}}
- {name: RINGFLEET_RECORDING_SPOOL, value: /var/spool/ringfleet}
- name: RINGFLEET_CONSUMER
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- end }}
{{- if $root.Values.caConfigMap }}
- {name: SSL_CERT_FILE, value: /etc/ringfleet/certificates/ca.crt}
{{- end }}
{{- if and (ne $program "worker") (include "ringfleet.sqlConfigMap" $root) }}
- {name: RINGFLEET_SQL_DIR, value: /etc/ringfleet/sql}
{{- end }}
{{- range $name, $value := (index . 2).settings }}
- name: RINGFLEET_{{ snakecase $name | upper }}
  value: {{ kindIs "float64" $value | ternary ($value | int64 | toString) $value | quote }}
{{- end }}
{{- include "ringfleet.secretEnv" (list $root $program) }}
{{- end -}}

{{- define "ringfleet.sqlConfigMap" -}}
{{- if .Values.sqlConfigMap -}}
{{ .Values.sqlConfigMap }}
{{- else if .Values.sql -}}
{{ include "ringfleet.fullname" . }}-sql
{{- end -}}
{{- end -}}

{{- define "ringfleet.volumeMounts" -}}
- {name: secrets, mountPath: /run/secrets/ringfleet, readOnly: true}
{{- if (index . 0).Values.caConfigMap }}
- {name: certificates, mountPath: /etc/ringfleet/certificates, readOnly: true}
{{- end }}
{{- if and (eq (index . 1) "worker") (index . 0).Values.worker.spoolVolume }}
- {name: spool, mountPath: /var/spool/ringfleet}
{{- end }}
{{- if and (eq (index . 1) "warmer") (index . 0).Values.warmer.audioVolume }}
- {name: audio, mountPath: {{ (index . 0).Values.warmer.settings.audioDir }}}
{{- end }}
{{- if and (ne (index . 1) "worker") (include "ringfleet.sqlConfigMap" (index . 0)) }}
- {name: sql, mountPath: /etc/ringfleet/sql, readOnly: true}
{{- end }}
{{- end -}}

{{- define "ringfleet.volumes" -}}
{{ include "ringfleet.secretVolume" . }}
{{- with (index . 0).Values.caConfigMap }}
- name: certificates
  configMap:
    name: {{ . }}
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}
{{- if and (eq (index . 1) "worker") (index . 0).Values.worker.spoolVolume }}
- name: spool
  {{- toYaml (index . 0).Values.worker.spoolVolume | nindent 2 }}
{{- end }}
{{- if and (eq (index . 1) "warmer") (index . 0).Values.warmer.audioVolume }}
- name: audio
  {{- toYaml (index . 0).Values.warmer.audioVolume | nindent 2 }}
{{- end }}
{{- if and (ne (index . 1) "worker") (include "ringfleet.sqlConfigMap" (index . 0)) }}
- name: sql
  configMap: {name: {{ include "ringfleet.sqlConfigMap" (index . 0) }}}
{{- end }}
{{- end -}}
