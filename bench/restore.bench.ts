// How fast does a restore read, beside what people use instead? `node bench/restore.bench.ts [--mb 2000] [--rounds 3] [--seed 1] [--only ours]`
// One backup of ours in MinIO, whose disk is memory: by our mover into `cat >/dev/null` in the command's container, every part, frame and the
// whole verified; and by `aws s3 cp` or `rclone cat` through `zstd -d`. Needs root: Debian's packages are installed. Prints the medians and one
// JSON object; fails where ours is slower than the best of the others.
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { MoverTaskInput } from '../src/api/mover/task.ts'
import { jobOf, startPod, taskFor } from '../test/mover/backup-pod.ts'
import { startS3Server } from '../test/storage/s3-servers.ts'
import { measured, medianOf, textOf, type Cost } from './throughput/measure.ts'
import { writeSqlLike } from './throughput/sql-like.ts'
import { installPeers, peerEnvironment, shellWith } from './throughput/ways.ts'

const { values } = parseArgs({
  options: {
    mb: { type: 'string', default: '2000' },
    rounds: { type: 'string', default: '3' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
  },
})
const only = values.only?.split(',')
process.env.TMPDIR = '/dev/shm'

await installPeers()
const directory = await mkdtemp('/dev/shm/restore-')
const file = join(directory, 'dump')
const bytes = await writeSqlLike(file, Number(values.mb) * 1e6, Number(values.seed))
const server = await startS3Server('minio')
const costs = new Map<string, Cost[]>()
try {
  const bucket = await server.makeBucket()
  const { accessKeyId: accessKey, secretAccessKey: secretKey } = server.credentials
  const secret = { accessKey, secretKey }
  const run = jobOf(0)
  const pod = await startPod({ task: taskFor(server, bucket), secret, command: ['cat', file], run })
  const backup = await pod.result()
  if (backup.code !== 0) throw new Error(`the backup failed: ${JSON.stringify(backup.message)}`)
  const { keys } = await server.contents(bucket)
  const key = keys.find(each => each.includes('/data/'))

  async function ours() {
    const task: MoverTaskInput = {
      version: 1,
      kind: 'restore',
      owner: { clusterId: 'cluster-1', namespace: 'shop', policy: 'orders' },
      backend: { bucket, endpoint: server.endpoint },
      secretName: 'minio-creds',
      restore: { uid: 'restore-uid-1', namespace: 'shop', name: 'back' },
      expiresAt: Date.now() + 3_600_000,
      target: 'command',
      run,
      slot: Number(run.split('-').at(-1)) * 60_000,
      startTimeoutSeconds: 60,
      stallTimeoutSeconds: 60,
    }
    const { code, message } = await (await startPod({ task, secret, command: ['sh', '-c', 'cat >/dev/null'] })).result()
    if (code !== 0) throw new Error(`the restore failed: ${JSON.stringify(message)}`)
  }
  const { aws, rclone } = peerEnvironment(server)
  const shell = shellWith({ KEY: `${bucket}/${key}`, ENDPOINT: server.endpoint })
  const ways = {
    ours,
    'aws | zstd -d': () =>
      shell('aws --endpoint-url "$ENDPOINT" s3 cp --quiet "s3://$KEY" - | zstd -dcq | cat >/dev/null', aws),
    'rclone | zstd -d': () => shell('rclone cat ":s3:$KEY" | zstd -dcq | cat >/dev/null', rclone),
  }
  for (let round = 0; round <= Number(values.rounds); round++)
    for (const [name, way] of Object.entries(ways)) {
      if (only && !only.includes(name)) continue
      const cost = await measured([server.pid], way)
      if (round === 0) continue
      costs.set(name, [...(costs.get(name) ?? []), cost])
      console.error(`${round}: ${name.padEnd(16)} ${textOf(cost)}`)
    }
} finally {
  await server.stop()
  await rm(directory, { recursive: true })
}

const medians = new Map([...costs].map(([name, each]) => [name, medianOf(each)]))
for (const [name, cost] of medians) console.log(`${name.padEnd(16)} ${textOf(cost)}`)
const mine = medians.get('ours')?.seconds
const best = [...medians].flatMap(([name, { seconds }]) => (name === 'ours' ? [] : seconds)).sort((a, b) => a - b)[0]
const faster = mine === undefined || best === undefined ? undefined : Math.round((best / mine) * 100) / 100
console.log(
  JSON.stringify({
    bench: 'restore',
    bytes,
    rounds: Number(values.rounds),
    medians: Object.fromEntries(medians),
    fasterThanBest: faster,
    machine: { cores: cpus().length, model: cpus()[0]?.model, memoryGiB: Math.round(totalmem() / 2 ** 30) },
    versions: { node: process.versions.node, zstd: process.versions.zstd },
  }),
)
if (faster !== undefined && faster < 1) throw new Error(`a restore is slower than the best of the others: ${faster}`)
