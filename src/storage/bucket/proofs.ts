/** Proofs: `proofs/<run>/<time>.json` says that every byte of a run was read back from the bucket, and was what its manifest says. */
import { z } from 'zod'
import { proofKey, type Layout } from './layout.ts'
import type { ObjectStore } from '../object-store.ts'

const sha256 = z.string().regex(/^[0-9a-f]{64}$/)

const proofSchema = z.object({
  version: z.literal(1),
  run: z.string().min(1).max(63),
  /** Of the manifest's text: the proof is of what it said then. */
  manifestSha256: sha256,
  /** How it was proven. `verify`: all bytes were read and checked, and restored into nothing. */
  mode: z.enum(['verify']),
  /** Begun at, and how long it took. */
  at: z.iso.datetime(),
  seconds: z.number().nonnegative(),
  /** UID of the Restore. */
  by: z.string().min(1).max(64),
  /** Name, plain size and plain digest are absent of what is encrypted. */
  artifacts: z
    .array(
      z.object({
        storedBytes: z.int().nonnegative(),
        name: z.string().min(1).max(255).optional(),
        bytes: z.int().nonnegative().optional(),
        sha256: sha256.optional(),
      }),
    )
    .min(1)
    .max(1000),
})
export type Proof = Readonly<z.infer<typeof proofSchema>>

function encodeProof(proof: Omit<Proof, 'version'>): string {
  return `${JSON.stringify(proofSchema.parse({ version: 1, ...proof }), undefined, 2)}\n`
}

/** @returns its key. */
export async function writeProof(
  store: ObjectStore,
  layout: Layout,
  proof: Omit<Proof, 'version'>,
  signal?: AbortSignal,
): Promise<string> {
  const key = proofKey(layout, proof.run, new Date(proof.at))
  await store.put(key, Buffer.from(encodeProof(proof)), signal)
  return key
}
