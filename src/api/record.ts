/**
 * The manifest: what one backup is in the bucket (`docs/storage-format.md`). A backup exists if and only if its manifest does;
 * it is written last and deleted first.
 *
 * By hand: every key is relative to the folder of the policy, `<prefix>/<namespace>/<policy>/`. The segments of an artifact, one
 * after the other, are what `zstd -d` opens:
 *
 *     jq -r '.artifacts[0].segments[].key' manifest.json | while read -r key; do aws s3 cp "s3://BUCKET/FOLDER/$key" -; done | zstd -d > dump
 *     sha256sum dump        # .artifacts[0].sha256
 */
import { z } from 'zod'
import { cronJobName, slotOfJobName } from './names.ts'

const backupRecordVersion = 2

const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const bytes = z.int().nonnegative()
const time = z.iso.datetime()

const segmentSchema = z.object({
  /** From the policy's folder: `data/<run>/<attempt>/<file>[.NNNN]`. */
  key: z.string().min(1).max(1024),
  /** Size of the object as it is stored. */
  bytes,
  /** Digest of each part as it is stored: `partBytes` of the artifact each, and the last what is left. */
  parts: z.array(sha256).min(1).max(10_000),
})

/** What was done to the plain bytes, in this order. None: they are stored as they came. */
const codecs = ['zstd', 'age'] as const
export type Codec = (typeof codecs)[number]

/**
 * What an engine's own tools can tell of an artifact, for comparison with what was restored. Numbers of rows that are not `exact` are
 * estimates, and never compared.
 */
export const factsSchema = z.record(z.string(), z.json())
export type ArtifactFacts = Readonly<z.infer<typeof factsSchema>>

const streamSchema = z.object({
  kind: z.literal('stream'),
  codecs: z.array(z.enum(codecs)).max(codecs.length),
  /** Size of every stored part but the last of a segment. */
  partBytes: bytes.positive(),
  /** One object, or several that were cut at the store's limit of parts; together one stream. */
  segments: z.array(segmentSchema).min(1).max(10_000),
  storedBytes: bytes,
  /** Far smaller than in the good runs before. */
  suspect: z.literal(true).optional(),
  /**
   * Programs that went on writing after the command had ended with 0. They ended well as far as one can see: their status is unknown.
   */
  lateWriters: z.array(z.string().min(1).max(64)).max(64).optional(),
  /** Unique in its run. This and what follows is sealed inside an artifact that is encrypted, and absent here. */
  name: z.string().min(1).max(255).optional(),
  /** Plain size and digest: of what the command wrote. */
  bytes: bytes.optional(),
  sha256: sha256.optional(),
  facts: factsSchema.optional(),
})

/** By `kind`; later ones are refused by their name. */
const artifactKinds = ['stream'] as const

export const engineSchema = z.object({
  preset: z.string().min(1).max(63),
  serverVersion: z.string().min(1).max(253),
  clientVersion: z.string().min(1).max(253),
})
/** Which database it is of, and which program read it: a restore compares them before its first byte. */
export type Engine = Readonly<z.infer<typeof engineSchema>>

/** @throws Error: not JSON, or not of an engine. */
export function parseEngine(text: string): Engine {
  return parsedBy(engineSchema, text)
}

/** @throws Error: not JSON, or no object. */
export function parseArtifactFacts(text: string): ArtifactFacts {
  return parsedBy(factsSchema, text)
}

function parsedBy<T>(schema: z.ZodType<T>, text: string): T {
  const parsed = schema.safeParse(JSON.parse(text))
  if (parsed.success) return parsed.data
  throw new Error(z.prettifyError(parsed.error).replaceAll('\n', '; '), { cause: parsed.error })
}

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
  /** What asked for it. */
  trigger: z.enum(['scheduled', 'on-demand']),
  /** UTC times, ISO 8601. The slot is the planned instant; of an on-demand run, when it was asked for. */
  slot: time,
  startedAt: time,
  finishedAt: time,
  artifacts: z.array(streamSchema).min(1).max(1000),
  /** Where a preset made it, and it is not encrypted. */
  engine: engineSchema.optional(),
  /**
   * Whether its size could be compared with that of other backups when it was made. `unchecked`: the store did not tell them; later
   * runs compare it, and until then it does not count.
   */
  sizeCheck: z.enum(['compared', 'unchecked']),
  /** Whether the store itself guaranteed that no other attempt wrote this manifest. */
  commit: z.enum(['conditional', 'unconditional']),
  /** Far smaller than the last good one, or one of its artifacts is: does not count for retention until a person accepts it. */
  suspect: z.boolean(),
  /** Names and versions of the programs that made it, for example `{"backup-operator": "0.1.0", "node": "26.10.0"}`. */
  tools: z.record(z.string(), z.string()),
})

export type BackupRecord = Readonly<z.infer<typeof recordSchema>>
export type BackupArtifact = BackupRecord['artifacts'][number]
export type BackupSegment = BackupArtifact['segments'][number]

export type BackupTrigger = BackupRecord['trigger']

/** Jobs of a CronJob are named after their minute, those of people after the UID of a Backup. */
export function triggerOfRun(run: string, policy: string): BackupTrigger {
  return slotOfJobName(run, cronJobName(policy)) ? 'scheduled' : 'on-demand'
}

/** The text of the manifest: JSON that a person can read. Fields may be added in a version; readers ignore what they do not know. */
export function encodeBackupRecord(record: BackupRecord): string {
  return `${JSON.stringify(recordSchema.parse(record), undefined, 2)}\n`
}

type Json = Readonly<Record<string, unknown>>

/** What a later program may have written under this version: named, because nobody can act on a list of every field that is amiss. */
function checkKinds(value: Json): void {
  const artifacts = Array.isArray(value.artifacts) ? (value.artifacts as readonly unknown[]) : []
  for (const artifact of artifacts) {
    if (typeof artifact !== 'object' || artifact === null) continue
    const { kind, codecs: used } = artifact as Json
    if (kind !== undefined && !(artifactKinds as readonly unknown[]).includes(kind))
      throw new Error(`the manifest has an artifact of kind ${JSON.stringify(kind)}, which this program does not know`)
    const strange = Array.isArray(used)
      ? used.find(codec => !(codecs as readonly unknown[]).includes(codec))
      : undefined
    if (strange !== undefined)
      throw new Error(
        `the manifest has an artifact of codec ${JSON.stringify(strange)}, which this program does not know`,
      )
  }
}

/**
 * @throws Error that says what is wrong: not JSON, another version, kind or codec, a field outside its bounds, or a segment outside the
 * run's own folder (whoever can write the bucket must not make a deletion reach another run).
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
  checkKinds(value as Json)
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

export interface ArtifactSizes {
  /** Plain bytes; absent of what is encrypted. */
  readonly bytes?: number
  readonly storedBytes: number
}

export function recordSizes(record: BackupRecord): ArtifactSizes {
  return sizesOf(record.artifacts)
}

/** Sums over the artifacts. The plain bytes of what is encrypted nobody knows here: then there is no sum of them. */
export function sizesOf(artifacts: readonly Pick<BackupArtifact, 'bytes' | 'storedBytes'>[]): ArtifactSizes {
  let plain: number | undefined = 0
  let storedBytes = 0
  for (const { bytes: own, storedBytes: stored } of artifacts) {
    plain = own === undefined || plain === undefined ? undefined : plain + own
    storedBytes += stored
  }
  return { ...(plain === undefined ? {} : { bytes: plain }), storedBytes }
}
