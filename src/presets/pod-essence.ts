// What of a pod decides about targets: all that the operator ever needs to remember of pods that are not its own. Passwords that stand in
// them are not remembered.
import type { ForeignContainer, ForeignEnvVar, ForeignPod, ForeignVolume } from '../api/kubernetes.ts'
import { presets } from './presets.ts'

const all = Object.values(presets)
const accounts = all.flatMap(preset => preset.accounts)

/** Variables whose text counts, and is no secret. */
const publicNames: ReadonlySet<string> = new Set([
  ...all.flatMap(({ portVariables, replicaVariables }) => [...portVariables, ...replicaVariables]),
  ...accounts.flatMap(({ userVariables, withoutPassword }) => [
    ...userVariables,
    ...withoutPassword.map(({ name }) => name),
  ]),
])
const passwordNames = accounts.flatMap(({ passwordVariables }) => passwordVariables)
const fileNames: ReadonlySet<string> = new Set(passwordNames.map(name => `${name}_FILE`))
/** Of these it only counts that they are set. */
const setNames: ReadonlySet<string> = new Set([
  ...passwordNames,
  ...all.flatMap(({ serverVariables }) => serverVariables),
  ...accounts.flatMap(({ userVariables }) => userVariables.map(name => `${name}_FILE`)),
])

/** `findTargets` answers the same for a pod and for its essence. */
export function podEssence(pod: ForeignPod): ForeignPod {
  const { apiVersion, kind, metadata, spec, status } = pod
  const { name, namespace, uid, resourceVersion, deletionTimestamp, labels, ownerReferences } = metadata
  return {
    apiVersion,
    kind,
    metadata: { name, namespace, uid, resourceVersion, deletionTimestamp, labels, ownerReferences },
    spec: {
      containers: spec.containers.map(containerEssence),
      volumes: (spec.volumes ?? []).flatMap(volumeEssence),
      imagePullSecrets: spec.imagePullSecrets,
    },
    status: status && { phase: status.phase },
  }
}

function containerEssence({ name, image, env, envFrom, ports, volumeMounts }: ForeignContainer): ForeignContainer {
  return { name, image, env: (env ?? []).flatMap(variableEssence), envFrom, ports, volumeMounts }
}

function variableEssence({ name, value = '', valueFrom }: ForeignEnvVar): readonly ForeignEnvVar[] {
  if (valueFrom) {
    const { secretKeyRef, configMapKeyRef } = valueFrom
    return [{ name, valueFrom: { secretKeyRef, configMapKeyRef } }]
  }
  // A name that stands for another variable; text around it makes the whole unreadable.
  if (value.includes('$(')) return [{ name, value: /^\$\([-._a-zA-Z0-9]+\)$/.test(value) ? value : '$()' }]
  if (publicNames.has(name)) return [{ name, value }]
  if (fileNames.has(name)) return [{ name, value: value.startsWith('/') ? value : setOrNot(value) }]
  // Also one that is empty: it takes the place of an earlier one of its name.
  return [{ name, value: setNames.has(name) ? setOrNot(value) : '' }]
}

function setOrNot(value: string): string {
  return value === '' ? '' : 'set'
}

function volumeEssence({ name, secret, configMap, projected }: ForeignVolume): readonly ForeignVolume[] {
  return secret || configMap || projected ? [{ name, secret, configMap, projected }] : []
}
