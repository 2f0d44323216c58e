// What the VolumeSnapshotContents of ready snapshots say. It is for words only: whatever the API server does with the reads, no Backup waits for them.
import type { KubernetesObject, VolumeSnapshot } from '../../api/kubernetes.ts'
import type { PolicyWorld } from '../../plan/view/world.ts'
import type { Client } from '../../runtime/client/client.ts'
import type { Clock } from '../../runtime/clock.ts'
import { snapshotContents } from '../shared/resources.ts'

type Content = KubernetesObject & { readonly spec: { readonly deletionPolicy: 'Delete' | 'Retain' } }
type DeletionPolicies = PolicyWorld['deletionPolicies']

/** So long a pass reads contents at most; what it has not read by then is not told. Far less than a pass may take. */
const readMs = 5000

/** Reads that go on side by side: with one after the other, a slow API server would answer for a few snapshots of a slot only. */
const readsAtOnce = 8

/** The deletion policies of contents, each read once, and known as long as its snapshot is asked about. */
export class SnapshotContents {
  readonly #client: Pick<Client, 'get'>
  readonly #clock: Clock
  readonly #known = new Map<string, DeletionPolicies>()

  constructor(client: Pick<Client, 'get'>, clock: Clock) {
    this.#client = client
    this.#clock = clock
  }

  /**
   * By the name of the content; without those that are refused, not there, or not read in time.
   * @param key of the policy that the snapshots belong to; what is known of others of that policy is forgotten
   * @throws what the signal was aborted with, and nothing else
   */
  async deletionPolicies(
    key: string,
    snapshots: readonly VolumeSnapshot[],
    signal: AbortSignal,
  ): Promise<DeletionPolicies> {
    const names = new Set(snapshots.flatMap(({ status }) => status?.boundVolumeSnapshotContentName ?? []))
    const found = new Map([...(this.#known.get(key) ?? [])].filter(([name]) => names.has(name)))
    try {
      await this.#read([...names].filter(name => !found.has(name)).values(), found, signal)
    } finally {
      if (found.size > 0) this.#known.set(key, found)
      else this.#known.delete(key)
    }
    return found
  }

  async #read(
    names: IterableIterator<string>,
    found: Map<string, 'Delete' | 'Retain'>,
    signal: AbortSignal,
  ): Promise<void> {
    const late = new AbortController()
    const cancel = this.#clock.timer(readMs, () => late.abort(new Error(`not read within ${readMs / 1000} s`)))
    const either = AbortSignal.any([signal, late.signal])
    const read = async () => {
      // Each takes the next name, and ends with its first failure: what is refused to one is refused to all.
      for (const name of names) {
        const content = await this.#client.get<Content>(snapshotContents, undefined, name, { signal: either })
        if (content) found.set(name, content.spec.deletionPolicy)
      }
    }
    await Promise.allSettled(Array.from({ length: readsAtOnce }, read))
    cancel()
    signal.throwIfAborted()
  }
}
