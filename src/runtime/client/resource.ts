/** A kind of the Kubernetes API and where it is served. The core group is `''`. */
export type Resource = {
  readonly group: string
  readonly version: string
  readonly plural: string
  readonly kind: string
  readonly namespaced: boolean
}

export type OwnerReference = {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly uid: string
  readonly controller?: boolean
  readonly blockOwnerDeletion?: boolean
}

/** `metadata` as the API server writes it: raw JSON, times are RFC 3339 strings. `managedFields` never reaches a cache. */
export type ObjectMeta = {
  readonly name: string
  readonly namespace?: string
  readonly uid?: string
  readonly resourceVersion?: string
  readonly generation?: number
  readonly creationTimestamp?: string
  readonly deletionTimestamp?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly ownerReferences?: readonly OwnerReference[]
  readonly finalizers?: readonly string[]
}

/** The least that every object has. Values hold the raw JSON of the server, so fields that no type names survive a round trip. */
export type KubeObject = {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ObjectMeta
}

/** `v1`, `apps/v1`: what objects of the resource carry as `apiVersion`. */
export function apiVersionOf(resource: Resource): string {
  return resource.group === '' ? resource.version : `${resource.group}/${resource.version}`
}

/** `pods`, `leases.coordination.k8s.io`: the resource in messages and metric labels. */
export function resourceName(resource: Resource): string {
  return resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`
}

export type PathTarget = {
  /** Left out for cluster-wide lists and for resources without a namespace. */
  readonly namespace?: string
  readonly name?: string
  readonly subresource?: string
}

/**
 * The URL path of a collection, an object or a subresource.
 * Parts are percent-encoded; `.` and `..` are refused because URL parsers would fold them into another path.
 */
export function pathOf(resource: Resource, target: PathTarget = {}): string {
  const parts = resource.group === '' ? ['api', resource.version] : ['apis', resource.group, resource.version]
  if (resource.namespaced && target.namespace !== undefined) parts.push('namespaces', target.namespace)
  parts.push(resource.plural)
  if (target.name !== undefined) {
    if (resource.namespaced && target.namespace === undefined) {
      throw new TypeError(`${resource.kind} ${target.name} needs a namespace: ${resource.plural} are namespaced`)
    }
    parts.push(target.name)
    if (target.subresource !== undefined) parts.push(target.subresource)
  }
  return `/${parts.map(pathPart).join('/')}`
}

function pathPart(part: string): string {
  if (part === '' || part === '.' || part === '..') throw new TypeError(`"${part}" cannot be part of an API path`)
  return encodeURIComponent(part)
}

/** `namespace/name`, or `name` where there is no namespace: how caches, queues and logs name an object. */
export function keyOf(object: { readonly metadata: { readonly name: string; readonly namespace?: string } }): string {
  return keyFrom(object.metadata.namespace, object.metadata.name)
}

export function keyFrom(namespace: string | undefined, name: string): string {
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`
}

/** The inverse of {@link keyOf}. */
export function splitKey(key: string): { readonly namespace: string | undefined; readonly name: string } {
  const slash = key.indexOf('/')
  return slash < 0
    ? { namespace: undefined, name: key }
    : { namespace: key.slice(0, slash), name: key.slice(slash + 1) }
}
