// What the API server says now, of kinds that the operator may list and watch, and not get.
import type { KubernetesObject } from '../../api/kubernetes.ts'
import { label, labelValue, managerName } from '../../api/labels.ts'
import type { Client } from '../../runtime/client/client.ts'
import { ApiError, ConnectionError, ResponseError } from '../../runtime/client/errors.ts'
import type { Clock } from '../../runtime/clock.ts'
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

/**
 * Undefined where the API server refuses to answer, or does not within this time: whoever asks can do without, and so can the plan (F71).
 * @throws ApiError 401, and what the signal was aborted with
 */
export async function unlessUnanswered<T>(
  ask: (signal: AbortSignal) => Promise<T>,
  patienceMs: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<T | undefined> {
  const late = new AbortController()
  const cancel = clock.timer(patienceMs, () => late.abort(new Error('the API server takes too long')))
  try {
    return await ask(AbortSignal.any([signal, late.signal]))
  } catch (error) {
    signal.throwIfAborted()
    if (late.signal.aborted || isRefusal(error)) return undefined
    throw error
  } finally {
    cancel()
  }
}

function isRefusal(error: unknown): boolean {
  if (error instanceof ApiError) return error.status !== 401
  return error instanceof ConnectionError || error instanceof ResponseError
}
