// A file of rows as a dump has them, of any length: it becomes 0.45 of its size with zstd -3.
import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { once } from 'node:events'

const rowsAtOnce = 20_000

/** The same bytes for the same seed. @returns how many there are: whole rows. */
export async function writeSqlLike(file: string, atLeast: number, seed: number): Promise<number> {
  const out = createWriteStream(file)
  let bytes = 0
  for (let block = 0; bytes < atLeast; block++) {
    const text = rows(`${seed}.${block}`)
    bytes += text.length
    if (!out.write(text)) await once(out, 'drain')
  }
  out.end()
  await once(out, 'close')
  return bytes
}

function rows(seed: string): string {
  let random = createHash('sha512').update(seed).digest()
  let text = ''
  for (let row = 0; row < rowsAtOnce; row++) {
    random = createHash('sha512').update(random).digest()
    const words = [20, 22, 24].map(offset => (random.readUInt16LE(offset) % 5000).toString(36).repeat(3))
    const [id, amount, day] = [random.readUInt32LE(0), random.readUInt16LE(4), 1 + (random.readUInt8(6) % 28)]
    text += `${id}\t${random.toString('hex', 8, 16)}\t${words.join(' ')}\t${amount}.${random.readUInt8(7) % 100}\t2026-01-${day}\tt\n`
  }
  return text
}
