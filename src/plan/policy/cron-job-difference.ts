// In what a CronJob that stands is not the one that was written: somebody has edited it, or a webhook changes whatever is written. What
// others may add is no difference (F77): defaults, labels, sidecars, tolerations, variables of other names.
import type { Container, CronJob, EnvVar, JobSpec, PodSpec } from '../../api/kubernetes.ts'

/** Writing any of these lets the CronJob controller fire the latest past slot. */
export function sameClock(current: CronJob, desired: CronJob): boolean {
  return clockDifferences(current, desired).length === 0
}

function clockDifferences({ spec: current }: CronJob, { spec: desired }: CronJob): readonly string[] {
  const times = ['schedule', 'timeZone', 'startingDeadlineSeconds'] as const
  return [...times.filter(field => current[field] !== desired[field]), ...suspendDifference(current, desired)]
}

type Suspendable = { readonly suspend?: boolean }

function suspendDifference(current: Suspendable, desired: Suspendable): readonly string[] {
  return (current.suspend ?? false) === (desired.suspend ?? false) ? [] : ['suspend']
}

/** The fields that decide when runs start, and what runs; each named as people know it. None where all are as they should be. */
export function cronJobDifferences(current: CronJob, desired: CronJob): readonly string[] {
  const counts = ['concurrencyPolicy', 'successfulJobsHistoryLimit', 'failedJobsHistoryLimit'] as const
  const { metadata, spec: job } = current.spec.jobTemplate
  const { metadata: wantedMetadata, spec: wanted } = desired.spec.jobTemplate
  return [
    ...clockDifferences(current, desired),
    ...counts.filter(field => current.spec[field] !== desired.spec[field]),
    ...jobDifferences(job, wanted),
    ...metadataDifferences(metadata, wantedMetadata, 'the Job'),
    ...metadataDifferences(job.template.metadata, wanted.template.metadata, 'the pod'),
    ...podDifferences(job.template.spec, wanted.template.spec),
    ...containersOf(wanted).flatMap(container => {
      const standing = containersOf(job).find(({ name }) => name === container.name)
      if (!standing) return [`container ${container.name}`]
      return containerDifferences(standing, container).map(field => `${field} of container ${container.name}`)
    }),
  ]
}

function jobDifferences(current: JobSpec, desired: JobSpec): readonly string[] {
  const asIs = ['backoffLimit', 'activeDeadlineSeconds', 'ttlSecondsAfterFinished'] as const
  return [
    ...asIs.filter(field => current[field] !== desired[field]),
    // The API server writes 1 where nobody says anything.
    ...(['parallelism', 'completions'] as const).filter(field => (current[field] ?? 1) !== (desired[field] ?? 1)),
    ...suspendDifference(current, desired).map(field => `${field} of the Job`),
    ...(covers(current.podFailurePolicy, desired.podFailurePolicy) ? [] : ['podFailurePolicy']),
  ]
}

/** Jobs and pods are found by their labels, and a Job says by annotation which store it was made for. */
function metadataDifferences(current: Metadata, desired: Metadata, what: string): readonly string[] {
  const fields = ['labels', 'annotations'] as const
  return fields.filter(field => !covers(current?.[field], desired?.[field])).map(field => `${field} of ${what}`)
}

type Metadata = CronJob['spec']['jobTemplate']['metadata']

function podDifferences(current: PodSpec, desired: PodSpec): readonly string[] {
  const standing = new Map((current.volumes ?? []).map(volume => [volume.name, volume]))
  return [
    ...(current.activeDeadlineSeconds === desired.activeDeadlineSeconds ? [] : ['activeDeadlineSeconds of the pod']),
    ...desired.volumes.filter(volume => !covers(standing.get(volume.name), volume)).map(({ name }) => `volume ${name}`),
  ]
}

function containersOf({ template: { spec } }: CronJob['spec']['jobTemplate']['spec']): readonly Container[] {
  return [...(spec.initContainers ?? []), ...spec.containers]
}

function containerDifferences(current: Container, desired: Container): readonly string[] {
  const words = ['command', 'args'] as const
  return [
    ...(isSameImage(current.image, desired.image) ? [] : ['image']),
    ...words.filter(field => JSON.stringify(current[field] ?? []) !== JSON.stringify(desired[field] ?? [])),
    ...(isWithin(desired.envFrom ?? [], current.envFrom ?? []) ? [] : ['envFrom']),
    ...(desired.env ?? []).flatMap(({ name }) => {
      const [standing, wanted] = [lastOf(current.env, name), lastOf(desired.env, name)]
      return standing && wanted && isSameVariable(standing, wanted) ? [] : [`variable ${name}`]
    }),
  ]
}

function isSameVariable(current: EnvVar, desired: EnvVar): boolean {
  if ((current.value ?? '') !== (desired.value ?? '')) return false
  return (
    (current.valueFrom === undefined) === (desired.valueFrom === undefined) &&
    covers(current.valueFrom, desired.valueFrom)
  )
}

/** In their order, because of two sources of one variable the last counts; others may stand between them. */
function isWithin(desired: readonly Source[], current: readonly Source[]): boolean {
  const left = [...desired]
  for (const source of current) {
    const [next] = left
    if (next && (source.prefix ?? '') === (next.prefix ?? '') && covers(source, next)) left.shift()
  }
  return left.length === 0
}

type Source = { readonly prefix?: string }

/**
 * Whether all that is wanted stands: objects may have more, which the API server's defaults and webhooks add, lists may not. What is empty is not
 * written by the API server.
 */
function covers(current: unknown, desired: unknown): boolean {
  if (desired === undefined || desired === current) return true
  if (typeof desired !== 'object' || desired === null)
    return current === undefined && (desired === '' || desired === false)
  if (Array.isArray(desired)) {
    const standing = current ?? []
    if (!Array.isArray(standing) || standing.length !== desired.length) return false
    return desired.every((each, n) => covers(standing[n], each))
  }
  if (typeof current !== 'object' || current === null) return false
  return Object.entries(desired).every(([field, value]) => covers((current as Record<string, unknown>)[field], value))
}

/** Of several of one name Kubernetes takes the last. */
function lastOf(env: readonly EnvVar[] = [], name: string): EnvVar | undefined {
  return env.findLast(each => each.name === name)
}

/**
 * Whether an image is the one that was asked for, as webhooks may write it: pinned to a digest, and taken from a mirror, whose host stands
 * before the repository's name with or without its own. A mirror of another repository, another tag, or another digest is another image.
 */
export function isSameImage(current: string, desired: string): boolean {
  if (current === desired) return true
  const [is, wanted] = [partsOf(current), partsOf(desired)]
  // Without a host it is a repository of the same registry, and somebody else's image.
  const isMirrored = is.host !== undefined && is.path.endsWith(`/${wanted.path}`)
  const isThere = is.path === wanted.path || isMirrored
  if (!isThere) return false
  if (wanted.digest !== undefined) return is.digest === wanted.digest
  const isPinnedAlone = is.digest !== undefined && is.tag === undefined
  return isPinnedAlone || (is.tag ?? 'latest') === (wanted.tag ?? 'latest')
}

type ImageParts = {
  readonly host: string | undefined
  readonly path: string
  readonly tag: string | undefined
  readonly digest: string | undefined
}

/** Source: github.com/distribution/reference `normalize.go`: the first part is a host where it has a dot, a port, or is `localhost`. */
function partsOf(image: string): ImageParts {
  const [named = '', digest] = image.split('@', 2)
  const [, repository = named, tag] = /^(.*?)(?::([^:/]+))?$/.exec(named) ?? []
  const [first = '', ...rest] = repository.split('/')
  const host = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost') ? first : undefined
  const path = host === undefined ? repository : rest.join('/')
  return { host, path: path.replace(/^library\//, ''), tag, digest }
}
