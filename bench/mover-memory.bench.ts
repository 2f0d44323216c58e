// Does the mover's memory stay flat, and how fast is it? `node bench/mover-memory.bench.ts [--gib 200] [--seed 1] [--part-ms 0] [--http]`
// Prints one JSON object with the machine and the versions, and fails above the limit. 200 GiB take 40 minutes on two cores.
import { cpus, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { parseBackupRecord } from '../src/api/record.ts'
import { jobOf, startPod, taskFor } from '../test/mover/backup-pod.ts'
import { startDiscardingS3 } from './discarding-s3.ts'
import { incompressible } from './incompressible.ts'

/** docs/design.md R13. */
const mostMiB = 160

const { values } = parseArgs({
  options: {
    gib: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    'part-ms': { type: 'string', default: '0' },
    http: { type: 'boolean', default: false },
  },
})
const bytes = Number(values.gib) * 2 ** 30
const server = await startDiscardingS3({ partMs: Number(values['part-ms']), tls: !values.http })
const task = taskFor(server, 'bench', { caFile: server.caFile, jobDeadlineSeconds: 86_400 })
const secret = { accessKey: 'a', secretKey: 'b' }
// Fills the compile cache that the image brings along, when the program has just changed.
await (await startPod({ task, secret, command: ['echo', 'x'], run: jobOf(1) })).result()
const started = performance.now()
const pod = await startPod({ task, secret, command: incompressible(bytes, Number(values.seed)) })
const progress = setInterval(() => {
  const { bytes: done = 0 } = pod.message() ?? {}
  console.error(`${(done / 2 ** 30).toFixed(1)} of ${values.gib} GiB`)
}, 60_000)
const { code, message, log } = await pod.result()
clearInterval(progress)
const seconds = (performance.now() - started) / 1000
await server.stop()
if (code !== 0 || message.bytes !== bytes) throw new Error(`the mover failed: ${JSON.stringify(message)}`)
const { artifacts } = parseBackupRecord(String(server.body(message.manifest ?? '')))
const { maxRssMiB, cpuMs } = log.findLast(line => line.message === 'end') ?? {}
const rssMiB = log.filter(line => line.message === 'progress').map(line => line.rssMiB)
console.log(
  JSON.stringify({
    bench: 'mover-memory',
    gib: Number(values.gib),
    partMs: Number(values['part-ms']),
    tls: !values.http,
    segments: artifacts[0]?.segments.length,
    seconds: Math.round(seconds),
    mibPerSecond: Math.round(bytes / 2 ** 20 / seconds),
    maxRssMiB,
    rssMiBAtQuarters: [1, 2, 3, 4].map(quarter => rssMiB[Math.ceil((rssMiB.length * quarter) / 4) - 1]),
    cpuSeconds: Number(cpuMs) / 1000,
    machine: { cores: cpus().length, model: cpus()[0]?.model, memoryGiB: Math.round(totalmem() / 2 ** 30) },
    versions: { node: process.versions.node, zstd: process.versions.zstd },
  }),
)
if (!(Number(maxRssMiB) <= mostMiB)) throw new Error(`the mover took ${String(maxRssMiB)} MiB, more than ${mostMiB}`)
