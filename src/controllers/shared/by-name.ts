// One object by its name, of kinds that the operator may list and watch, and not get.
import type { KubernetesObject } from '../../api/kubernetes.ts'
import type { Client } from '../../runtime/client/client.ts'
import type { Resource } from '../../runtime/client/resource.ts'

/** Undefined where there is none. @throws ApiError where its kind is not served. */
export async function named<T extends KubernetesObject>(
  client: Client,
  resource: Resource,
  namespace: string,
  name: string,
  signal: AbortSignal,
): Promise<T | undefined> {
  const { items } = await client.list<T>(resource, { namespace, fieldSelector: `metadata.name=${name}`, signal })
  return items.find(({ metadata }) => metadata.name === name)
}
