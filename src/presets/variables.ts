// What the environment of a container says, without ever taking a secret out of it.
import type { ForeignContainer, ForeignPod } from '../api/kubernetes.ts'
import type { KeyReference } from './preset.ts'

export type Variable =
  | { readonly is: 'absent' }
  /** It stands in the pod itself. Only `publicValue` reads it. */
  | { readonly is: 'literal' }
  | { readonly is: 'key'; readonly reference: KeyReference }
  /** It is put together of other variables, or comes from elsewhere. */
  | { readonly is: 'unreadable' }

/** Where the value of a variable comes from. An empty one counts as absent, as the images take it. */
export function variable(container: ForeignContainer, name: string): Variable {
  const found = lastOf(container, name)
  if (!found) return { is: 'absent' }
  if (found.valueFrom) {
    const { secretKeyRef, configMapKeyRef } = found.valueFrom
    const reference = keyOf('Secret', secretKeyRef) ?? keyOf('ConfigMap', configMapKeyRef)
    return reference ? { is: 'key', reference } : { is: 'unreadable' }
  }
  const value = found.value ?? ''
  if (value === '') return { is: 'absent' }
  const [, other] = /^\$\(([-._a-zA-Z0-9]+)\)$/.exec(value) ?? []
  if (other === undefined) return value.includes('$(') ? { is: 'unreadable' } : { is: 'literal' }
  const aliased = other === name ? undefined : lastOf(container, other)?.valueFrom
  const reference = keyOf('Secret', aliased?.secretKeyRef) ?? keyOf('ConfigMap', aliased?.configMapKeyRef)
  return reference ? { is: 'key', reference } : { is: 'unreadable' }
}

/**
 * The text of a variable that is no secret: a user, a port, a switch, the path of a file. Undefined where it does not stand in the pod itself.
 * Never to be called with the name of a variable that may hold a password.
 */
export function publicValue(container: ForeignContainer, name: string): string | undefined {
  if (variable(container, name).is !== 'literal') return undefined
  return lastOf(container, name)?.value?.replaceAll('$$', '$')
}

/** Sources of `envFrom` that could hold a variable, and the key that it would have there. */
export function sourcesOf({ envFrom = [] }: ForeignContainer, name: string): readonly KeyReference[] {
  return envFrom.flatMap(({ prefix = '', secretRef, configMapRef }) => {
    if (!name.startsWith(prefix)) return []
    const key = name.slice(prefix.length)
    return (
      keyOf('Secret', secretRef && { ...secretRef, key }) ??
      keyOf('ConfigMap', configMapRef && { ...configMapRef, key }) ??
      []
    )
  })
}

/**
 * The key of a Secret or ConfigMap that is the file at `path` in a container; undefined where that file comes from elsewhere, as from a
 * CSI driver or an injector.
 */
export function fileSource({ spec }: ForeignPod, container: ForeignContainer, path: string): KeyReference | undefined {
  const file = normal(path)
  const mounts = (container.volumeMounts ?? [])
    .map(mount => ({ ...mount, mountPath: normal(mount.mountPath) }))
    .filter(({ mountPath }) => file === mountPath || file.startsWith(mountPath === '/' ? '/' : `${mountPath}/`))
    .sort((a, b) => b.mountPath.length - a.mountPath.length)
  const [mount] = mounts
  const volume = (spec.volumes ?? []).find(({ name }) => name === mount?.name)
  if (!mount || !volume || mount.subPathExpr !== undefined) return undefined
  const inner = [mount.subPath, file.slice(mount.mountPath.length)].flatMap(part => normal(part ?? '') || []).join('')
  return keyAt(volume, inner.replace(/^\//, ''))
}

type Items = readonly { readonly key: string; readonly path: string }[] | undefined

function keyAt({ secret, configMap, projected }: NonNullable<ForeignPod['spec']['volumes']>[number], path: string) {
  const sources = [
    { kind: 'Secret' as const, name: secret?.secretName, items: secret?.items },
    { kind: 'ConfigMap' as const, name: configMap?.name, items: configMap?.items },
    ...(projected?.sources ?? []).flatMap(source => [
      { kind: 'Secret' as const, name: source.secret?.name, items: source.secret?.items },
      { kind: 'ConfigMap' as const, name: source.configMap?.name, items: source.configMap?.items },
    ]),
  ]
  const found = sources.flatMap(({ kind, name, items }) => {
    const key = name === undefined ? undefined : keyOfPath(items, path)
    return name === undefined || key === undefined ? [] : [{ kind, name, key }]
  })
  // Of several whole Secrets in one volume nobody can tell which has the file.
  return found.length === 1 ? found[0] : undefined
}

function keyOfPath(items: Items, path: string): string | undefined {
  if (items) return items.find(item => normal(item.path) === `/${path}`)?.key
  return /^[-._a-zA-Z0-9]+$/.test(path) ? path : undefined
}

/** A path from the root on, with one slash before each segment and none at its end; '' for none. */
function normal(path: string): string {
  const segments = path.split('/').filter(segment => segment !== '' && segment !== '.')
  return segments.map(segment => `/${segment}`).join('')
}

function lastOf({ env = [] }: ForeignContainer, name: string) {
  return env.findLast(each => each.name === name)
}

function keyOf(
  kind: KeyReference['kind'],
  reference: { readonly name?: string; readonly key: string } | undefined,
): KeyReference | undefined {
  return reference?.name ? { kind, name: reference.name, key: reference.key } : undefined
}
