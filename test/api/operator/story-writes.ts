// The writes of the story in operator-story.ts: how each is told from the others, and which the story must come to.
import type { Backup } from '../../../src/api/kinds/backup.ts'
import type { Restore } from '../../../src/api/kinds/restore.ts'
import type { CronJob, KubernetesObject } from '../../../src/api/kubernetes.ts'
import type { Write } from '../control-plane/api-proxy.ts'

/** As `kindOf` names them. Others depend on how quickly things happen: whether a run is seen before it has ended. */
export const writesOfTheStory: readonly string[] = [
  'POST cronjobs backup-dump',
  'PUT cronjobs backup-dump suspended',
  'PATCH cronjobs/status backup-dump',
  'PUT cronjobs backup-dump',
  'DELETE cronjobs backup-dump',
  'POST jobs probe',
  'DELETE jobs probe',
  'POST jobs start',
  'DELETE jobs start',
  'POST jobs first page',
  'POST jobs further page',
  'DELETE jobs page',
  'POST jobs run on demand',
  'DELETE jobs run on demand',
  'POST backups slot of app',
  'POST backups slot of dump',
  'POST backups pruned run',
  'POST backups lost run',
  'POST backups child of now-app',
  'POST backups child of last-app',
  'PUT backups/status slot of app Completed WithinRetention',
  'PUT backups/status slot of dump Completed',
  'PUT backups/status pruned run Completed',
  'PUT backups/status pruned run Completed BeyondRetention',
  'PUT backups/status lost run Completed',
  'PUT backups/status child of now-app Completed WithinRetention',
  'PUT backups/status child of now-app Completed BeyondRetention',
  'PUT backups/status child of last-app Completed WithinRetention',
  'PUT backups/status now-app Completed',
  'PUT backups/status last-app Completed',
  'PUT backups/status now-dump Completed',
  'PUT backups/status never-ready Failed',
  'PUT backups/status cancelled Running',
  'PUT backups/status endless Failed',
  'DELETE backups child of now-app',
  'DELETE backups now-app',
  'DELETE backups pruned run',
  'DELETE backups lost run',
  'POST volumesnapshots slot of app',
  'POST volumesnapshots child of now-app',
  'POST volumesnapshots child of last-app',
  'POST volumesnapshots never-ready',
  'POST volumesnapshots given-up',
  'PATCH volumesnapshots slot of app',
  'DELETE volumesnapshots child of now-app',
  'DELETE volumesnapshots never-ready',
  'DELETE volumesnapshots given-up',
  'POST jobs resolve',
  'POST jobs restore',
  'PUT restores/status back Completed',
  'PUT backuppolicies/status app',
  'PUT backuppolicies/status dump',
  'PUT backuppolicies/status slow',
]

/** Which part an object plays in the story, by its name: the first that fits. */
const parts: readonly (readonly [name: RegExp, part: string])[] = [
  [/^probe-/, 'probe'],
  [/^start-/, 'start'],
  [/^catalog-/, 'page'],
  [/^resolve-/, 'resolve'],
  [/^restore-/, 'restore'],
  [/^backup-dump-pruned/, 'pruned run'],
  [/^backup-dump-lost/, 'lost run'],
  [/^backup-dump-\d{8}$/, 'slot of dump'],
  [/^backup-dump-/, 'run on demand'],
  [/^app-data-/, 'slot of app'],
  [/^now-app-data-/, 'child of now-app'],
  [/^last-app-data-/, 'child of last-app'],
  [/^given-up/, 'given-up'],
  [/^never-ready/, 'never-ready'],
]

/** Method, resource and the object's part, and what of the object makes a difference: `PUT backups/status endless Failed`. */
export function kindOf({ method, path, body }: Write): string {
  const object = (body === '' ? {} : JSON.parse(body)) as KubernetesObject
  const [resource = '', name = object.metadata?.name ?? '', subresource] = path
    .replace(/^.*\/namespaces\/[^/]+\//, '')
    .split('/')
  const part = parts.find(([pattern]) => pattern.test(name))?.[1] ?? name
  const target = subresource ? `${resource}/${subresource}` : resource
  const words = [method, target, ...(method === 'POST' && part === 'page' ? [pageOf(body)] : []), part]
  if (target === 'backups/status') {
    const { phase, retention } = (object as Backup).status ?? {}
    words.push(...(phase ? [phase] : []), ...(retention ? [retention.reason] : []))
  }
  if (target === 'restores/status') words.push((object as Restore).status?.phase ?? '')
  if (method === 'PUT' && target === 'cronjobs' && (object as CronJob).spec.suspend) words.push('suspended')
  return words.join(' ')
}

/** By the task of its mover. */
const pageOf = (job: string) => (job.includes('\\"cursor\\":') ? 'further' : 'first')

/** What a write is about, whenever it is done: without times, versions and identities. */
export function fingerprint({ method, path, body }: Write): string {
  if (body === '') return `${method} ${path}`
  const { metadata, ...rest } = JSON.parse(body) as Partial<KubernetesObject>
  const text = JSON.stringify({ name: metadata?.name, ...rest })
  return `${method} ${path} ${text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME').replace(/"duration":"[^"]*"/g, '')}`
}
