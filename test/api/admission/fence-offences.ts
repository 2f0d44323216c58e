// What the operator's token must not be able to run, one change at a time from the pod that the operator really builds.
import type { JobSpec } from '../../../src/api/kubernetes.ts'

export type Pod = JobSpec['template']['spec'] & Record<string, unknown>

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
    name: 'another init container',
    change: init({ name: 'first' }),
    message: /containers prepare, dump and mover only/,
  },
  { name: 'another container', change: container('dump', { name: 'extra' }), message: /prepare, dump and mover only/ },
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
    message: /BACKUP_ variables only/,
  },
  {
    name: 'a whole Secret as variables of the mover',
    change: container('mover', { envFrom: [{ secretRef: { name: 'x' } }] }),
    message: /BACKUP_ variables only/,
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
    message: /no service account token/,
  },
  ...['hostNetwork', 'hostPID', 'hostIPC', 'shareProcessNamespace'].map(field => ({
    name: field,
    change: (pod: Pod) => ({ ...pod, [field]: true }),
    message: /no host namespaces/,
  })),
  { name: 'a node of its choice', change: pod => ({ ...pod, nodeName: 'control-plane' }), message: /choose no node/ },
  {
    name: 'tolerations',
    change: pod => ({ ...pod, tolerations: [{ operator: 'Exists' }] }),
    message: /choose no node/,
  },
  {
    name: 'a priority',
    change: pod => ({ ...pod, priorityClassName: 'system-node-critical' }),
    message: /no priority/,
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
    message: /fixed security context/,
  },
  { name: 'root', change: dumpContext({ runAsUser: 0 }), message: /fixed security context/ },
  {
    name: 'an added capability',
    change: dumpContext({ capabilities: { drop: ['ALL'], add: ['SYS_ADMIN'] } }),
    message: /fixed security context/,
  },
  {
    name: 'a kept capability',
    change: dumpContext({ capabilities: { drop: ['NET_RAW'] } }),
    message: /fixed security context/,
  },
  {
    name: 'no seccomp',
    change: dumpContext({ seccompProfile: { type: 'Unconfined' } }),
    message: /fixed security context/,
  },
  {
    name: 'a writable root',
    change: dumpContext({ readOnlyRootFilesystem: false }),
    message: /fixed security context/,
  },
  {
    name: 'no security context',
    change: container('dump', { securityContext: undefined }),
    message: /fixed security context/,
  },
  {
    name: 'a hostPath',
    change: volume({ name: 'shared', hostPath: { path: '/' } }),
    message: /volumes shared and tmp/,
  },
  {
    name: 'a token as a projected volume',
    change: volume({ name: 'tmp', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } }),
    message: /volumes shared and tmp/,
  },
  {
    name: 'a PVC',
    change: volume({ name: 'credentials', persistentVolumeClaim: { claimName: 'data' } }),
    message: /volumes shared and tmp/,
  },
  {
    name: 'the credentials in the dump',
    change: container('dump', { volumeMounts: [{ name: 'credentials', mountPath: '/x' }] }),
    message: /only the mover sees/,
  },
  {
    name: 'a host port',
    change: container('dump', { ports: [{ containerPort: 1, hostPort: 1 }] }),
    message: /only the mover sees/,
  },
]
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
