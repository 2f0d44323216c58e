// The product on the cluster of the stories, and the store that they use.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { apply, kubectl } from '../dev/cluster-access.ts'
import { repository } from '../dev/paths.ts'
import { installRelease, releaseName } from '../dev/release.ts'
import { cluster } from './cluster.ts'

export const operatorDeployment = `deployment/${releaseName}`

export const installOperator = () => installRelease(cluster)

/** The S3 store of the examples. A policy needs the credentials in its own namespace: see `storeSecret` of stack.ts. */
export async function installMinio(): Promise<void> {
  const example = readFileSync(join(repository, 'examples/minio.yaml'), 'utf8')
  // Clusters of tests have their own build of it, under this name.
  await apply(cluster, example.replaceAll(/image: minio\/minio:\S+/g, 'image: localhost/minio:1'))
  await kubectl(cluster, ['-n', 'minio', 'rollout', 'status', 'deployment/minio', '--timeout=120s'])
}
