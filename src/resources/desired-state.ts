// Marks an object with a hash of what we want it to be, so that it is written only when that changes (docs/design.md R8).
import type { BackendSpec } from '../api/kinds/backup-policy-backend.ts'
import { annotation } from '../api/labels.ts'
import { nameHash } from '../api/names.ts'
import type { KubernetesObject } from '../api/kubernetes.ts'

/** A hash of any JSON value that does not depend on the order of keys. */
export function stateHash(value: unknown): string {
  return nameHash(JSON.stringify(value, sortKeys))
}

/** The object with its own hash as an annotation. */
export function withDesiredState<T extends KubernetesObject>(object: T): T {
  const { metadata } = object
  return {
    ...object,
    metadata: { ...metadata, annotations: { ...metadata.annotations, [annotation.desiredState]: stateHash(object) } },
  }
}

/**
 * Which place a backend means, whatever credentials open it: backups elsewhere are not in its list. One server may be said in many ways,
 * and a list that is believed of another server makes Backups disappear: only what surely names the same one is taken for the same.
 */
export function storeLocation({ endpoint, bucket, prefix }: BackendSpec): string {
  return stateHash({ server: endpoint === undefined ? undefined : serverOf(endpoint), bucket, prefix })
}

/** Host and port. Who turns TLS on goes on writing to the same server, so that the default ports of both schemes are one. */
function serverOf(endpoint: string): string {
  const { host = '' } = URL.parse(endpoint) ?? {}
  return host === '' ? endpoint : host.replace(/\.(?=:\d+$|$)/, '')
}

function sortKeys(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}
