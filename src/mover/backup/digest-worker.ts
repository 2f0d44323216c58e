/**
 * The thread that computes digests, of bytes in memory that it shares with the main one. A program of its own: the bundle has it as a file
 * (tools/bundle.ts). It answers each question, in order.
 */
import { createHash, hash } from 'node:crypto'
import { parentPort, workerData, type MessagePort } from 'node:worker_threads'

/** A range of the shared memory: to be added to the running digest, or digested alone. `finish`: the running digest, and a new one. */
export type DigestQuestion =
  | { readonly of: 'running' | 'alone'; readonly offset: number; readonly length: number }
  | { readonly of: 'finish' }

/** Hex; empty for `running`. */
export type DigestAnswer = string

function serve(port: MessagePort, memory: SharedArrayBuffer) {
  const bytes = Buffer.from(memory)
  let running = createHash('sha256')
  port.on('message', (question: DigestQuestion) => port.postMessage(answer(question)))

  function answer(question: DigestQuestion): DigestAnswer {
    if (question.of === 'finish') {
      const digest = running.digest('hex')
      running = createHash('sha256')
      return digest
    }
    const range = bytes.subarray(question.offset, question.offset + question.length)
    if (question.of === 'alone') return hash('sha256', range)
    running.update(range)
    return ''
  }
}

// Loaded by the main thread when the image is made, and only there.
if (parentPort) serve(parentPort, workerData as SharedArrayBuffer)
