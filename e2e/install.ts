// The product on the cluster of the stories, and the store that they use.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { apply, kubectl } from '../dev/cluster-access.ts'
import { eventually } from '../dev/eventually.ts'
import { repository } from '../dev/paths.ts'
import { installRelease, releaseName } from '../dev/release.ts'
import { cluster } from './cluster.ts'

export const operatorDeployment = `deployment/${releaseName}`

/** What helm says when another one is at it. */
const busy = /another operation .* is in progress|release: already exists/

/** Installs or upgrades the release and waits until it runs. A second call with the same source changes nothing. */
export async function installOperator(): Promise<void> {
  let failure: unknown
  await eventually('helm to have the release for itself', () => upgraded(), { seconds: 200, every: 1000 })
  if (failure) throw failure

  /** Test files that run at the same time bring the release to the same state; helm lets one at a time do it. */
  async function upgraded(): Promise<boolean> {
    try {
      await installRelease(cluster)
    } catch (error) {
      if (error instanceof Error && busy.test(error.message)) return false
      failure = error
    }
    return true
  }
}

/** The S3 store of the examples. A policy needs the credentials in its own namespace: see `storeSecret` of stack.ts. */
export async function installMinio(): Promise<void> {
  const example = readFileSync(join(repository, 'examples/minio.yaml'), 'utf8')
  // Clusters of tests have their own build of it, under this name.
  await apply(cluster, example.replaceAll(/image: minio\/minio:\S+/g, 'image: localhost/minio:1'))
  await kubectl(cluster, ['-n', 'minio', 'rollout', 'status', 'deployment/minio', '--timeout=120s'])
}
