/**
 * What an encrypted artifact says of itself, inside of its encryption and nowhere else (docs/storage-format.md): what else the manifest
 * would say of it, and where it belongs, so that no other can be put into its place.
 */
import { z } from 'zod'
import { engineSchema, factsSchema, type BackupRecord } from './record.ts'

/** Of the skippable frame that holds it as JSON, the last one before the seek table. */
export const sealedMagic = 0x184d2a5b

const sealedSchema = z.object({
  version: z.literal(1),
  owner: z.object({ clusterId: z.string(), namespace: z.string(), policy: z.string() }),
  target: z.string(),
  run: z.string(),
  attempt: z.string(),
  /** As in the manifest. */
  slot: z.string(),
  /** Its place among the artifacts of the manifest, from 0. */
  index: z.int().nonnegative(),
  name: z.string().min(1).max(255),
  /** Plain size and digest: of what the command wrote. */
  bytes: z.int().nonnegative(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  facts: factsSchema.optional(),
  /** As far as it was known when this artifact ended. */
  engine: engineSchema.optional(),
  lateWriters: z.array(z.string()).optional(),
})
export type SealedArtifact = Readonly<z.infer<typeof sealedSchema>>

/** The JSON. */
export function encodeSealedArtifact(sealed: Omit<SealedArtifact, 'version'>): Buffer {
  return Buffer.from(JSON.stringify(sealedSchema.parse({ version: 1, ...sealed })))
}

/** @throws Error, which repeats nothing of the text: another version, or a field outside its bounds. */
export function parseSealedArtifact(json: Buffer): SealedArtifact {
  let value: unknown
  try {
    value = JSON.parse(json.toString())
  } catch {
    throw new Error('it is not JSON')
  }
  const parsed = sealedSchema.safeParse(value)
  if (parsed.success) return parsed.data
  const fields = [...new Set(parsed.error.issues.map(({ path }) => path[0] ?? ''))].join(', ')
  throw new Error(`of another version, or wrong in ${fields}`)
}

/** The first field by which it belongs to another place than that of the manifest; undefined where it is at its place. */
export function misplacedBy(sealed: SealedArtifact, record: BackupRecord, index: number): string | undefined {
  const { owner } = sealed
  const same: readonly (readonly [string, boolean])[] = [
    ['cluster', owner.clusterId === record.owner.clusterId],
    ['namespace', owner.namespace === record.owner.namespace],
    ['policy', owner.policy === record.owner.policy],
    ['target', sealed.target === record.target],
    ['run', sealed.run === record.run],
    ['attempt', sealed.attempt === record.attempt],
    ['slot', sealed.slot === record.slot],
    ['place among the artifacts of its run', sealed.index === index],
  ]
  return same.find(([, isSame]) => !isSame)?.[0]
}
