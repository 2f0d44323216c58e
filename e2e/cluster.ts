// The cluster that the stories run on. Which one: see ../dev/cluster-access.ts.
import { chosenCluster, kubectl } from '../dev/cluster-access.ts'

/**
 * For what should happen soon, without a promise of how soon: stories share a small machine, and each starts many pods. Seconds; a limit
 * that a story states itself is one that users are told of.
 */
export const patience = 180

export const cluster = chosenCluster()

/** Set when stories run on a cluster whose images were loaded under other names (kind in CI). */
export const postgresImage = process.env.POSTGRES_IMAGE ?? 'localhost/postgres:15'
export const mariadbImage = 'localhost/mariadb:10.11'

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
