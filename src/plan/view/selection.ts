// What a selector selects, and whether each selected volume can be snapshotted, and with which class.
import type { Reason } from '../../api/conditions.ts'
import type {
  LabelSelector,
  PersistentVolume,
  PersistentVolumeClaim,
  VolumeSnapshotClass,
} from '../../api/kubernetes.ts'

/** metav1.LabelSelector semantics: all requirements hold. */
export function matches(selector: LabelSelector, labels: Readonly<Record<string, string>> = {}): boolean {
  const exact = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value)
  const expressions = (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
    const value = labels[key]
    switch (operator) {
      case 'In':
        return value !== undefined && values.includes(value)
      case 'NotIn':
        return value === undefined || !values.includes(value)
      case 'Exists':
        return value !== undefined
      case 'DoesNotExist':
        return value === undefined
    }
  })
  return exact && expressions
}

/** The selector as the text that the API server takes in `labelSelector`. */
export function selectorText(selector: LabelSelector): string {
  const exact = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`)
  const expressions = (selector.matchExpressions ?? []).map(({ key, operator, values = [] }) => {
    switch (operator) {
      case 'In':
        return `${key} in (${values.join(',')})`
      case 'NotIn':
        return `${key} notin (${values.join(',')})`
      case 'Exists':
        return key
      case 'DoesNotExist':
        return `!${key}`
    }
  })
  return [...exact, ...expressions].join(',')
}

export type Readiness =
  | { readonly ready: true; readonly className: string; readonly deletionPolicy: 'Delete' | 'Retain' }
  | {
      readonly ready: false
      readonly reason: Reason
      readonly message: string
      /** It may only be that our caches are not of one moment. */
      readonly passing?: true
    }

const defaultClassAnnotation = 'snapshot.storage.kubernetes.io/is-default-class'

/** Whether a claim can be snapshotted now. What is known to be wrong before creating anything fails at once, with the candidates named. */
export function readinessOf(
  claim: PersistentVolumeClaim,
  volumes: ReadonlyMap<string, PersistentVolume>,
  classes: readonly VolumeSnapshotClass[],
  named: string | undefined,
): Readiness {
  const { name, deletionTimestamp } = claim.metadata
  const no = (reason: Reason, message: string) => ({ ready: false, reason, message }) as const
  if (deletionTimestamp) return no('PVCGone', `PersistentVolumeClaim ${name} is being deleted`)
  if (claim.status?.phase === 'Lost')
    return no(
      'PVCLost',
      `the volume of PersistentVolumeClaim ${name} is gone (phase Lost); restore it into a new claim`,
    )
  const { volumeName } = claim.spec
  if (claim.status?.phase !== 'Bound' || !volumeName) {
    return no(
      'PVCPending',
      `PersistentVolumeClaim ${name} has no volume yet (phase ${claim.status?.phase ?? 'Pending'}); it gets one when a pod uses it, or when its StorageClass can provide one`,
    )
  }
  const volume = volumes.get(volumeName)
  if (!volume)
    return {
      ...no('PVCPending', `PersistentVolume ${volumeName} of PersistentVolumeClaim ${name} is not known yet`),
      passing: true,
    }
  const driver = volume.spec.csi?.driver
  if (!driver)
    return no(
      'NotACsiVolume',
      `PersistentVolume ${volumeName} of PersistentVolumeClaim ${name} is not of a CSI driver and cannot be snapshotted; use strategy job`,
    )
  return classFor(driver, classes, named, name)
}

function classFor(
  driver: string,
  classes: readonly VolumeSnapshotClass[],
  named: string | undefined,
  claim: string,
): Readiness {
  const no = (reason: Reason, message: string) => ({ ready: false, reason, message }) as const
  const yes = ({ metadata, deletionPolicy }: VolumeSnapshotClass) =>
    ({ ready: true, className: metadata.name, deletionPolicy }) as const
  const names = (some: readonly VolumeSnapshotClass[]) =>
    some
      .map(({ metadata }) => metadata.name)
      .toSorted()
      .join(', ') || 'none'
  const candidates = classes.filter(each => each.driver === driver)
  if (named !== undefined) {
    const chosen = classes.find(({ metadata }) => metadata.name === named)
    if (!chosen)
      return no(
        'SnapshotClassNotFound',
        `VolumeSnapshotClass ${named} does not exist; classes of driver ${driver}: ${names(candidates)}`,
      )
    if (chosen.driver !== driver) {
      return no(
        'DriverMismatch',
        `VolumeSnapshotClass ${named} is of driver ${chosen.driver}, but the volume of ${claim} is of driver ${driver}; classes of that driver: ${names(candidates)}`,
      )
    }
    return yes(chosen)
  }
  const [only, ...others] = candidates
  if (!only)
    return no(
      'NoSnapshotClass',
      `no VolumeSnapshotClass has driver ${driver}, which the volume of ${claim} is of; create one`,
    )
  if (others.length === 0) return yes(only)
  const defaults = candidates.filter(({ metadata }) => metadata.annotations?.[defaultClassAnnotation] === 'true')
  const [chosen, ...more] = defaults
  if (chosen && more.length === 0) return yes(chosen)
  const what = chosen
    ? `${names(defaults)} are all annotated as default`
    : `none of ${names(candidates)} is annotated as default`
  return no(
    'AmbiguousSnapshotClass',
    `several VolumeSnapshotClasses have driver ${driver}: ${what}; annotate one with ${defaultClassAnnotation}=true, or set strategy.snapshot.volumeSnapshotClassName`,
  )
}
