// A reporter of node's test runner that writes nothing but what the whole run came to, as one line of JSON.
import type { TestEvent } from 'node:test/reporters'

/** What a run came to; `duration` in milliseconds. */
export type Tally = {
  readonly tests: number
  readonly suites: number
  readonly passed: number
  readonly failed: number
  readonly cancelled: number
  readonly skipped: number
  readonly todo: number
  readonly duration: number
  /** What failed, in order: each as the test's name and the first line of its error. */
  readonly failures: readonly string[]
}

// oxlint-disable-next-line import/no-default-export -- the runner takes a reporter's default export
export default async function* tally(events: AsyncIterable<TestEvent>) {
  const failures: string[] = []
  for await (const { type, data } of events) {
    if (type === 'test:fail') failures.push(...failure(data.name, data.details.error))
    // Each file has a summary, too; the one without a file is the run's.
    if (type !== 'test:summary' || data.file !== undefined) continue
    // @types/node 26.6 forgot `failed`.
    const counts = data.counts as typeof data.counts & { readonly failed: number }
    const { tests, suites, passed, failed, cancelled, skipped, todo } = counts
    const total: Tally = {
      tests,
      suites,
      passed,
      failed,
      cancelled,
      skipped,
      todo,
      duration: data.duration_ms,
      failures,
    }
    yield JSON.stringify(total)
  }
}

/** Nothing for a test that failed only because one within it did. */
function failure(name: string, error: Error & { readonly failureType?: string }): readonly string[] {
  if (error.failureType === 'subtestsFailed') return []
  const [line = ''] = error.message.split('\n', 1)
  return [`${name}: ${line}`]
}
