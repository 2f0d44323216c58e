// In what a CronJob that stands is not the one that was written: somebody has edited it, or a webhook changes whatever is written. What
// others may add is no difference (F77): defaults, labels, sidecars, tolerations, variables of other names.
import type { Container, CronJob, EnvVar } from '../../api/kubernetes.ts'

/** Writing any of these lets the CronJob controller fire the latest past slot. */
export function sameClock(a: CronJob, b: CronJob): boolean {
  return (
    a.spec.schedule === b.spec.schedule &&
    a.spec.timeZone === b.spec.timeZone &&
    (a.spec.suspend ?? false) === (b.spec.suspend ?? false) &&
    a.spec.startingDeadlineSeconds === b.spec.startingDeadlineSeconds
  )
}

/** The fields that decide when runs start, and what runs; each named as people know it. None where all are as they should be. */
export function cronJobDifferences(current: CronJob, desired: CronJob): readonly string[] {
  const fields = ['schedule', 'timeZone', 'startingDeadlineSeconds', ...counted] as const
  const job = current.spec.jobTemplate.spec
  const wanted = desired.spec.jobTemplate.spec
  return [
    ...fields.filter(field => current.spec[field] !== desired.spec[field]),
    ...((current.spec.suspend ?? false) === (desired.spec.suspend ?? false) ? [] : ['suspend']),
    ...(['backoffLimit', 'activeDeadlineSeconds'] as const).filter(field => job[field] !== wanted[field]),
    ...containersOf(wanted).flatMap(container => {
      const standing = containersOf(job).find(({ name }) => name === container.name)
      if (!standing) return [`container ${container.name}`]
      return containerDifferences(standing, container).map(field => `${field} of container ${container.name}`)
    }),
  ]
}

const counted = ['concurrencyPolicy', 'successfulJobsHistoryLimit', 'failedJobsHistoryLimit'] as const

function containersOf({ template: { spec } }: CronJob['spec']['jobTemplate']['spec']): readonly Container[] {
  return [...(spec.initContainers ?? []), ...spec.containers]
}

function containerDifferences(current: Container, desired: Container): readonly string[] {
  const words = ['command', 'args'] as const
  return [
    ...(isSameImage(current.image, desired.image) ? [] : ['image']),
    ...words.filter(field => JSON.stringify(current[field] ?? []) !== JSON.stringify(desired[field] ?? [])),
    ...(desired.env ?? []).flatMap(({ name }) => {
      const [standing, wanted] = [lastOf(current.env, name), lastOf(desired.env, name)]
      return standing && (standing.value ?? '') === (wanted?.value ?? '') ? [] : [`variable ${name}`]
    }),
  ]
}

/** Of several of one name Kubernetes takes the last. */
function lastOf(env: readonly EnvVar[] = [], name: string): EnvVar | undefined {
  return env.findLast(each => each.name === name)
}

/**
 * Whether an image is the one that was asked for, as webhooks may write it: pinned to a digest, and taken from a mirror, whose name stands
 * before the repository's with or without its host. A mirror of another repository, another tag, or another digest is another image.
 */
export function isSameImage(current: string, desired: string): boolean {
  if (current === desired) return true
  const [is, wanted] = [partsOf(current), partsOf(desired)]
  const isThere = is.path === wanted.path || is.path.endsWith(`/${wanted.path}`)
  if (!isThere) return false
  if (wanted.digest !== undefined) return is.digest === wanted.digest
  const isPinnedAlone = is.digest !== undefined && is.tag === undefined
  return isPinnedAlone || (is.tag ?? 'latest') === (wanted.tag ?? 'latest')
}

type ImageParts = { readonly path: string; readonly tag: string | undefined; readonly digest: string | undefined }

/** Source: github.com/distribution/reference `normalize.go`: the first part is a host where it has a dot, a port, or is `localhost`. */
function partsOf(image: string): ImageParts {
  const [named = '', digest] = image.split('@', 2)
  const [, repository = named, tag] = /^(.*?)(?::([^:/]+))?$/.exec(named) ?? []
  const [host = '', ...rest] = repository.split('/')
  const path = rest.length > 0 && (/[.:]/.test(host) || host === 'localhost') ? rest.join('/') : repository
  return { path: path.replace(/^library\//, ''), tag, digest }
}
