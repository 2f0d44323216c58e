// How fast is a backup beside what people use instead, on one machine and in one run?
//
//     node bench/throughput.bench.ts [--mb 2000] [--rounds 3] [--seed 1] [--only ours,restic]
//
// A file in memory goes through a pipe into MinIO, whose disk is memory, too: by our mover with its helpers, by `zstd -3 | aws s3 cp -`,
// `zstd -3 | rclone rcat` and a first `restic backup`, one after the other in each round. Needs root: Debian's packages are installed. Prints
// the medians and one JSON object with the machine and the versions.
import { cpus, totalmem } from 'node:os'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { capture } from '../dev/command.ts'
import { openS3 } from '../src/storage/s3/s3.ts'
import { settingsOf, startS3Server, type S3Server } from '../test/storage/s3-servers.ts'
import { measured, medianOf, textOf, type Cost } from './throughput/measure.ts'
import { writeSqlLike } from './throughput/sql-like.ts'
import { installPeers, waysOf } from './throughput/ways.ts'

const { values } = parseArgs({
  options: {
    mb: { type: 'string', default: '2000' },
    rounds: { type: 'string', default: '3' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
  },
})
const only = values.only?.split(',')
/** The directories of the store and of the pods are made there. */
process.env.TMPDIR = '/dev/shm'

await installPeers()
const directory = await mkdtemp('/dev/shm/throughput-')
const file = join(directory, 'dump')
const bytes = await writeSqlLike(file, Number(values.mb) * 1e6, Number(values.seed))
await capture(['zstd', '-3', '-q', '-k', file, '-o', `${file}.zst`])
const server = await startS3Server('minio')
const costs = new Map<string, Cost[]>()
const storedBytes = new Map<string, number>()
try {
  const ways = waysOf(server, file, bytes).filter(({ name }) => only?.includes(name) ?? true)
  // Fills the compile cache that the image brings along, and what the others keep.
  for (let round = 0; round <= Number(values.rounds); round++) {
    for (const way of ways) {
      const bucket = await server.makeBucket()
      await way.prepare?.(bucket)
      const cost = await measured([server.pid], () => way.run(bucket))
      const stored = await empty(server, bucket)
      if (round === 0) continue
      costs.set(way.name, [...(costs.get(way.name) ?? []), cost])
      storedBytes.set(way.name, stored)
      console.error(`${round}: ${way.name.padEnd(14)} ${textOf(cost)}`)
    }
  }
} finally {
  await server.stop()
  await rm(directory, { recursive: true })
}

const medians = new Map([...costs].map(([name, each]) => [name, medianOf(each)]))
for (const [name, cost] of medians) console.log(`${name.padEnd(14)} ${textOf(cost)}`)
const ours = medians.get('ours')
const fastest = (...names: readonly string[]) =>
  names.flatMap(name => medians.get(name)?.seconds ?? []).sort((a, b) => a - b)[0]
const cheapest = (...names: readonly string[]) =>
  names.flatMap(name => medians.get(name)?.cpuSeconds ?? []).sort((a, b) => a - b)[0]
const uploader = cheapest('aws alone', 'rclone alone')
const zstd = medians.get('zstd alone')?.cpuSeconds
console.log(
  JSON.stringify({
    bench: 'throughput',
    bytes,
    rounds: Number(values.rounds),
    medians: Object.fromEntries(medians),
    storedBytes: Object.fromEntries(storedBytes),
    // Goals: at least 1.2, at least 1.2, at most 1.1, at most 160.
    fasterThanPipes: ratio(fastest('zstd | aws', 'zstd | rclone'), ours?.seconds),
    fasterThanRestic: ratio(medians.get('restic')?.seconds, ours?.seconds),
    cpuBesideZstdAndUploader: ratio(
      ours?.cpuSeconds,
      zstd !== undefined && uploader !== undefined ? zstd + uploader : undefined,
    ),
    machine: { cores: cpus().length, model: cpus()[0]?.model, memoryGiB: Math.round(totalmem() / 2 ** 30) },
    versions: { node: process.versions.node, zstd: process.versions.zstd },
  }),
)

function ratio(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? undefined : Math.round((one / other) * 100) / 100
}

/** @returns how many bytes were there. */
async function empty(from: S3Server, bucket: string): Promise<number> {
  const store = openS3(settingsOf(from, bucket))
  const keys: string[] = []
  let bytes = 0
  for await (const object of store.list('')) {
    keys.push(object.key)
    bytes += object.bytes
  }
  await store.delete(keys)
  store.close()
  return bytes
}
