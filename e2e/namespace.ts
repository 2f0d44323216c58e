// A namespace of its own for each story.
import type { TestContext } from 'node:test'
import { eventually } from '../dev/eventually.ts'
import type { KubernetesObject } from '../src/api/kubernetes.ts'
import * as resources from '../src/controllers/shared/resources.ts'
import type { Resource } from '../src/runtime/client/resource.ts'
import { patience } from './cluster.ts'
import { api, hasAny, put, removeAll } from './objects.ts'

const storyLabel = 'backup-operator.test/story'

const served = (group: string, kind: string, plural: string): Resource => {
  return { group, version: 'v1', kind, plural, namespaced: true }
}

/** What stories make in it that takes a moment to go. */
const contents = [
  resources.cronJobs,
  resources.jobs,
  served('apps', 'StatefulSet', 'statefulsets'),
  served('apps', 'Deployment', 'deployments'),
  resources.pods,
  resources.snapshots,
  resources.claims,
] as const

/**
 * Emptied at the end of its story, and at the next start of the same story if that was killed. The namespace itself follows: its
 * controller waits five seconds before it begins, which nobody has to watch.
 */
export async function storyNamespace(
  t: TestContext,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<string> {
  const left = await api.get(resources.namespaces, undefined, name)
  if (left) {
    await empty(left)
    await api.delete(resources.namespaces, undefined, name)
    const gone = async () => !(await api.get(resources.namespaces, undefined, name))
    await eventually(`the namespace ${name} to be gone`, gone, { seconds: 120 })
  }
  const metadata = { name, labels: { ...labels, [storyLabel]: name } }
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata }
  await put(namespace)
  t.after(async () => {
    await empty(namespace)
    await api.delete(resources.namespaces, undefined, name)
  })
  // Pods are refused until the namespace has its default service account.
  const accounts = served('', 'ServiceAccount', 'serviceaccounts')
  await eventually(`the default service account of ${name}`, () => api.get(accounts, name, 'default'), {
    seconds: patience,
  })
  return name
}

async function empty({ metadata: { name, labels } }: KubernetesObject): Promise<void> {
  if (labels?.[storyLabel] === undefined) throw new Error(`the namespace ${name} exists and is not of a test; it stays`)
  // The operator would make again what is deleted below it.
  for (const kind of [resources.restores, resources.backupPolicies, resources.backups])
    await removeThese([kind], name, 60)
  await removeThese(contents, name, 120)
}

async function removeThese(kinds: readonly Resource[], namespace: string, seconds: number): Promise<void> {
  await Promise.all(kinds.map(kind => removeAll(kind, namespace)))
  for (const kind of kinds)
    await eventually(`the ${kind.plural} of ${namespace} to be gone`, async () => !(await hasAny(kind, namespace)), {
      seconds,
    })
}
