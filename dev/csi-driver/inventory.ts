// The volumes and snapshots of one driver process, and the rules that concern several of them.
import { resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { type LayoutName, layouts } from './layouts.ts'
import type { CapacityRange, Origin, Parameters } from './messages.ts'
import { idFor, poolBytes, Store } from './pool.ts'
import { fail, inTurn } from './rpc.ts'

export type Volume = {
  readonly id: string
  readonly name: string
  readonly bytes: number
  readonly origin?: Origin
  readonly parameters: Parameters
}

export type Snapshot = {
  readonly id: string
  readonly name: string
  readonly volumeId: string
  readonly bytes: number
  /** Milliseconds since 1970. */
  readonly takenAt: number
  readonly groupId?: string
  readonly parameters: Parameters
}

export class Inventory {
  readonly volumes: Store<Volume>
  readonly snapshots: Store<Snapshot>
  readonly #pool: string

  constructor(pool: string, layout: LayoutName) {
    this.#pool = pool
    this.volumes = new Store(resolve(pool, 'volumes'), layouts[layout])
    this.snapshots = new Store(resolve(pool, 'snapshots'), layouts[layout])
  }

  async knownVolume(id: string): Promise<Volume> {
    return (await this.volumes.get(id)) ?? fail('NOT_FOUND', `no volume ${id}`)
  }

  /** Bytes that are promised to no volume. The pool is sparse, so this is not what `df` says. */
  async freeBytes(): Promise<number> {
    const promised = (await this.volumes.list()).reduce((sum, volume) => sum + volume.bytes, 0)
    return (await poolBytes(this.#pool)) - promised
  }

  /** Call it in turn for the id of the volume. */
  async createVolume(wanted: Omit<Volume, 'bytes'>, range: CapacityRange | null): Promise<Volume> {
    const { id, name, origin, parameters } = wanted
    const existing = await this.volumes.get(id)
    if (existing) {
      // The stored origin went through JSON, which drops `undefined` and nothing else.
      if (inRange(existing.bytes, range) && isDeepStrictEqual(existing.origin, origin)) return existing
      fail('ALREADY_EXISTS', `volume ${name} exists with another size or source`)
    }
    const source = origin && (await this.#findOrigin(origin))
    const bytes = range?.required_bytes || source?.bytes || Math.min(2 ** 30, range?.limit_bytes || Infinity)
    if (!inRange(bytes, range) || (source && bytes < source.bytes))
      fail('OUT_OF_RANGE', `${bytes} bytes do not fit the limit or the source`)
    if (bytes > (await this.freeBytes())) fail('RESOURCE_EXHAUSTED', `the pool has no ${bytes} bytes left`)
    const volume: Volume = { id, name, bytes, origin, parameters }
    await this.volumes.add(volume, source)
    return volume
  }

  takeSnapshot(name: string, volumeId: string, parameters: Parameters, groupId?: string): Promise<Snapshot> {
    return inTurn(volumeId, async () => {
      const id = idFor('snap', name)
      const existing = await this.snapshots.get(id)
      if (existing && existing.volumeId !== volumeId)
        fail('ALREADY_EXISTS', `snapshot ${name} exists for volume ${existing.volumeId}`)
      if (existing) return existing
      const { bytes } = await this.knownVolume(volumeId)
      const snapshot: Snapshot = { id, name, volumeId, bytes, takenAt: Date.now(), groupId, parameters }
      await this.snapshots.add(snapshot, { store: this.volumes, id: volumeId })
      return snapshot
    })
  }

  /** The snapshots of a group; `expected`, unless empty, are the ids that the caller thinks they are. */
  async membersOf(groupId: string, expected: readonly string[] = []): Promise<Snapshot[]> {
    const members = (await this.snapshots.list()).filter(snapshot => snapshot.groupId === groupId)
    const ids = members.map(member => member.id)
    if (members.length > 0 && expected.length > 0 && !sameSet(ids, expected))
      fail('INVALID_ARGUMENT', 'snapshot_ids do not match the group')
    return members
  }

  /** The class parameters that an object was created with; empty when it does not exist. */
  async parametersOf(id: string): Promise<Parameters> {
    return (await this.volumes.get(id))?.parameters ?? (await this.snapshots.get(id))?.parameters ?? {}
  }

  async #findOrigin(origin: Origin) {
    if ('volume_id' in origin) {
      const { id, bytes } = await this.knownVolume(origin.volume_id)
      return { id, bytes, store: this.volumes }
    }
    const snapshot = (await this.snapshots.get(origin.snapshot_id)) ?? fail('NOT_FOUND', `no ${origin.snapshot_id}`)
    if (!isReady(snapshot)) fail('UNAVAILABLE', `snapshot ${snapshot.id} is not ready yet`)
    return { id: snapshot.id, bytes: snapshot.bytes, store: this.snapshots }
  }
}

/** Class parameter `readyAfter`: seconds until a taken snapshot becomes usable, or "never". */
export function isReady({ takenAt, parameters: { readyAfter = '0' } }: Snapshot): boolean {
  return readyAfter !== 'never' && Date.now() >= takenAt + Number(readyAfter) * 1000
}

export function sameSet(some: readonly string[], others: readonly string[]): boolean {
  return isDeepStrictEqual(some.toSorted(), others.toSorted())
}

function inRange(bytes: number, range: CapacityRange | null): boolean {
  return bytes >= (range?.required_bytes || 0) && bytes <= (range?.limit_bytes || Infinity)
}
