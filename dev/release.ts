// The operator on a cluster of development, installed as a user would: the chart, with its default values.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { helm, type Cluster } from './cluster-access.ts'
import { eventually } from './eventually.ts'
import { repository } from './paths.ts'

export const releaseName = 'backup-operator'
export const releaseNamespace = 'backup-system'

/** What helm says when another one is at it. */
const busy = /another operation .* is in progress|release: already exists/

/**
 * Installs or upgrades the release and waits until it runs. A second call with the same source changes nothing; helm lets one at a
 * time do it, and the others wait.
 */
export async function installRelease(cluster: Cluster): Promise<void> {
  const where = ['--namespace', releaseNamespace, '--create-namespace']
  // The image's name stays when the source changes; the annotation makes the deployment roll then.
  const settings = ['--set-string', `podAnnotations.source=${sourceHash()}`]
  const chart = join(repository, 'charts/backup-operator')
  const argv = ['upgrade', '--install', releaseName, chart, ...where, ...settings, '--wait', '--timeout=180s']
  let failure: unknown
  const upgraded = async () => {
    try {
      await helm(cluster, argv)
    } catch (error) {
      if (error instanceof Error && busy.test(error.message)) return false
      failure = error
    }
    return true
  }
  await eventually('helm to have the release for itself', upgraded, { seconds: 200, every: 1000 })
  if (failure) throw failure
}

function sourceHash(): string {
  const hash = createHash('sha256')
  const root = join(repository, 'src')
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(isSource)
  for (const path of [...files.sort().map(file => join(root, file)), join(repository, 'package-lock.json')])
    hash.update(readFileSync(path))
  return hash.digest('hex').slice(0, 16)
}

function isSource(path: string): boolean {
  return /\.(ts|sh)$/.test(path) && !path.endsWith('.test.ts')
}
