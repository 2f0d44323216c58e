/**
 * How a store wants to be spoken to. Stores contradict each other: some demand a digest of each body, others refuse the header; some
 * take the bucket's name in the path, others in the host. What the policy leaves open is found out from the store's own refusals, in
 * each process anew: a refused request has no effect, so that the next way is tried with the same request.
 */
import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { StoreError } from '../store-error.ts'
import { factsOf } from './errors.ts'

export interface StoreMode {
  /** What goes with each body, besides the signature over its sha256. */
  readonly checksum: 'none' | 'md5' | 'crc32'
  /** Where the bucket's name is. `in the endpoint`: the policy's endpoint has it already. */
  readonly addressing: 'path' | 'host' | 'in the endpoint'
  readonly region: string
}

export interface ModeSettings {
  readonly endpoint?: string
  readonly region?: string
  readonly forcePathStyle?: boolean
}

/** Nearly all stores that are not AWS expect it. It is also the default of a policy, so that nobody can tell whether it was meant. */
const usualRegion = 'us-east-1'

export function firstMode({ endpoint, region = usualRegion, forcePathStyle }: ModeSettings): StoreMode {
  const path = forcePathStyle ?? endpoint !== undefined
  // R2, B2, Ceph, Garage and StorageGRID refuse some checksum headers; AWS takes each, and wants one where Object Lock is on.
  return { checksum: endpoint === undefined ? 'crc32' : 'none', addressing: path ? 'path' : 'host', region }
}

/** Content-MD5 first: it is the older one, and binds an upload to nothing. */
const nextChecksum = { none: 'md5', md5: 'crc32', crc32: undefined } as const

/** The mode to try after this refusal of a request that was made in `mode`; undefined when there is none. */
export function modeAfter(error: StoreError, mode: StoreMode, settings: ModeSettings): StoreMode | undefined {
  const { reason } = error
  if (reason === 'ChecksumRefused' && settings.endpoint !== undefined) {
    const checksum = nextChecksum[mode.checksum]
    return checksum && { ...mode, checksum }
  }
  if (reason === 'AddressingRefused' && mode.addressing === 'path' && settings.forcePathStyle === undefined)
    return { ...mode, addressing: 'host' }
  if (reason === 'RegionWrong' && (settings.region ?? usualRegion) === usualRegion) {
    const { region } = factsOf(error.cause)
    return region === undefined || region === mode.region ? undefined : { ...mode, region }
  }
  return undefined
}

/**
 * Whether the endpoint may have the bucket's name in its host already (`https://backups.s3.example.com` for the bucket `backups`).
 * With the name in the path as well, everything would land one folder too deep, and no list would find it.
 */
export function mayNameBucket(bucket: string, settings: ModeSettings): boolean {
  const { endpoint, forcePathStyle } = settings
  if (endpoint === undefined || forcePathStyle !== undefined) return false
  return new URL(endpoint).hostname.startsWith(`${bucket.toLowerCase()}.`)
}

/** The endpoint to which the bucket's name is to be added. */
export function endpointOf(bucket: string, mode: StoreMode, endpoint: string | undefined): string | undefined {
  if (endpoint === undefined || mode.addressing !== 'in the endpoint') return endpoint
  const url = new URL(endpoint)
  url.host = url.host.slice(bucket.length + 1)
  return url.href
}

/** For people. */
export function modeText({ checksum, addressing, region }: StoreMode): string {
  const digest = { none: 'no checksum headers', md5: 'Content-MD5', crc32: 'CRC32' }[checksum]
  const bucket = { path: 'in the path', host: 'in the host', 'in the endpoint': 'in the endpoint already' }[addressing]
  return `${digest}, bucket ${bucket}, region ${region}`
}

/** The digest that goes with a body, as fields of a request. */
export function digestOf(
  body: Uint8Array,
  { checksum }: StoreMode,
): { readonly ContentMD5?: string; readonly ChecksumCRC32?: string } {
  switch (checksum) {
    case 'none':
      return {}
    case 'md5':
      return { ContentMD5: createHash('md5').update(body).digest('base64') }
    case 'crc32': {
      const digest = Buffer.alloc(4)
      digest.writeUInt32BE(crc32(body))
      return { ChecksumCRC32: digest.toString('base64') }
    }
  }
}
