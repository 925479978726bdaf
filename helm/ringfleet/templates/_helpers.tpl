{{- define "ringfleet.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* True if ElevenLabs' post-call webhooks are taken, at a port of their own. */}}
{{- define "ringfleet.takesReports" -}}
{{- include "ringfleet.isUsed" (list . "elevenlabs-webhook-secret") -}}
{{- end -}}

{{/* True if the warmer asks a provider to dial, and so needs a way to it. */}}
{{- define "ringfleet.dials" -}}
{{- if or .Values.warmer.settings.twilioAccountSid (include "ringfleet.isUsed" (list . "elevenlabs-outbound-key")) -}}
true
{{- end -}}
{{- end -}}

{{/* Of a component: (list $ "worker"). */}}
{{- define "ringfleet.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Values.nameOverride | default $root.Chart.Name | trunc 40 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "ringfleet.labels" -}}
{{- $root := index . 0 -}}
{{ include "ringfleet.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Values.image.tag | default $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Name and labels of an object: (list $ "worker" "suffix"). */}}
{{- define "ringfleet.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "ringfleet.fullname" $root }}-{{ last . }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "ringfleet.labels" (list $root (index . 1)) | nindent 2 }}
{{- end -}}

{{- define "ringfleet.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ringfleet.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "ringfleet.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* The part of a URL that DNS knows. */}}
{{- define "ringfleet.hostOf" -}}
{{- regexReplaceAll "^[a-z]+://([^/:]+).*$" . "${1}" -}}
{{- end -}}

{{- define "ringfleet.webhookHost" -}}
{{- index . 1 | default (include "ringfleet.hostOf" (index . 0).Values.fleet.publicUrl) -}}
{{- end -}}

{{- define "ringfleet.mediaHost" -}}
{{- index . 1 | default (include "ringfleet.hostOf" (index . 0).Values.fleet.mediaUrl) -}}
{{- end -}}

{{- define "ringfleet.redisHost" -}}
{{- if eq .Values.redis.mode "development" -}}
{{- include "ringfleet.fullname" . }}-redis.{{ .Release.Namespace }}.svc
{{- else -}}
{{- .Values.redis.host -}}
{{- end -}}
{{- end -}}

{{- define "ringfleet.serviceAccountName" -}}
{{- $root := index . 0 -}}
{{- if $root.Values.serviceAccount.create -}}{{ include "ringfleet.fullname" $root }}-{{ index . 1 }}{{- else -}}default{{- end -}}
{{- end -}}

{{/* Common to all pods of a component: (list $ "worker" values). */}}
{{- define "ringfleet.podCommon" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- with index . 2 -}}
serviceAccountName: {{ include "ringfleet.serviceAccountName" (list $root $component) }}
automountServiceAccountToken: false
# A Service called ringfleet-worker would otherwise add variables that look like settings.
enableServiceLinks: false
securityContext:
  {{- include "ringfleet.podSecurityContext" $root | nindent 2 }}
terminationGracePeriodSeconds: {{ .terminationGracePeriodSeconds }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "ringfleet.selectorLabels" (list $root $component) | nindent 8 }}
  {{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Probes on the admin port. Liveness asks only whether the loop turns: an outage of Redis or
Postgres must never restart a program that holds calls. */}}
{{- define "ringfleet.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 3
  timeoutSeconds: 3
  failureThreshold: 2
{{- end -}}

{{- define "ringfleet.podAnnotations" -}}
checksum/config: {{ include (print (index . 0).Template.BasePath "/configmap-sql.yaml") (index . 0) | sha256sum }}
checksum/secret: {{ toJson (index . 0).Values.secrets | sha256sum }}
{{- with index . 1 }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Ports of the fleet's Redis, as a list. */}}
{{- define "ringfleet.redisPorts" -}}
{{- $redis := .Values.redis -}}
{{- if eq $redis.mode "development" -}}
- 6379
{{- else -}}
- {{ $redis.port | int }}
{{- if eq $redis.kind "sentinel" }}
- {{ $redis.sentinel.port | int }}
{{- end }}
{{- range $redis.morePorts }}
- {{ . | int }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* How KEDA reaches it: the first words of a trigger's metadata. */}}
{{- define "ringfleet.redisTrigger" -}}
{{- $redis := .Values.redis -}}
{{- $host := include "ringfleet.redisHost" . -}}
{{- if eq $redis.mode "development" -}}
address: {{ printf "%s:6379" $host | quote }}
{{- else if eq $redis.kind "sentinel" -}}
addresses: {{ printf "%s:%d" $host ($redis.sentinel.port | int) | quote }}
sentinelMaster: {{ $redis.sentinel.master | quote }}
{{- else -}}
{{ ternary "addresses" "address" (eq $redis.kind "cluster") }}: {{ printf "%s:%d" $host ($redis.port | int) | quote }}
{{- end }}
{{- if ne $redis.kind "cluster" }}
databaseIndex: {{ $redis.database | quote }}
{{- end }}
{{- if $redis.tls }}
enableTLS: "true"
{{- end }}
{{- end -}}

{{/* Whom the fleet's Redis or Postgres may be: (list $ "redis" values). */}}
{{- define "ringfleet.peers" -}}
{{- $server := index . 2 -}}
{{- if eq $server.mode "development" -}}
to:
  - podSelector:
      matchLabels:
        {{- include "ringfleet.selectorLabels" (list (index . 0) (index . 1)) | nindent 8 }}
{{- else if $server.peers -}}
to:
  {{- toYaml $server.peers | nindent 2 }}
{{- end -}}
{{- end -}}
