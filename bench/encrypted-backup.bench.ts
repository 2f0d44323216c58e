// What does encryption cost a backup? `node bench/encrypted-backup.bench.ts [--gib 4] [--rounds 3] [--content incompressible|rows]`
// The same bytes with and without recipients, one after the other, against a store that throws them away: once bytes that do not compress,
// of which every one is sealed, and once such as a dump has. Prints one JSON object; `ratio` is the throughput with encryption as a share
// of that without, by the mover's own time on the processor, and by the clock. Fails below 0.85 (by the processor) or above the memory limit.
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from 'age-encryption'
import { jobOf, startPod, taskFor, type BackupTaskInput } from '../test/mover/backup-pod.ts'
import { startDiscardingS3 } from './discarding-s3.ts'
import { incompressible } from './incompressible.ts'

const leastRatio = 0.85
/** docs/design.md R13. */
const mostMiB = 160

const { values } = parseArgs({
  options: {
    gib: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
    content: { type: 'string' },
  },
})
const bytes = Number(values.gib) * 2 ** 30
const server = await startDiscardingS3()
const secret = { accessKey: 'a', secretKey: 'b' }
const ways = {
  plain: undefined,
  x25519: { recipients: [await identityToRecipient(await generateX25519Identity())] },
  hybrid: { recipients: [await identityToRecipient(await generateHybridIdentity())] },
} satisfies Record<string, BackupTaskInput['encryption']>
type Way = keyof typeof ways

/** Rows of text with numbers of no order: zstd makes a third of them. */
const rows = [
  'sh',
  '-c',
  `openssl enc -aes-128-ctr -K ${'1'.repeat(32)} -iv ${'0'.repeat(32)} -in /dev/zero 2>/dev/null | od -An -v -tu4 -w32 | head -c ${bytes}`,
]
const contents = { incompressible: incompressible(bytes, 1), rows }

let run = 0
async function measured(way: Way, command: readonly string[]) {
  const task = taskFor(server, 'bench', { caFile: server.caFile, jobDeadlineSeconds: 86_400, encryption: ways[way] })
  const started = performance.now()
  const pod = await startPod({ task, secret, command, run: jobOf(run++) })
  const { code, message, log } = await pod.result()
  const seconds = (performance.now() - started) / 1000
  if (code !== 0) throw new Error(`the mover failed: ${JSON.stringify(message)}`)
  const { maxRssMiB, cpuMs } = log.findLast(line => line.message === 'end') ?? {}
  return { seconds, cpuSeconds: Number(cpuMs) / 1000, maxRssMiB: Number(maxRssMiB), storedBytes: message.storedBytes }
}

type Measured = Awaited<ReturnType<typeof measured>>

/** The best of all rounds: what disturbs only ever adds. */
function best(all: readonly Measured[]) {
  return {
    seconds: round(Math.min(...all.map(({ seconds }) => seconds))),
    cpuSeconds: round(Math.min(...all.map(({ cpuSeconds }) => cpuSeconds))),
    maxRssMiB: Math.max(...all.map(({ maxRssMiB }) => maxRssMiB)),
    storedMiB: Math.round((all[0]?.storedBytes ?? 0) / 2 ** 20),
  }
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}

await measured('hybrid', ['echo', 'x'])
const results: Record<string, Record<Way, ReturnType<typeof best>>> = {}
for (const [name, command] of Object.entries(contents)) {
  if (values.content !== undefined && values.content !== name) continue
  const all: Record<Way, Measured[]> = { plain: [], x25519: [], hybrid: [] }
  for (let nth = 0; nth < Number(values.rounds); nth++)
    for (const way of ['plain', 'x25519', 'hybrid'] as const) all[way].push(await measured(way, command))
  results[name] = { plain: best(all.plain), x25519: best(all.x25519), hybrid: best(all.hybrid) }
}
await server.stop()
const ratio = Object.fromEntries(
  Object.entries(results).map(([name, { plain, x25519 }]) => [
    name,
    { byProcessor: round(plain.cpuSeconds / x25519.cpuSeconds), byClock: round(plain.seconds / x25519.seconds) },
  ]),
)
console.log(
  JSON.stringify({
    bench: 'encrypted-backup',
    gib: Number(values.gib),
    ratio,
    results,
    node: process.version,
    cpu: cpus()[0]?.model,
  }),
)
for (const [name, { byProcessor }] of Object.entries(ratio))
  if (!(byProcessor >= leastRatio))
    throw new Error(`${name}: ${byProcessor} of the throughput, less than ${leastRatio}`)
for (const [name, { x25519, hybrid }] of Object.entries(results))
  if (!(Math.max(x25519.maxRssMiB, hybrid.maxRssMiB) <= mostMiB))
    throw new Error(`${name}: the mover took more than ${mostMiB} MiB`)
