// After the stories: the operator used every right that the chart gives it, and was refused nothing (S1). Only on the local cluster,
// whose API server writes an audit log that this machine can read.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { kubectlJson, localCluster } from '../dev/cluster-access.ts'
import { auditLogPrefix, logDirectory } from '../dev/paths.ts'
import { releaseName, releaseNamespace } from '../dev/release.ts'
import { installedRights, refusals, requestsOf, rightName, unusedRights } from '../test/runner/rights.ts'

/** Rights that the stories need not come to use, and what they are for; test/api/operator/rights.test.ts uses each. */
export const usedElsewhere: readonly { readonly why: string; readonly rights: readonly string[] }[] = [
  {
    why: 'API servers without WatchList: what is watched elsewhere from its first state on is listed there first',
    rights: [
      'list backuppolicies.backup.dev',
      'list backups.backup.dev',
      'list restores.backup.dev',
      'list cronjobs.batch',
      'list jobs.batch',
      'list events',
      'list persistentvolumeclaims',
      'list persistentvolumes',
      'list volumesnapshotclasses.snapshot.storage.k8s.io',
    ],
  },
  {
    why: 'a name that is taken by an object that the cache does not know yet: is it ours?',
    rights: [
      'get backups.backup.dev',
      'get cronjobs.batch',
      'get jobs.batch',
      'get volumesnapshots.snapshot.storage.k8s.io',
    ],
  },
  { why: 'the hold of a Backup, put on its snapshot', rights: ['patch volumesnapshots.snapshot.storage.k8s.io'] },
  { why: 'an event that is told again', rights: ['patch events'] },
  { why: 'the first operator of a cluster', rights: ['create leases.coordination.k8s.io (own namespace)'] },
]

/** Sentences about rights without use and about refusals, from `since` on; none when all is well. */
export async function grantProblems(since: Date): Promise<readonly string[]> {
  const where = ['-n', releaseNamespace, 'get']
  const rights = await installedRights(kind => kubectlJson(localCluster(), [...where, kind, releaseName]))
  const logs = readdirSync(logDirectory).filter(name => name.startsWith(auditLogPrefix))
  const log = logs.map(name => readFileSync(join(logDirectory, name), 'utf8')).join('')
  const requests = requestsOf(log, `${releaseNamespace}:${releaseName}`, since)
  const explained = new Set(usedElsewhere.flatMap(each => each.rights))
  const unused = unusedRights(rights, requests, releaseNamespace).map(rightName)
  return [
    ...unused.filter(name => !explained.has(name)).map(name => `may ${name}, which no story needed`),
    ...refusals(requests).map(request => `was refused: ${request}`),
  ]
}
