{{- /* SPDX-License-Identifier: Apache-2.0 */}}

{{- /* What all names begin with. Room is left for the suffixes. */}}
{{- define "vfio-doorbell.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- /* By what objects are found: dict "context" . "component" "daemon" */}}
{{- define "vfio-doorbell.selectorLabels" -}}
app.kubernetes.io/name: {{ default .context.Chart.Name .context.Values.nameOverride }}
app.kubernetes.io/instance: {{ .context.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- /* The same arguments. */}}
{{- define "vfio-doorbell.labels" -}}
{{ include "vfio-doorbell.selectorLabels" . }}
app.kubernetes.io/version: {{ .context.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .context.Chart.Name .context.Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* An image by name: dict "context" . "image" .Values.daemon.image */}}
{{- define "vfio-doorbell.image" -}}
{{- $values := .context.Values.image -}}
{{- $name := .image.repository -}}
{{- if $values.registry -}}
{{- $name = printf "%s/%s" $values.registry .image.repository -}}
{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .context.Chart.AppVersion $values.tag) -}}
{{- end -}}
{{- end }}

{{- define "vfio-doorbell.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* The configuration as the programs read it. Keys that are empty are left to their defaults. */}}
{{- define "vfio-doorbell.config" -}}
{{- $config := .Values.config -}}
{{- if not $config.window }}{{ $config = omit $config "window" }}{{ end -}}
{{- toYaml $config -}}
{{- end }}

{{- /* "true" if a resource is handed over by CDI. */}}
{{- define "vfio-doorbell.usesCdi" -}}
{{- range .Values.config.resources }}{{ if .cdi }}true{{ end }}{{ end -}}
{{- end }}

{{- /* "true" if the monitor has a token. */}}
{{- define "vfio-doorbell.tellsApiServer" -}}
{{- $status := .Values.monitor.status -}}
{{- if and .Values.monitor.enabled $status.enabled (or $status.condition $status.events $status.object) }}true{{ end -}}
{{- end }}

{{- define "vfio-doorbell.monitorAccount" -}}
{{ include "vfio-doorbell.fullname" . }}-monitor
{{- end }}

{{- define "vfio-doorbell.nodeHookFolder" -}}
/var/run/kubevirt/plugins
{{- end }}

{{- /* Of every container that needs no right at all. */}}
{{- define "vfio-doorbell.noRights" -}}
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
{{- end }}

{{- /* What the controller may do. There is no narrower right than to patch the CR: whoever has it decides what VMs get. */}}
{{- define "vfio-doorbell.controllerClusterRules" -}}
- apiGroups: [kubevirt.io]
  resources: [kubevirts]
  verbs: [get, list, patch]
# Which resources there are.
- apiGroups: [""]
  resources: [nodes]
  verbs: [list]
{{- end }}

{{- define "vfio-doorbell.controllerRules" -}}
# What is created has no name yet that could be compared.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "vfio-doorbell.fullname" . }}-controller]
  verbs: [get, update]
{{- end }}

{{- /* What Kubernetes would mount into every container of a pod. Readable by all users, of which the one container that mounts it has one. */}}
{{- define "vfio-doorbell.tokenVolume" -}}
- name: token
  projected:
    defaultMode: 0444
    sources:
      # Kubernetes itself asks for 3607, and the API server takes that for a wish for a year (--service-account-extend-token-expiration).
      - serviceAccountToken: {path: token, expirationSeconds: 3600}
      - configMap:
          name: kube-root-ca.crt
          items: [{key: ca.crt, path: ca.crt}]
      - downwardAPI:
          items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]
{{- end }}

{{- define "vfio-doorbell.tokenMount" -}}
- {name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end }}

{{- /* The pod of the controller, which serves, and that of the Job which takes back: dict "context" . "args" list "config" NAME */}}
{{- define "vfio-doorbell.controllerPod" -}}
{{- with .context -}}
{{- include "vfio-doorbell.pullSecrets" . | trim }}
{{- with .Values.controller.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.controller.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.controller.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.controller.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
terminationGracePeriodSeconds: 10
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65534
  runAsGroup: 65534
  seccompProfile: {type: RuntimeDefault}
{{- end }}
containers:
  - name: controller
    {{- with .context }}
    image: {{ include "vfio-doorbell.image" (dict "context" . "image" .Values.controller.image) }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    {{- end }}
    args:
      - --lease-name={{ include "vfio-doorbell.fullname" .context }}-controller
      {{- with .context.Values.kubevirt.name }}
      - --kubevirt-namespace={{ $.context.Values.kubevirt.namespace }}
      - --kubevirt-name={{ . }}
      {{- end }}
      - --log-level={{ .context.Values.log.level }}
      - --log-format={{ .context.Values.log.format }}
      {{- range .args }}
      - {{ . }}
      {{- end }}
    terminationMessagePolicy: FallbackToLogsOnError
    {{- if .ports }}
    ports:
      - {name: metrics, containerPort: {{ .context.Values.controller.port }}}
    {{- end }}
    resources: {{- toYaml .context.Values.controller.resources | nindent 6 }}
    securityContext: {{- include "vfio-doorbell.noRights" . | nindent 6 }}
    volumeMounts:
      - {name: config, mountPath: /etc/vfio-doorbell, readOnly: true}
      {{- include "vfio-doorbell.tokenMount" . | nindent 6 }}
volumes:
  - name: config
    configMap: {name: {{ .config }}}
  {{- include "vfio-doorbell.tokenVolume" . | nindent 2 }}
{{- end }}

{{- /* Of what takes back the controller's entries when the release is gone. */}}
{{- define "vfio-doorbell.cleanupHook" -}}
helm.sh/hook: post-delete
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
