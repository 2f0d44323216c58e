/**
 * sha256 off the main thread. The thread shares the memory in which the bytes are, so that none is copied; a question is a few words for
 * some MiB. One thread for both digests of a byte, plain and stored: it computes about 1 GiB/s.
 */
import { extname, join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { DigestAnswer, DigestQuestion } from './digest-worker.ts'

export interface Digests {
  /** Where all bytes are that it is asked about. */
  readonly memory: SharedArrayBuffer
  /** Adds to the running digest. The promise settles when the bytes may be overwritten. */
  append(bytes: Buffer): Promise<void>
  /** Of what was appended since the last call; hex. */
  finish(): Promise<string>
  /** Of these bytes alone; hex. */
  digestOf(bytes: Buffer): Promise<string>
  close(): Promise<void>
}

/** `.cjs` in the bundle. */
const program = join(import.meta.dirname, `digest-worker${extname(import.meta.filename)}`)

/** `bytes` of memory are reserved; those that are never written to take none. */
export function openDigests(bytes: number): Digests {
  const memory = new SharedArrayBuffer(bytes)
  const worker = new Worker(program, { workerData: memory, name: 'digests' })
  const questions: PromiseWithResolvers<string>[] = []
  let failure: Error | undefined

  function fail(error: Error) {
    failure ??= error
    for (const { reject } of questions.splice(0)) reject(failure)
  }
  worker.on('message', (answer: DigestAnswer) => questions.shift()?.resolve(answer))
  worker.on('error', (error: Error) => fail(error))
  worker.on('exit', () => fail(new Error('the thread that computes digests has ended')))

  async function ask(question: DigestQuestion): Promise<string> {
    if (failure) throw failure
    const answer = Promise.withResolvers<string>()
    questions.push(answer)
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread is no window
    worker.postMessage(question)
    return answer.promise
  }
  const range = ({ byteOffset: offset, length }: Buffer) => ({ offset, length })

  return {
    memory,
    async append(plain) {
      await ask({ of: 'running', ...range(plain) })
    },
    finish: () => ask({ of: 'finish' }),
    digestOf: stored => ask({ of: 'alone', ...range(stored) }),
    async close() {
      await worker.terminate()
    },
  }
}
