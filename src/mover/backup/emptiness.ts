/**
 * Whether an output holds nothing, in whatever form: a compressor makes some bytes of no input, an archiver of no file. Such an output is
 * what `pg_dump nosuch | gzip` leaves behind, whose status is that of gzip.
 */
import { decoders, type Decoder } from './decoders.ts'

/** What is longer holds something: a tar of nothing has 10 KiB. */
export const longestEmpty = 1 << 20
/** A tar in a gzip stream, and one more around it. */
const deepest = 2

/** What the whole output is, as words for `… of nothing`; undefined when there is something in it. At most `longestEmpty` bytes are looked at. */
export function emptyForm(output: Buffer, depth = 0): string | undefined {
  if (output.length > longestEmpty || depth > deepest) return undefined
  if (output.length === 0) return 'no byte'
  for (const { form, isEmpty } of forms) if (isEmpty(output)) return form
  for (const { form, magic, decode } of decoders) {
    if (!output.subarray(0, magic.length).equals(magic)) continue
    const inner = decoded(output, decode)
    const within = inner && emptyForm(inner, depth + 1)
    if (within) return inner.length === 0 ? form : `${form} with ${within}`
  }
  return undefined
}

const forms: readonly { readonly form: string; readonly isEmpty: (output: Buffer) => boolean }[] = [
  { form: 'a tar archive', isEmpty: output => output.length % 512 === 0 && output.every(byte => byte === 0) },
  {
    form: 'a cpio archive',
    isEmpty: output => /^0707(?:01|02|07)[^]{0,110}TRAILER!!!\0/.test(output.toString('latin1', 0, 128)),
  },
  { form: 'a zip archive', isEmpty: output => output.length === 22 && output.readUInt32LE() === 0x06054b50 },
  { form: 'the header of a pg_dump archive', isEmpty: isHeaderOfPgDump },
]

/** Undefined for what is longer than anything empty, or damaged: damage is not for us to judge. */
function decoded(output: Buffer, decode: Decoder['decode']): Buffer | undefined {
  try {
    return decode(output, longestEmpty)
  } catch {
    return undefined
  }
}

/**
 * A custom-format archive with no entry in its table of contents, or that ends before the table: `pg_backup_archiver.c` of PostgreSQL, ReadHead.
 * That of an empty database has entries.
 */
function isHeaderOfPgDump(output: Buffer): boolean {
  if (output.toString('latin1', 0, 5) !== 'PGDMP') return false
  if (output.length < 11) return true
  const version = output.readUInt8(5) * 1000 + output.readUInt8(6)
  const intBytes = output.readUInt8(8)
  if (intBytes < 1 || intBytes > 8) return false
  let offset = 11
  /** A sign and a number; undefined behind the end. */
  const int = () => {
    const bytes = output.subarray(offset, (offset += 1 + intBytes))
    if (bytes.length < 1 + intBytes) return undefined
    const size = bytes.subarray(1).reduceRight((sum, byte) => sum * 256 + byte, 0)
    return bytes[0] === 0 ? size : -size
  }
  // The compression: its level, since 1.15 its algorithm. Then the time, in seven numbers.
  if (version >= 1015) offset += 1
  else int()
  for (let count = 0; count < 7; count++) int()
  // The database, the version of the server, that of pg_dump.
  for (let count = 0; count < 3; count++) {
    const length = int() ?? 0
    offset += Math.max(0, length)
  }
  return (int() ?? 0) <= 0
}
