// An API server in memory: names, uids and versions as the real one has them, and nothing else. Deterministic: the same history
// gives the same uids, whatever order its writes come in.
import assert from 'node:assert/strict'
import type { Backup } from '../../../src/api/kinds/backup.ts'
import type { BackupPolicy } from '../../../src/api/kinds/backup-policy.ts'
import type {
  CronJob,
  Job,
  JobEvent,
  KubernetesObject,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  VolumeSnapshot,
  VolumeSnapshotClass,
} from '../../../src/api/kubernetes.ts'
import type { Client } from '../../../src/runtime/client/client.ts'
import { ApiError } from '../../../src/runtime/client/errors.ts'
import type { WriteOptions } from '../../../src/runtime/client/requests.ts'
import type { Resource } from '../../../src/runtime/client/resource.ts'
import { namespace, stamp } from '../../plan/world.ts'

export type Kinds = {
  readonly backuppolicies: BackupPolicy
  readonly backups: Backup
  readonly cronjobs: CronJob
  readonly jobs: Job
  readonly pods: Pod
  readonly events: JobEvent
  readonly persistentvolumeclaims: PersistentVolumeClaim
  readonly persistentvolumes: PersistentVolume
  readonly volumesnapshots: VolumeSnapshot
  readonly volumesnapshotclasses: VolumeSnapshotClass
  readonly volumesnapshotcontents: KubernetesObject & { readonly spec: object }
}
export type Plural = keyof Kinds

type Preconditions = { readonly uid?: string; readonly resourceVersion?: string }

/** The process that writes was killed. */
export class Crash extends Error {
  override readonly name = 'Crash'
}

export type Write = { readonly verb: 'create' | 'update' | 'delete'; readonly plural: Plural; readonly name: string }

const clusterWide: ReadonlySet<string> = new Set([
  'persistentvolumes',
  'volumesnapshotclasses',
  'volumesnapshotcontents',
])

export class ToyApiServer {
  now: Date
  /** What its own clock says, where that of the operator, `now`, is wrong. */
  ownTime: Date | undefined
  readonly #objects = new Map<Plural, Map<string, KubernetesObject>>()
  readonly #incarnations = new Map<string, number>()
  /** Grows with every change. */
  version = 1
  /** The version that the last change of each kind has made. */
  readonly #changed = new Map<Plural, number>()

  /** What an admission webhook makes of what the operator writes, also in a dry run. */
  webhook: <T extends KubernetesObject>(object: T) => T = object => object

  constructor(now: Date) {
    this.now = now
  }

  all<K extends Plural>(plural: K): readonly Kinds[K][] {
    return [...(this.#objects.get(plural)?.values() ?? [])] as unknown as readonly Kinds[K][]
  }

  get<K extends Plural>(plural: K, name: string): Kinds[K] | undefined {
    return this.#objects.get(plural)?.get(name) as Kinds[K] | undefined
  }

  /** The version of the last change of a kind; 0 where there was none. */
  changedAt(plural: Plural): number {
    return this.#changed.get(plural) ?? 0
  }

  /** Status comes by writes of its own. */
  create<K extends Plural>(plural: K, object: Omit<Kinds[K], 'status'>): Kinds[K] {
    const { metadata } = object as KubernetesObject
    const { name } = metadata
    if (this.get(plural, name)) throw conflict('AlreadyExists', `${plural} "${name}" already exists`)
    const key = `${plural}/${name}`
    const incarnation = (this.#incarnations.get(key) ?? 0) + 1
    this.#incarnations.set(key, incarnation)
    const { status: _, ...rest } = object as { readonly status?: unknown }
    const created = {
      ...rest,
      metadata: {
        ...metadata,
        ...(clusterWide.has(plural) ? {} : { namespace }),
        uid: `${key}/${incarnation}`,
        generation: 1,
        creationTimestamp: stamp(this.ownTime ?? this.now),
      },
    }
    return this.#store(plural, created as unknown as Kinds[K])
  }

  /** A write of a controller or a person who has just read what is there. */
  update<K extends Plural>(plural: K, name: string, change: (current: Kinds[K]) => Kinds[K]): Kinds[K] | undefined {
    const current = this.get(plural, name)
    return current && this.#store(plural, change(current))
  }

  /** As PUT does it: over the version that was read, the spec or the status alone. */
  replace<K extends Plural>(plural: K, object: Kinds[K], subresource: string | undefined): Kinds[K] {
    const { name, resourceVersion } = object.metadata
    const current = this.get(plural, name)
    if (!current) throw notFound(plural, name)
    if (resourceVersion !== undefined && resourceVersion !== current.metadata.resourceVersion)
      throw conflict('Conflict', `${plural} "${name}" was changed meanwhile`)
    const { status } = object as { readonly status?: unknown }
    if (subresource === 'status') return this.#store(plural, { ...current, status })
    const { status: kept } = current as { readonly status?: unknown }
    const { uid, creationTimestamp, generation = 1 } = current.metadata
    const metadata = { ...object.metadata, uid, creationTimestamp, generation: generation + 1 }
    return this.#store(plural, { ...object, metadata, status: kept })
  }

  remove(plural: Plural, name: string): void {
    if (this.#objects.get(plural)?.delete(name)) this.#changed.set(plural, ++this.version)
  }

  /** VolumeSnapshots have finalizers: the snapshot controller lets go of them later. */
  delete(plural: Plural, name: string, preconditions: Preconditions = {}) {
    const current = this.get(plural, name)
    if (!current) return false
    const { uid, resourceVersion } = current.metadata
    if (preconditions.uid !== undefined && preconditions.uid !== uid)
      throw conflict('Conflict', `${plural} "${name}" has another uid`)
    if (preconditions.resourceVersion !== undefined && preconditions.resourceVersion !== resourceVersion)
      throw conflict('Conflict', `${plural} "${name}" has another version`)
    if (plural !== 'volumesnapshots') this.remove(plural, name)
    else if (!current.metadata.deletionTimestamp)
      this.update('volumesnapshots', name, snapshot => ({
        ...snapshot,
        metadata: { ...snapshot.metadata, deletionTimestamp: stamp(this.now) },
      }))
    return true
  }

  #collectedAt: number | undefined
  /**
   * What a person deletes with `--cascade=background`: dependents go when the garbage collector comes by.
   * @param uidsThatStay what has a grace period that is not over, or had one: what goes when it is over is a change.
   */
  collectGarbage(uidsThatStay: ReadonlySet<string>): void {
    if (this.#collectedAt === this.version) return
    for (let found = true; found;) {
      found = false
      const uids = new Set([...this.#objects.values()].flatMap(some => [...some.values()].map(o => o.metadata.uid)))
      for (const [plural, some] of this.#objects) {
        for (const { metadata } of some.values()) {
          const owners = metadata.ownerReferences ?? []
          if (owners.length === 0 || owners.some(({ uid }) => uids.has(uid))) continue
          if (uidsThatStay.has(metadata.uid ?? '')) continue
          this.remove(plural, metadata.name)
          found = true
        }
      }
    }
    this.#collectedAt = this.version
  }

  /** Everything but versions and generations (how often the same was written), for comparing the ends of two histories. */
  dump(): Readonly<Record<string, unknown>> {
    const found: Record<string, unknown> = {}
    for (const [plural, some] of this.#objects)
      for (const { metadata, ...object } of some.values()) {
        const { resourceVersion: _, generation: __, ...rest } = metadata
        found[`${plural}/${metadata.name}`] = { ...object, metadata: rest }
      }
    return Object.fromEntries(Object.entries(found).toSorted(([a], [b]) => (a < b ? -1 : 1)))
  }

  #store<K extends Plural>(plural: K, object: Kinds[K]): Kinds[K] {
    const metadata = { ...object.metadata, resourceVersion: String(++this.version) }
    this.#changed.set(plural, this.version)
    const stored = { ...object, metadata }
    const some = this.#objects.get(plural) ?? new Map<string, KubernetesObject>()
    this.#objects.set(plural, some.set(metadata.name, stored))
    return stored
  }
}

/**
 * The client of one process of the operator.
 * @param around runs each write, by default as it is: it may throw a Crash instead of it, or after it; it sees what was there before.
 */
export function toyClient(
  server: ToyApiServer,
  around: (write: Write, before: KubernetesObject | undefined, body: object | undefined, run: () => void) => void = (
    _write,
    _before,
    _body,
    run,
  ) => run(),
): Client {
  function written<T>(write: Write, body: object | undefined, run: () => T): T {
    let result: { readonly value: T } | undefined
    around(write, server.get(write.plural, write.name), body, () => {
      result = { value: run() }
    })
    if (!result) throw new Error('the write was neither made nor refused')
    return result.value
  }
  function label(plural: Plural, name: string, uid: string, labels: Readonly<Record<string, string | null>>) {
    assert.equal(plural, 'volumesnapshots')
    return written({ verb: 'update', plural, name }, undefined, () => {
      const current = server.get('volumesnapshots', name)
      if (!current) throw notFound(plural, name)
      if (current.metadata.uid !== uid) throw conflict('Conflict', `${plural} "${name}" has another uid`)
      const merged = Object.entries({ ...current.metadata.labels, ...labels }).filter(([, value]) => value !== null)
      return server.update('volumesnapshots', name, object => ({
        ...object,
        metadata: { ...object.metadata, labels: Object.fromEntries(merged) as Readonly<Record<string, string>> },
      }))
    })
  }
  const client = {
    serverTime: () => server.ownTime ?? server.now,
    async get(resource: Resource, _: unknown, name: string) {
      return server.get(pluralOf(resource), name)
    },
    async list(resource: Resource, options: { readonly labelSelector?: string; readonly fieldSelector?: string }) {
      const { fieldSelector = '' } = options
      const name = /^metadata\.name=(.*)$/.exec(fieldSelector)?.[1]
      const wanted = (options.labelSelector ?? '').split(',').map(part => part.split('='))
      const items = server
        .all(pluralOf(resource))
        .filter(({ metadata }) => name === undefined || metadata.name === name)
        .filter(({ metadata }) => wanted.every(([key = '', value]) => metadata.labels?.[key] === value))
      return { items, resourceVersion: '' }
    },
    async create(resource: Resource, object: Kinds[Plural], { dryRun }: WriteOptions = {}) {
      const admitted = server.webhook(object)
      if (dryRun) return admitted
      const plural = pluralOf(resource)
      const write = { verb: 'create', plural, name: object.metadata.name } as const
      return written(write, object, () => server.create(plural, admitted))
    },
    async replace(
      resource: Resource,
      object: Kinds[Plural],
      options: WriteOptions & { readonly subresource?: string },
    ) {
      const admitted = options.subresource ? object : server.webhook(object)
      if (options.dryRun) return admitted
      const plural = pluralOf(resource)
      const write = { verb: 'update', plural, name: object.metadata.name } as const
      return written(write, object, () => server.replace(plural, admitted, options.subresource))
    },
    /** Only what the operator patches, by merge, with its uid: the status of a CronJob, and the hold of a VolumeSnapshot. */
    async patch(
      resource: Resource,
      _: unknown,
      name: string,
      patch: {
        readonly body: {
          readonly metadata: { readonly uid: string; readonly labels?: Readonly<Record<string, string | null>> }
          readonly status?: CronJob['status']
        }
      },
    ) {
      const { labels } = patch.body.metadata
      if (labels) return label(pluralOf(resource), name, patch.body.metadata.uid, labels)
      assert.equal(resource.plural, 'cronjobs')
      const { metadata, status } = patch.body
      return written({ verb: 'update', plural: 'cronjobs', name }, patch.body, () => {
        const current = server.get('cronjobs', name)
        if (!current) throw notFound('cronjobs', name)
        if (current.metadata.uid !== metadata.uid) throw conflict('Conflict', `cronjobs "${name}" has another uid`)
        return server.update('cronjobs', name, object => ({ ...object, status: { ...object.status, ...status } }))
      })
    },
    async delete(resource: Resource, _: unknown, name: string, options: Preconditions) {
      const plural = pluralOf(resource)
      return written({ verb: 'delete', plural, name }, undefined, () => server.delete(plural, name, options))
    },
  }
  return client as unknown as Client
}

function pluralOf({ plural }: Resource): Plural {
  return plural as Plural
}

function conflict(reason: 'AlreadyExists' | 'Conflict', message: string): ApiError {
  return new ApiError({ request: 'toy', status: 409, reason, message })
}

function notFound(plural: string, name: string): ApiError {
  return new ApiError({ request: 'toy', status: 404, reason: 'NotFound', message: `${plural} "${name}" not found` })
}
