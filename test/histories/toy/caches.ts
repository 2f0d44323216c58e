import { createCaches, type Caches } from '../../../src/controllers/shared/caches.ts'
import type { Client } from '../../../src/runtime/client/client.ts'
import { silentLog } from '../../../src/runtime/log.ts'
import type { RuntimeMetrics } from '../../../src/runtime/metrics.ts'

/** The caches of an operator whose watches tell nothing: a test fills them. */
export function toyCaches(client: Client): Caches {
  const metrics = { watchCache: () => {}, onRestart: () => () => {} } as unknown as RuntimeMetrics
  return createCaches({ client, log: silentLog, metrics }).caches
}
