// A reporter of node's test runner that writes nothing but the counts of the whole run, as one line of JSON.
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
}

// oxlint-disable-next-line import/no-default-export -- the runner takes a reporter's default export
export default async function* tally(events: AsyncIterable<TestEvent>) {
  for await (const { type, data } of events) {
    // Each file has a summary, too; the one without a file is the run's.
    if (type !== 'test:summary' || data.file !== undefined) continue
    // @types/node 26.6 forgot `failed`.
    const counts = data.counts as typeof data.counts & { readonly failed: number }
    const { tests, suites, passed, failed, cancelled, skipped, todo } = counts
    const total: Tally = { tests, suites, passed, failed, cancelled, skipped, todo, duration: data.duration_ms }
    yield JSON.stringify(total)
  }
}
