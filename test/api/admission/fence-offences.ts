// Changes of the pod that the operator really builds, one at a time: what its token must not be able to run, and what other webhooks may
// make of it.
import type { JobSpec } from '../../../src/api/kubernetes.ts'

export type Pod = JobSpec['template']['spec'] & Record<string, unknown>

/** `image.repository` of the chart, as in its values. */
const chartRepository = 'ghcr.io/backup-operator/backup-operator'

/** The security of a mesh's proxy, as those that keep to the pod security standard `restricted` have it. */
const sidecarContext = {
  allowPrivilegeEscalation: false,
  privileged: false,
  capabilities: { drop: ['ALL'] },
  readOnlyRootFilesystem: true,
  runAsNonRoot: true,
  runAsUser: 1337,
}
const aSidecar = { name: 'mesh-proxy', image: 'mesh.example.com/proxy:1', securityContext: sidecarContext }

const onlyTheMover = /only the mover mounts the Secrets that open the store/

/** One change of a Job that the operator would build, and what the fence says. */
export const offences: readonly {
  readonly name: string
  readonly change: (pod: Pod) => object
  readonly message: RegExp
}[] = [
  {
    name: 'another image for the mover',
    change: container('mover', { image: 'evil:1' }),
    message: /chart's image only/,
  },
  { name: 'another image for prepare', change: init({ image: 'evil:1' }), message: /chart's image only/ },
  {
    name: 'an image whose name begins like ours',
    change: container('mover', { image: `${chartRepository}-evil:0.1.0` }),
    message: /chart's image only/,
  },
  {
    name: 'an image below ours',
    change: container('mover', { image: `${chartRepository}:5000/evil` }),
    message: /chart's image only/,
  },
  {
    name: 'a command for the mover',
    change: container('mover', { command: ['sh'] }),
    message: /command mover of the image only/,
  },
  {
    name: 'other arguments for the mover',
    change: container('mover', { args: ['operator'] }),
    message: /command mover of the image only/,
  },
  {
    name: 'other variables for the mover',
    change: container('mover', { env: [{ name: 'NODE_OPTIONS', value: '--require=/tmp/x.js' }] }),
    message: /BACKUP_ variables and those of the allocator only/,
  },
  {
    name: 'a whole Secret as variables of the mover',
    change: container('mover', { envFrom: [{ secretRef: { name: 'x' } }] }),
    message: /BACKUP_ variables and those of the allocator only/,
  },
  ...['livenessProbe', 'readinessProbe', 'startupProbe'].map(probe => ({
    name: `a command in the mover as its ${probe}`,
    change: container('mover', { [probe]: { exec: { command: ['cat', '/var/run/backup/credentials/secretKey'] } } }),
    message: /without hooks and probes/,
  })),
  {
    name: 'a command in the mover as a hook',
    change: container('mover', { lifecycle: { postStart: { exec: { command: ['sh'] } } } }),
    message: /without hooks and probes/,
  },
  {
    name: 'a token',
    change: pod => ({ ...pod, automountServiceAccountToken: true }),
    message: /no service account token/,
  },
  {
    name: 'a token by default',
    change: ({ automountServiceAccountToken: _, ...pod }) => pod,
    message: /no service account token/,
  },
  {
    name: 'another service account',
    change: pod => ({ ...pod, serviceAccountName: 'admin' }),
    message: /no service account but default/,
  },
  ...['hostNetwork', 'hostPID', 'hostIPC', 'shareProcessNamespace'].map(field => ({
    name: field,
    change: (pod: Pod) => ({ ...pod, [field]: true }),
    message: /no namespaces with the host/,
  })),
  {
    name: 'a node of its choice',
    change: pod => ({ ...pod, nodeName: 'control-plane' }),
    message: /placed by the scheduler/,
  },
  {
    name: 'a priority of the system',
    change: pod => ({ ...pod, priorityClassName: 'system-node-critical' }),
    message: /no priority of the system/,
  },
  {
    name: 'a device',
    change: pod => ({ ...pod, resourceClaims: [{ name: 'gpu', resourceClaimName: 'gpu' }] }),
    message: /no devices/,
  },
  {
    name: 'sysctls',
    change: podContext({ sysctls: [{ name: 'kernel.msgmax', value: '1' }] }),
    message: /security context of backup pods/,
  },
  { name: 'root in the pod', change: podContext({ runAsNonRoot: false }), message: /security context of backup pods/ },
  {
    name: 'a privileged dump',
    change: dumpContext({ privileged: true, allowPrivilegeEscalation: true }),
    message: /every container of a backup pod is restricted/,
  },
  { name: 'root', change: dumpContext({ runAsUser: 0 }), message: /every container of a backup pod is restricted/ },
  {
    name: 'an added capability',
    change: dumpContext({ capabilities: { drop: ['ALL'], add: ['SYS_ADMIN'] } }),
    message: /every container of a backup pod is restricted/,
  },
  {
    name: 'a kept capability',
    change: dumpContext({ capabilities: { drop: ['NET_RAW'] } }),
    message: /every container of a backup pod is restricted/,
  },
  {
    name: 'no seccomp',
    change: dumpContext({ seccompProfile: { type: 'Unconfined' } }),
    message: /every container of a backup pod is restricted/,
  },
  {
    name: 'a writable root',
    change: dumpContext({ readOnlyRootFilesystem: false }),
    message: /read-only root file system/,
  },
  ...Object.entries({
    'root in the pod by number': { runAsUser: 0 },
    'no seccomp in the pod': { seccompProfile: { type: 'Unconfined' } },
    'no AppArmor': { appArmorProfile: { type: 'Unconfined' } },
    'another SELinux type': { seLinuxOptions: { type: 'spc_t' } },
    'an administrator on Windows': { windowsOptions: { runAsUserName: 'ContainerAdministrator' } },
  }).map(([name, context]) => ({ name, change: podContext(context), message: /every container .* is restricted/ })),
  {
    name: 'an unmasked /proc',
    change: pod => dumpContext({ procMount: 'Unmasked' })({ ...pod, hostUsers: false }),
    message: /every container of a backup pod is restricted/,
  },
  ...Object.entries({
    'a privileged sidecar': { privileged: true, allowPrivilegeEscalation: true },
    'a sidecar that may gain privileges': { allowPrivilegeEscalation: true },
    'a sidecar with the capabilities of a mesh’s set-up': {
      capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW'] },
    },
    'a sidecar as root': { runAsUser: 0, runAsNonRoot: false },
  }).map(([name, context]) => ({
    name,
    change: sidecar({ securityContext: { ...sidecarContext, ...context } }),
    message: /every container of a backup pod is restricted/,
  })),
  {
    name: 'an init container as root',
    change: pod => ({
      ...pod,
      initContainers: [
        ...(pod.initContainers ?? []),
        { ...aSidecar, securityContext: { ...sidecarContext, runAsUser: 0 } },
      ],
    }),
    message: /every container of a backup pod is restricted/,
  },
  {
    name: 'a sidecar with the credentials',
    change: sidecar({ volumeMounts: [{ name: 'credentials', mountPath: '/x' }] }),
    message: onlyTheMover,
  },
  {
    name: 'the credentials in the dump under another name',
    change: pod => ({
      ...container('dump', { volumeMounts: [{ name: 'more', mountPath: '/x' }] })(pod),
      volumes: [...pod.volumes, { name: 'more', secret: { secretName: 'minio-creds' } }],
    }),
    message: onlyTheMover,
  },
  {
    name: 'a Secret of its choice in the init container',
    change: pod => ({
      ...init({ volumeMounts: [{ name: 'more', mountPath: '/x' }] })(pod),
      volumes: [...pod.volumes, { name: 'more', secret: { secretName: 'admin' } }],
    }),
    message: onlyTheMover,
  },
  {
    name: 'no security context',
    change: container('dump', { securityContext: undefined }),
    message: /every container of a backup pod is restricted/,
  },
  {
    name: 'a hostPath',
    change: volume({ name: 'shared', hostPath: { path: '/' } }),
    message: /no path of the host, no claim, no token/,
  },
  {
    name: 'a token as a projected volume',
    change: volume({ name: 'tmp', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } }),
    message: /no path of the host, no claim, no token/,
  },
  {
    name: 'a PVC',
    change: volume({ name: 'credentials', persistentVolumeClaim: { claimName: 'data' } }),
    message: /no path of the host, no claim, no token/,
  },
  {
    name: 'the credentials in the dump',
    change: container('dump', { volumeMounts: [{ name: 'credentials', mountPath: '/x' }] }),
    message: onlyTheMover,
  },
  {
    name: 'a host port',
    change: container('dump', { ports: [{ containerPort: 1, hostPort: 1 }] }),
    message: /no container has devices or ports of the host/,
  },
]

const digest = `sha256:${'0123456789abcdef'.repeat(4)}`

/** What policy engines, meshes and cluster defaults make of a Job, and no power comes with (F77). */
export const differences: readonly { readonly name: string; readonly change: (pod: Pod) => object }[] = [
  {
    name: 'tolerations, a node selector and an affinity',
    change: pod => ({
      ...pod,
      tolerations: [{ key: 'dedicated', operator: 'Exists' }],
      nodeSelector: { 'kubernetes.io/arch': 'amd64' },
      affinity: { nodeAffinity: {} },
    }),
  },
  { name: 'a digest beside the tag', change: ourImage(`${chartRepository}:0.1.0@${digest}`) },
  { name: 'a digest instead of the tag', change: ourImage(`${chartRepository}@${digest}`) },
  {
    name: 'the tag of a release before, as an operator that is being replaced',
    change: ourImage(`${chartRepository}:0.0.9`),
  },
  { name: 'a mirror that the values name', change: ourImage(`mirror.example.com/all/${chartRepository}:0.1.0`) },
  {
    name: 'groups for volumes',
    change: podContext({ fsGroup: 1000, fsGroupChangePolicy: 'OnRootMismatch', supplementalGroups: [2000] }),
  },
  {
    name: 'a user, a group and an SELinux level for the pod',
    change: podContext({ runAsUser: 1000680000, runAsGroup: 0, seLinuxOptions: { level: 's0:c26,c20' } }),
  },
  {
    name: 'more that is dropped, and said to be unprivileged',
    change: dumpContext({ privileged: false, capabilities: { drop: ['NET_RAW', 'ALL'] }, procMount: 'Default' }),
  },
  {
    name: 'a priority, a runtime, a scheduler and a name server of the cluster’s choice',
    change: pod => ({
      ...pod,
      priorityClassName: 'batch-low',
      runtimeClassName: 'gvisor',
      schedulerName: 'volcano',
      dnsConfig: { options: [{ name: 'ndots', value: '2' }] },
    }),
  },
  {
    name: 'the sidecar of a mesh, with its ports, hooks and files',
    change: sidecar({
      ports: [{ containerPort: 15090, name: 'metrics' }],
      lifecycle: { preStop: { exec: { command: ['drain'] } } },
      readinessProbe: { httpGet: { path: '/healthz/ready', port: 15021 } },
      volumeMounts: [{ name: 'mesh-root', mountPath: '/var/run/mesh' }],
    }),
  },
  {
    name: 'Secrets and ConfigMaps that a policy gives its dump as files',
    change: pod => ({
      ...container('dump', {
        volumeMounts: [
          { name: 'client', mountPath: '/tls' },
          { name: 'settings', mountPath: '/settings' },
        ],
      })(pod),
      volumes: [
        ...pod.volumes,
        { name: 'client', secret: { secretName: 'db-client' } },
        { name: 'settings', configMap: { name: 'settings' } },
      ],
    }),
  },
  {
    name: 'a sidecar of the native kind',
    change: pod => ({
      ...pod,
      initContainers: [{ ...aSidecar, restartPolicy: 'Always' }, ...(pod.initContainers ?? [])],
    }),
  },
]

function sidecar(change: object) {
  return (pod: Pod) => ({
    ...pod,
    containers: [...pod.containers, { ...aSidecar, ...change }],
    volumes: [...pod.volumes, { name: 'mesh-root', configMap: { name: 'mesh-root', optional: true } }],
  })
}

/** Prepare and mover with another reference of an image. */
function ourImage(image: string) {
  return (pod: Pod) => container('mover', { image })(init({ image })(pod))
}

function container(name: string, change: object) {
  return (pod: Pod) => ({
    ...pod,
    containers: pod.containers.map(each => (each.name === name ? { ...each, ...change } : each)),
  })
}

function init(change: object) {
  return (pod: Pod) => ({ ...pod, initContainers: pod.initContainers?.map(each => ({ ...each, ...change })) })
}

function podContext(change: object) {
  return (pod: Pod) => ({ ...pod, securityContext: { ...pod.securityContext, ...change } })
}

function dumpContext(change: object) {
  return (pod: Pod) => ({
    ...pod,
    containers: pod.containers.map(each =>
      each.name === 'dump' ? { ...each, securityContext: { ...each.securityContext, ...change } } : each,
    ),
  })
}

function volume(changed: { readonly name: string; readonly [source: string]: unknown }) {
  return (pod: Pod) => ({
    ...pod,
    volumes: pod.volumes.map(each => ((each as { name: string }).name === changed.name ? changed : each)),
  })
}
