// Objects of any kind, made and removed through one connection to the API server: stories do it hundreds of times, and each kubectl costs
// a small machine a tenth of a second. What a story shows of kubectl itself goes through kubectl.
import { apiAccess } from '../dev/cluster-access.ts'
import type { KubernetesObject } from '../src/api/kubernetes.ts'
import { Client } from '../src/runtime/client/client.ts'
import { isNotFound } from '../src/runtime/client/errors.ts'
import { pathOf, type Resource } from '../src/runtime/client/resource.ts'
import { cluster } from './cluster.ts'

const { server, ca, cert, key } = apiAccess(cluster)
/** Never closed, because stories clean up behind the last of them; an idle connection holds no process. */
export const api = new Client({ url: server, ca, clientCertificate: { cert, key } })

/** An object with whatever fields its kind has. */
export type Manifest = KubernetesObject & Readonly<Record<string, unknown>>

/** As `kubectl apply --server-side`, one after the other. */
export async function put(...objects: readonly Manifest[]): Promise<void> {
  for (const body of objects) {
    const { namespace, name } = body.metadata
    await api.patch(await resourceOf(body), namespace, name, { kind: 'apply', body, fieldManager: 'kubectl' })
  }
}

/** Begins to delete all objects of a kind in a namespace, with what belongs to them. A kind that is not served has none. */
export async function removeAll(resource: Resource, namespace: string): Promise<void> {
  const body = { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 1, propagationPolicy: 'Background' }
  try {
    await api.request({ method: 'DELETE', path: pathOf(resource, { namespace }), body })
  } catch (error) {
    if (!isNotFound(error)) throw error
  }
}

/** Whether objects of this kind are in a namespace, also such as are being deleted. */
export async function hasAny(resource: Resource, namespace: string): Promise<boolean> {
  try {
    return (await api.list(resource, { namespace, metadataOnly: true })).items.length > 0
  } catch (error) {
    if (isNotFound(error)) return false
    throw error
  }
}

const known = new Map<string, Resource>()

async function resourceOf({ apiVersion, kind }: KubernetesObject): Promise<Resource> {
  const found = known.get(`${apiVersion} ${kind}`)
  if (found) return found
  const [version = '', group = ''] = apiVersion.split('/').toReversed()
  const path = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
  const served = (await api.request({ method: 'GET', path })) as { readonly resources: readonly Served[] }
  const match = served.resources.find(each => each.kind === kind && !each.name.includes('/'))
  if (!match) throw new Error(`the cluster serves no ${kind} of ${apiVersion}`)
  const resource = { group, version, plural: match.name, kind, namespaced: match.namespaced }
  known.set(`${apiVersion} ${kind}`, resource)
  return resource
}

/** One of an APIResourceList. */
type Served = { readonly name: string; readonly kind: string; readonly namespaced: boolean }
