// How much does one processor encrypt and decrypt in a second? `node bench/encryption.bench.ts [--mib 4096]`
// In pieces of the size that compressed frames have; no store and no compression is in it. Prints one JSON object with the machine and the versions.
import { createSecretKey, randomBytes } from 'node:crypto'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { lastChunk, nonceBytes, payloadBytes, payloadLayout } from '../src/mover/age/payload-layout.ts'
import { PayloadOpener } from '../src/mover/age/payload-opener.ts'
import { PayloadSealer } from '../src/mover/age/payload-sealer.ts'

const MiB = 2 ** 20
const { values } = parseArgs({ options: { mib: { type: 'string', default: '4096' } } })
const fileKey = createSecretKey(randomBytes(16))
/** Bytes. */
const frameBytes = 1_500_000
const file = randomBytes(64 * MiB)
const rounds = Math.ceil(Number(values.mib) / 64)

// Sealed bytes are copied once, as an upload copies them into its part.
const target = Buffer.allocUnsafeSlow(payloadBytes(file.length)).fill(0)

function seal(plain: Buffer): Buffer {
  const sealer = new PayloadSealer(fileKey)
  let length = 0
  const write = (pieces: readonly Buffer[]) => {
    for (const piece of pieces) length += piece.copy(target, length)
  }
  for (let at = 0; at < plain.length; at += frameBytes) write(sealer.push(plain.subarray(at, at + frameBytes)))
  write(sealer.finish())
  return target.subarray(0, length)
}

function open(payload: Buffer): number {
  const layout = payloadLayout(payload.length)
  const { start, end } = lastChunk(layout)
  const source = { fileKey, nonce: payload.subarray(0, nonceBytes), layout, last: payload.subarray(start, end) }
  const reader = new PayloadOpener(source).range({ start: 0, end: layout.plainBytes })
  let bytes = 0
  for (let at = reader.sealed.start; at < reader.sealed.end; at += 65_536)
    for (const plain of reader.push(payload.subarray(at, Math.min(at + 65_536, reader.sealed.end))))
      bytes += plain.length
  reader.finish()
  return bytes
}

/** MiB a second, of the clock and of the processor's time. */
function measured(work: () => unknown) {
  work()
  const [began, used] = [performance.now(), process.cpuUsage()]
  for (let round = 0; round < rounds; round += 1) work()
  const { user, system } = process.cpuUsage(used)
  const mib = (rounds * file.length) / MiB
  return {
    perSecond: Math.round(mib / ((performance.now() - began) / 1000)),
    perCpuSecond: Math.round(mib / ((user + system) / 1e6)),
  }
}

const payload = Buffer.from(seal(file))
console.log(
  JSON.stringify({
    bench: 'encryption',
    mib: rounds * 64,
    seal: measured(() => seal(file)),
    open: measured(() => open(payload)),
    maxRssMiB: Math.round(process.resourceUsage().maxRSS / 1024),
    node: process.version,
    openssl: process.versions.openssl,
    cpu: cpus()[0]?.model,
  }),
)
