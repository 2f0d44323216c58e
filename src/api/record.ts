/**
 * The manifest: what one backup is in the bucket (`docs/storage-format.md`). A backup exists if and only if its manifest does;
 * it is written last and deleted first.
 *
 * By hand: every key is relative to the folder of the policy, `<prefix>/<namespace>/<policy>/`. The segments of an artifact, one
 * after the other, are one zstd frame:
 *
 *     jq -r '.artifacts[0].segments[].key' manifest.json | while read -r key; do aws s3 cp "s3://BUCKET/FOLDER/$key" -; done | zstd -d > dump
 *     sha256sum dump        # .artifacts[0].sha256
 */
import { z } from 'zod'
import { cronJobName, slotOfJobName } from './names.ts'

const backupRecordVersion = 1

const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const bytes = z.int().nonnegative()
const time = z.iso.datetime()

const segmentSchema = z.object({
  /** From the policy's folder: `data/<run>/<attempt>/<artifact>.zst[.NNNN]`. */
  key: z.string().min(1).max(1024),
  /** Size and digest of the object as it is stored. */
  bytes,
  sha256,
})

const artifactSchema = z.object({
  name: z.string().min(1).max(63),
  /** One object, or several that were cut at the store's limit of parts; together one zstd frame. */
  segments: z.array(segmentSchema).min(1).max(10_000),
  /** Plain size and digest: of what the command wrote. */
  bytes,
  sha256,
  storedBytes: bytes,
  compression: z.literal('zstd'),
})

const recordSchema = z.object({
  version: z.literal(backupRecordVersion),
  /** Name of the Job. */
  run: z.string().min(1).max(63),
  jobUid: z.string().min(1).max(64),
  /** UID of the pod. */
  attempt: z.string().min(1).max(64),
  owner: z.object({
    clusterId: z.string().min(1),
    namespace: z.string().min(1),
    policy: z.string().min(1),
    policyUid: z.string().optional(),
  }),
  target: z.string().min(1).max(253),
  /** What asked for it. Absent in older manifests: the Job's name tells (`triggerOf`). */
  trigger: z.enum(['scheduled', 'on-demand']).optional(),
  /** UTC times, ISO 8601. The slot is the planned instant; of an on-demand run, when it was asked for. */
  slot: time,
  startedAt: time,
  finishedAt: time,
  artifacts: z.array(artifactSchema).min(1).max(1000),
  /**
   * Whether its size could be compared with that of other backups when it was made. `unchecked`: the store did not tell them; later
   * runs compare it, and until then it does not count. Absent in older manifests: compared.
   */
  sizeCheck: z.enum(['compared', 'unchecked']).optional(),
  /** Whether the store itself guaranteed that no other attempt wrote this manifest. */
  commit: z.enum(['conditional', 'unconditional']),
  /** Far smaller than the last good one: does not count for retention until a person accepts it. */
  suspect: z.boolean(),
  /** Programs that went on writing after the command had ended with 0. They ended well as far as one can see: their status is unknown. */
  lateWriters: z.array(z.string().min(1).max(64)).max(64).optional(),
  /** Names and versions of the programs that made it, for example `{"backup-operator": "0.1.0", "node": "26.10.0"}`. */
  tools: z.record(z.string(), z.string()),
})

export type BackupRecord = Readonly<z.infer<typeof recordSchema>>
export type BackupArtifact = BackupRecord['artifacts'][number]
export type BackupSegment = BackupArtifact['segments'][number]

export type BackupTrigger = NonNullable<BackupRecord['trigger']>

/** Jobs of a CronJob are named after their minute, those of people after the UID of a Backup. */
export function triggerOf({
  trigger,
  run,
  owner,
}: {
  readonly trigger?: BackupTrigger
  readonly run: string
  readonly owner: { readonly policy: string }
}): BackupTrigger {
  if (trigger !== undefined) return trigger
  return slotOfJobName(run, cronJobName(owner.policy)) ? 'scheduled' : 'on-demand'
}

/** The text of the manifest: JSON that a person can read. Fields may be added in a version; readers ignore what they do not know. */
export function encodeBackupRecord(record: BackupRecord): string {
  return `${JSON.stringify(recordSchema.parse(record), undefined, 2)}\n`
}

/**
 * @throws Error that says what is wrong: not JSON, another version, a field outside its bounds, or a segment outside the run's own
 * folder (whoever can write the bucket must not make a deletion reach another run).
 */
export function parseBackupRecord(text: string): BackupRecord {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new Error('the manifest is not JSON', { cause })
  }
  const version = typeof value === 'object' && value !== null && 'version' in value ? value.version : undefined
  if (version !== backupRecordVersion) {
    throw new Error(
      `the manifest has version ${JSON.stringify(version)}; this program reads version ${backupRecordVersion}`,
    )
  }
  const parsed = recordSchema.safeParse(value)
  if (!parsed.success) {
    const why = z.prettifyError(parsed.error).replaceAll('\n', '; ')
    throw new Error(`the manifest is not valid: ${why}`, { cause: parsed.error })
  }
  const record = parsed.data
  const folder = `data/${record.run}/${record.attempt}/`
  const stray = record.artifacts.flatMap(artifact => artifact.segments).find(({ key }) => !inside(folder, key))
  if (stray) throw new Error(`the manifest names the object ${stray.key}, which is outside its own folder ${folder}`)
  return record
}

function inside(folder: string, key: string): boolean {
  return key.startsWith(folder) && !key.slice(folder.length).includes('/')
}

/** Sums over the artifacts: plain and stored bytes. */
export function recordSizes(record: BackupRecord): { readonly bytes: number; readonly storedBytes: number } {
  return {
    bytes: record.artifacts.reduce((sum, artifact) => sum + artifact.bytes, 0),
    storedBytes: record.artifacts.reduce((sum, artifact) => sum + artifact.storedBytes, 0),
  }
}
