// Writes into a database of a story while something else happens.
import assert from 'node:assert/strict'
import { eventually } from '../../dev/eventually.ts'
import { execInPod, patience } from '../cluster.ts'

export interface Writer {
  readonly namespace: string
  readonly pod: string
  /** Shell: one transaction. */
  readonly once: string
}

/** Enough that one comes before, in and after a dump. */
const before = 20

/** @param count how many transactions have been written */
export async function writingInPod<T>(
  { namespace, pod, once }: Writer,
  count: () => Promise<number>,
  work: () => Promise<T>,
): Promise<T> {
  const stop = '/tmp/stop'
  const writing = execInPod(namespace, pod, [
    'sh',
    '-c',
    `rm -f ${stop}; until [ -e ${stop} ]; do ${once} || exit; done`,
  ])
  const ended = writing.then(() => assert.fail('the writer ended early'))
  const written = eventually('a good number of writes', async () => (await count()) > before, { seconds: patience })
  try {
    return await Promise.race([written.then(work), ended])
  } finally {
    await execInPod(namespace, pod, ['touch', stop])
    await writing
  }
}
