{{/* Up at once, down slowly: a worker that is taken away has calls to finish. */}}
{{- define "ringfleet.workerBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies:
    - {type: Percent, value: 100, periodSeconds: 15}
    - {type: Pods, value: 4, periodSeconds: 15}
scaleDown:
  stabilizationWindowSeconds: {{ .scaleDownWindowSeconds }}
  policies:
    - {type: Pods, value: {{ .scaleDownPodsPerMinute }}, periodSeconds: 60}
{{- end -}}
