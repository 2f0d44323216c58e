// What the API server says now, of kinds that the operator may list and watch, and not get.
import type { KubernetesObject } from '../../api/kubernetes.ts'
import { label, labelValue, managerName } from '../../api/labels.ts'
import type { Client } from '../../runtime/client/client.ts'
import type { Resource } from '../../runtime/client/resource.ts'

/** A policy, by its names. */
export type Owner = { readonly namespace: string; readonly name: string }

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

/** Those with our labels of the policy. @param target undefined: of all of them */
export async function withLabels<T extends KubernetesObject>(
  client: Client,
  resource: Resource,
  { namespace, name: policy }: Owner,
  target: string | undefined,
  signal: AbortSignal,
): Promise<readonly T[]> {
  const ofPolicy = `${label.policy}=${labelValue(policy)},${label.managedBy}=${managerName}`
  const labelSelector = target === undefined ? ofPolicy : `${ofPolicy},${label.target}=${labelValue(target)}`
  return (await client.list<T>(resource, { namespace, labelSelector, signal })).items
}
