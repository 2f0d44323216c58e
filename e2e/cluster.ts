// The cluster that the stories run on, and a namespace per story. Which cluster: see ../dev/cluster-access.ts.
import type { TestContext } from 'node:test'
import { apply, chosenCluster, kubectl } from '../dev/cluster-access.ts'
import { eventually } from '../dev/eventually.ts'

/**
 * For what should happen soon, without a promise of how soon: stories share a small machine, and each starts many pods. Seconds; a limit
 * that a story states itself is one that users are told of.
 */
export const patience = 180

export const cluster = chosenCluster()

/** Set when stories run on a cluster whose images were loaded under other names (kind in CI). */
export const postgresImage = process.env.POSTGRES_IMAGE ?? 'localhost/postgres:15'

const storyLabel = 'backup-operator.test/story'

/**
 * A namespace of its own for one story, emptied at its end, and at the next start of the same story if that was killed.
 * The namespace itself follows: its controller waits five seconds before it begins, which nobody has to watch.
 */
export async function storyNamespace(
  t: TestContext,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<string> {
  await emptyNamespace(name)
  await kubectl(cluster, ['delete', 'namespace', name, '--ignore-not-found', '--timeout=120s'])
  const metadata = { name, labels: { ...labels, [storyLabel]: name } }
  await apply(cluster, [{ apiVersion: 'v1', kind: 'Namespace', metadata }])
  t.after(async () => {
    await emptyNamespace(name)
    await kubectl(cluster, ['delete', 'namespace', name, '--wait=false'])
  })
  // Pods are refused until the namespace has its default service account.
  await eventually(
    `the default service account of ${name}`,
    () => kubectl(cluster, ['-n', name, 'get', 'serviceaccount', 'default', '-o', 'name']),
    { seconds: patience },
  )
  return name
}

async function emptyNamespace(name: string) {
  const labels = await kubectl(cluster, [
    'get',
    'namespace',
    name,
    '--ignore-not-found',
    '-o',
    'jsonpath={.metadata.labels}',
  ])
  if (labels === '') return
  if (!labels.includes(storyLabel)) throw new Error(`the namespace ${name} exists and is not of a test; it stays`)
  // The operator would make again what is deleted below it.
  const policies = await kubectl(cluster, [
    'get',
    'crd',
    'backuppolicies.backup.dev',
    '--ignore-not-found',
    '-o',
    'name',
  ])
  for (const kinds of policies === '' ? [] : ['backuppolicies.backup.dev', 'backups.backup.dev'])
    await kubectl(cluster, ['-n', name, 'delete', kinds, '--all', '--timeout=60s'])
  const kinds = 'cronjob,job,statefulset,deployment,pod,volumesnapshot,pvc'
  await kubectl(cluster, ['-n', name, 'delete', kinds, '--all', '--now', '--timeout=120s'])
}

/** A pod that mounts a claim at /data and does nothing. */
export const idlePod = (namespace: string, name: string, claimName: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { namespace, name },
  spec: {
    terminationGracePeriodSeconds: 0,
    containers: [
      {
        name: 'main',
        image: postgresImage,
        imagePullPolicy: 'IfNotPresent',
        command: ['sleep', 'infinity'],
        volumeMounts: [{ name: 'data', mountPath: '/data' }],
      },
    ],
    volumes: [{ name: 'data', persistentVolumeClaim: { claimName } }],
  },
})

/** Waits with `kubectl wait`. `condition` as there: `condition=Ready`, `jsonpath={.status.phase}=Bound`, `delete`. */
export async function waitFor(namespace: string, object: string, condition: string, seconds = patience): Promise<void> {
  await kubectl(cluster, ['-n', namespace, 'wait', `--for=${condition}`, `--timeout=${seconds}s`, object])
}

/** Runs a command in a pod and returns what it prints. */
export function execInPod(namespace: string, pod: string, command: readonly string[]): Promise<string> {
  return kubectl(cluster, ['-n', namespace, 'exec', pod, '--', ...command])
}
