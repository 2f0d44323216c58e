/**
 * Where everything is in the bucket (`docs/storage-format.md`, docs/design.md R11). Below `<prefix>/<namespace>/<policy>/`:
 *
 *     owner.json                                          whose folder this is
 *     manifests/<target>/<YYYYMMDDThhmmssZ>-<run>.json    one per backup: the backup exists if and only if this does
 *     data/<run>/<attempt>/<artifact>.zst[.NNNN]          never overwritten; without .zst where it is stored as it came
 *     data/<run>/<attempt>/<NNNN>.zst.age[.NNNN]          encrypted: names are secret
 *     holds/<run>.json                                    somebody asked that this run be kept
 *     pins/<restore uid>.json                             a restore needs this run until it ends
 *     proofs/<run>/<YYYYMMDDThhmmssZ>.json                every byte of this run was read back, and was right
 *     uploads/<run>.<attempt>.<seq>.json                  one per open multipart upload
 *     uploads/probe.json                                  the same of the probe, of which there is one at a time
 *     probe.json                                          written and removed by the probe, and where the owner's mark may not be read
 */
import { slotText } from '../../api/names.ts'
import type { Codec } from '../../api/record.ts'

export interface Layout {
  /** The policy's folder, with a slash at its end. */
  readonly root: string
  readonly owner: string
  readonly probe: string
  readonly manifests: string
  readonly data: string
  readonly holds: string
  readonly pins: string
  readonly proofs: string
  readonly uploads: string
  readonly probeUpload: string
}

export interface Attempt {
  /** Name of the Job. */
  readonly run: string
  /** UID of the pod. */
  readonly attempt: string
}

export function layoutOf(place: {
  readonly prefix?: string
  readonly namespace: string
  readonly policy: string
}): Layout {
  const prefix = (place.prefix ?? '').split('/').filter(part => part !== '')
  const root = `${[...prefix, place.namespace, place.policy].join('/')}/`
  return {
    root,
    owner: `${root}owner.json`,
    probe: `${root}probe.json`,
    manifests: `${root}manifests/`,
    data: `${root}data/`,
    holds: `${root}holds/`,
    pins: `${root}pins/`,
    proofs: `${root}proofs/`,
    uploads: `${root}uploads/`,
    probeUpload: `${root}uploads/probe.json`,
  }
}

/** Targets are names of Kubernetes objects; anything else in them is percent-encoded, so that a target is one folder. */
export function manifestFolder(layout: Layout, target: string): string {
  return `${layout.manifests}${encodeURIComponent(target)}/`
}

export function manifestKey(layout: Layout, target: string, slot: Date, run: string): string {
  return `${manifestFolder(layout, target)}${slotText(slot)}-${run}.json`
}

/** Slot and run of a manifest's key; undefined for a key that is none. */
export function parseManifestKey(layout: Layout, key: string): ManifestName | undefined {
  if (!key.startsWith(layout.manifests)) return undefined
  const match = /^([^/]+)\/(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-([^/]+)\.json$/.exec(
    key.slice(layout.manifests.length),
  )
  if (!match) return undefined
  const [, target = '', year, month, day, hours, minutes, seconds, run = ''] = match
  const slot = new Date(`${year}-${month}-${day}T${hours}:${minutes}:${seconds}Z`)
  const name = decoded(target)
  return name === undefined || Number.isNaN(slot.getTime()) ? undefined : { target: name, slot, run }
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

export interface ManifestName {
  readonly target: string
  readonly slot: Date
  readonly run: string
}

export function attemptFolder(layout: Layout, { run, attempt }: Attempt): string {
  return `${layout.data}${run}/${attempt}/`
}

/**
 * Segments are numbered from 0; the first has no number, so that a backup of one segment is a plain `.zst` file. Characters of the name
 * other than letters, digits and `-_.!~*'()` are percent-encoded.
 */
export function segmentKey(
  layout: Layout,
  attempt: Attempt,
  artifact: string,
  segment: number,
  codecs: readonly Codec[] = ['zstd'],
): string {
  const form = `${codecs.includes('zstd') ? '.zst' : ''}${codecs.includes('age') ? '.age' : ''}`
  const suffix = segment === 0 ? '' : `.${String(segment).padStart(4, '0')}`
  return `${attemptFolder(layout, attempt)}${encodeURIComponent(artifact)}${form}${suffix}`
}

/** Run and attempt of a data object's key; undefined for a key that is none. */
export function parseDataKey(layout: Layout, key: string): Attempt | undefined {
  if (!key.startsWith(layout.data)) return undefined
  const [run, attempt, file, ...rest] = key.slice(layout.data.length).split('/')
  return run && attempt && file && rest.length === 0 ? { run, attempt } : undefined
}

/** What stands for the name of an encrypted artifact in its keys. `index` from 0. */
export function sealedFile(index: number): string {
  return String(index).padStart(4, '0')
}

export function uploadRecordKey(layout: Layout, { run, attempt }: Attempt, sequence: number): string {
  return `${layout.uploads}${run}.${attempt}.${sequence}.json`
}

export function holdKey(layout: Layout, run: string): string {
  return `${layout.holds}${run}.json`
}

/** The run of a hold's key; undefined for a key that is none. */
export function parseHoldKey(layout: Layout, key: string): string | undefined {
  if (!key.startsWith(layout.holds)) return undefined
  return /^([^/]+)\.json$/.exec(key.slice(layout.holds.length))?.[1]
}

/** `restore`: the UID of the Restore. */
export function pinKey(layout: Layout, restore: string): string {
  return `${layout.pins}${restore}.json`
}

export function proofKey(layout: Layout, run: string, at: Date): string {
  return `${layout.proofs}${run}/${slotText(at)}.json`
}
