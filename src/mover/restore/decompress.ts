/** Stored bytes of the codec `zstd` to plain ones: frames one after the other, several of them on the thread pool at once. */
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'
import { zstdDecompress } from 'node:zlib'
import { MoverFailure } from '../failure.ts'
import { framesOf, longestPlain, type Frame } from './frames.ts'
import { isSeekTable, seekTableProblem, type SeenFrame } from './seek-table.ts'

const decompress = promisify(zstdDecompress)

/** The thread pool has four. */
const atOnce = Math.min(4, availableParallelism() + 1)
/** Of what is being decompressed, or waits to be taken: a frame that claims to be large has it alone. */
const windowBytes = 16 << 20
/** zlib takes no smaller buffer. */
const smallestBuffer = 64

interface Job {
  readonly plain: Promise<Buffer>
  readonly claim: number
}

/**
 * The plain bytes in order, a frame each. Returns only when the seek table was there, and told of exactly the frames that came.
 * @throws MoverFailure DataTampered; what `stored` throws.
 */
export async function* decompressed(stored: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const frames = framesOf(stored)
  const seen: SeenFrame[] = []
  const jobs: Job[] = []
  let claimed = 0
  let table: Buffer | undefined
  /** Until there is no room, or no frame any more. */
  async function refill(): Promise<void> {
    while (jobs.length === 0 || (jobs.length < atOnce && claimed < windowBytes)) {
      const { done, value: frame } = await frames.next()
      if (done) return
      if (table) throw new MoverFailure('DataTampered', 'the stored stream goes on after its seek table')
      if (frame.kind === 'skippable') {
        if (isSeekTable(frame.magic, frame.content)) table = frame.content
        else seen.push({ storedBytes: frame.bytes.length, plainBytes: 0, checksum: undefined })
        continue
      }
      const claim = frame.plainBytes ?? longestPlain
      const index = seen.length
      const sizes = { storedBytes: frame.bytes.length, checksum: frame.checksum }
      seen.push({ ...sizes, plainBytes: claim })
      const plain = plainOf(frame, index + 1).then(bytes => {
        seen[index] = { ...sizes, plainBytes: bytes.length }
        return bytes
      })
      // It is told when its turn comes.
      plain.catch(() => {})
      jobs.push({ plain, claim })
      claimed += claim
    }
  }
  try {
    await refill()
    for (let job = jobs.shift(); job; job = jobs.shift()) {
      const bytes = await job.plain
      claimed -= job.claim
      await refill()
      yield bytes
    }
    if (!table) throw new MoverFailure('DataTampered', 'the stored stream ends without its seek table: it was cut')
    const problem = seekTableProblem(table, seen)
    if (problem !== undefined) throw new MoverFailure('DataTampered', `the seek table of the stored stream ${problem}`)
  } finally {
    await frames.return(undefined)
  }
}

async function plainOf({ bytes, plainBytes }: Extract<Frame, { kind: 'data' }>, number: number): Promise<Buffer> {
  const maxOutputLength = plainBytes ?? longestPlain
  let plain: Buffer
  try {
    // A buffer with room to spare: zlib would ask for a second one to see that nothing more comes.
    const chunkSize = plainBytes === undefined ? 1 << 20 : Math.max(smallestBuffer, plainBytes + 1)
    plain = await decompress(bytes, { maxOutputLength: Math.max(1, maxOutputLength), chunkSize })
  } catch (cause) {
    const why = (cause as Error).message
    throw new MoverFailure('DataTampered', `frame ${number} of the stored stream cannot be read: ${why}`, { cause })
  }
  if (plainBytes === undefined || plain.length === plainBytes) return plain
  throw new MoverFailure(
    'DataTampered',
    `frame ${number} holds ${plain.length} bytes, and says that it holds ${plainBytes}`,
  )
}
