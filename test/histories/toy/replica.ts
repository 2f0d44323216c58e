// One of several processes of the operator: the real caches, observer, plans and writes, as in `operator.ts`; each write may be held up, or
// not be made at all.
import { applyPlan, type ApplyContext } from '../../../src/controllers/shared/apply.ts'
import { createObserver, probesRunning, type Observer } from '../../../src/controllers/policy/observe.ts'
import { RefusalMemory } from '../../../src/controllers/shared/refusals.ts'
import type { Caches } from '../../../src/controllers/shared/caches.ts'
import type { Client } from '../../../src/runtime/client/client.ts'
import type { Resource } from '../../../src/runtime/client/resource.ts'
import { FakeClock } from '../../../src/runtime/fake-clock.ts'
import { silentLog } from '../../../src/runtime/log.ts'
import type { KubernetesObject } from '../../../src/api/kubernetes.ts'
import { does } from '../../plan/planned.ts'
import { namespace, settings } from '../../plan/world.ts'
import { toyClient, type Plural, type ToyApiServer, type Write } from './api-server.ts'
import { fillCaches, toyCaches } from './caches.ts'
import { checkWrite, never, planWhole, type Watch } from './operator.ts'

/**
 * Runs one write, or does not, or does something else before or after it; what it throws is what the writer gets for an answer.
 * `make` gives what the API server answers.
 */
export type AroundWrite = <T>(write: Write, make: () => Promise<T>) => Promise<T>

export class Replica {
  readonly #server: ToyApiServer
  readonly #policy: string
  readonly #caches: Caches
  readonly #observe: Observer
  readonly #context: ApplyContext
  /** What it was refused dies with the process. */
  readonly #memory = new RefusalMemory()
  /** Of this pass, waiting for answers: the clock of the story stands still meanwhile. */
  #waitedMs = 0

  constructor(server: ToyApiServer, policy: string, watch: Watch, around: AroundWrite) {
    this.#server = server
    this.#policy = policy
    const plain = toyClient(server, (write, before, body, run) => {
      // What comes from an old view is refused, and need not be right.
      run()
      checkWrite(write, before, body)
      watch.onWrite(write, before, body)
    })
    const client = heldUp(plain, around)
    const clock = new FakeClock(server.now)
    clock.now = () => server.now
    clock.monotonic = () => server.now.getTime() + this.#waitedMs
    const events = { record: () => {} } as unknown as ApplyContext['events']
    this.#caches = toyCaches(client)
    this.#context = {
      client,
      caches: this.#caches,
      events,
      metrics: { observe: () => {}, observeRestore: () => {} },
      clock,
    }
    this.#observe = createObserver(this.#caches, client, settings, clock, silentLog)
  }

  /** Its watches deliver everything. */
  sync(snapshotApi: boolean): void {
    fillCaches(this.#caches, this.#server, snapshotApi)
  }

  wait(seconds: number): void {
    this.#waitedMs += seconds * 1000
  }

  /**
   * One pass.
   * `what`: the actions, for the words of a failure; none when there was nothing to do. `retryAt`: when to try again what was refused.
   */
  async reconcile(): Promise<{
    readonly what: readonly string[]
    readonly wakeAt: Date | undefined
    readonly retryAt: Date | undefined
  }> {
    this.#waitedMs = 0
    const observed = await this.#observe(namespace, this.#policy, never)
    const world = { ...observed, probesRunning: probesRunning(this.#caches, this.#server.now) }
    const plan = planWhole(world, this.#server.now)
    const { retryAt, wakeAt } = await applyPlan(this.#context, world, plan, this.#memory, silentLog, never)
    return { what: plan.actions.map(does), wakeAt, retryAt }
  }
}

function heldUp(client: Client, around: AroundWrite): Client {
  const write = (verb: Write['verb'], { plural }: Resource, name: string): Write => ({
    verb,
    plural: plural as Plural,
    name,
  })
  const through: Partial<Client> = {
    create: (resource, object, ...rest) =>
      around(write('create', resource, nameOf(object)), () => client.create(resource, object, ...rest)),
    replace: (resource, object, ...rest) =>
      around(write('update', resource, nameOf(object)), () => client.replace(resource, object, ...rest)),
    patch: (resource, namespace, name, ...rest) =>
      around(write('update', resource, name), () => client.patch(resource, namespace, name, ...rest)),
    delete: (resource, namespace, name, ...rest) =>
      around(write('delete', resource, name), () => client.delete(resource, namespace, name, ...rest)),
  }
  return Object.assign(Object.create(client) as Client, through)
}

function nameOf({ metadata }: Pick<KubernetesObject, 'metadata'>): string {
  return metadata.name
}
