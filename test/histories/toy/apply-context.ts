import type { ApplyContext } from '../../../src/controllers/shared/apply.ts'
import type { Client } from '../../../src/runtime/client/client.ts'
import type { FakeClock } from '../../../src/runtime/fake-clock.ts'
import type { EventNote } from '../../../src/runtime/events.ts'
import type { KubernetesObject } from '../../../src/api/kubernetes.ts'
import { toyCaches } from './caches.ts'

/** What a plan is carried out with, where nobody looks at metrics. `record`: hears the events. */
export function applyContext(
  client: Client,
  clock: FakeClock,
  {
    caches = toyCaches(client),
    record = () => {},
  }: {
    readonly caches?: ApplyContext['caches']
    readonly record?: (about: KubernetesObject, note: EventNote) => void
  } = {},
): ApplyContext {
  return { client, caches, events: { record }, metrics: { observe() {} }, clock } as unknown as ApplyContext
}
