// Which parameters of zstd suit dumps? `node bench/compression.bench.ts [--mb 200] [--rounds 5] [FILE...]`
// Frames as a backup makes them, two at once, in memory: ours beside zstd's levels 1 to 3. Files are cut at --mb; without any, rows as a dump
// has them. Prints a table for each file, medians; `size` and `CPU` as a share of level 3.
import { open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { constants, createZstdCompress } from 'node:zlib'
import { zstdParameters } from '../src/mover/backup/compression-level.ts'
import { frameBytes } from '../src/mover/backup/encoder.ts'
import { writeSqlLike } from './throughput/sql-like.ts'

const { values, positionals } = parseArgs({
  options: { mb: { type: 'string', default: '200' }, rounds: { type: 'string', default: '5' } },
  allowPositionals: true,
})
const most = Number(values.mb) * 1e6
const lanes = 2
const level = (number: number) => ({ [constants.ZSTD_c_compressionLevel]: number })
const ways = { ours: zstdParameters.usual, 'level 1': level(1), 'level 2': level(2), 'level 3': level(3) }
type Way = keyof typeof ways
type Cost = { readonly seconds: number; readonly cpuSeconds: number; readonly stored: number }

for (const file of positionals) table(basename(file), await compare(await head(file)))
if (positionals.length === 0) {
  const file = join(tmpdir(), `rows-${process.pid}`)
  try {
    await writeSqlLike(file, most, 1)
    table('rows', await compare(await head(file)))
  } finally {
    await rm(file, { force: true })
  }
}

async function head(file: string): Promise<Buffer> {
  const handle = await open(file)
  try {
    const { size } = await handle.stat()
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(Math.min(size, most)))
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

async function compare(bytes: Buffer): Promise<ReadonlyMap<Way, Cost>> {
  const costs = new Map<Way, Cost[]>()
  for (let round = 0; round < Number(values.rounds); round++)
    for (const way of Object.keys(ways) as Way[])
      costs.set(way, [...(costs.get(way) ?? []), await compress(bytes, way)])
  return new Map([...costs].map(([way, each]) => [way, medianOf(each)]))
}

async function compress(bytes: Buffer, way: Way): Promise<Cost> {
  const started = performance.now()
  const before = process.cpuUsage()
  let stored = 0
  let offset = 0
  async function lane() {
    const params = { ...ways[way], [constants.ZSTD_c_checksumFlag]: 1 }
    const zstd = createZstdCompress({ chunkSize: 1 << 20, flush: constants.ZSTD_e_end, params })
    zstd.on('data', (piece: Buffer) => void (stored += piece.length))
    while (offset < bytes.length) {
      const frame = bytes.subarray(offset, (offset += frameBytes))
      await new Promise<void>((resolve, reject) => zstd.write(frame, error => (error ? reject(error) : resolve())))
    }
    zstd.destroy()
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  const { user, system } = process.cpuUsage(before)
  return { seconds: (performance.now() - started) / 1000, cpuSeconds: (user + system) / 1e6, stored }
}

function medianOf(each: readonly Cost[]): Cost {
  const median = (of: (cost: Cost) => number) => each.map(of).sort((a, b) => a - b)[Math.floor(each.length / 2)] ?? NaN
  return { seconds: median(c => c.seconds), cpuSeconds: median(c => c.cpuSeconds), stored: median(c => c.stored) }
}

function table(name: string, costs: ReadonlyMap<Way, Cost>) {
  const beside = costs.get('level 3')
  if (!beside) return
  console.log(name)
  for (const [way, { seconds, cpuSeconds, stored }] of costs) {
    const [size, cpu] = [stored / beside.stored, cpuSeconds / beside.cpuSeconds]
    console.log(`  ${way.padEnd(8)} ${seconds.toFixed(2)} s  size ${size.toFixed(3)}  CPU ${cpu.toFixed(2)}`)
  }
}
