// Whatever stops the operator, and however old its view is: nothing is restored twice, nothing that has ended is done again, and it ends.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isRestoreFinal } from '../../api/kinds/restore-phases.ts'
import type { Restore } from '../../api/kinds/restore.ts'
import type { Job, Pod } from '../../api/kubernetes.ts'
import { label } from '../../api/labels.ts'
import { podSaying, resolved, restore, restoreWorld, taskOf } from '../../../test/plan/restore-world.ts'
import { at, complete, jobFailed } from '../../../test/plan/world.ts'
import { nothingUndone, versionOf, type Action, type Unless } from '../core/actions.ts'
import { planRestore } from './plan.ts'

type Event =
  /** A pass of the operator that dies before its n-th write. Each of its caches is so many changes behind: they are not of one moment. */
  | { readonly do: 'pass'; readonly writes: number; readonly behind: number; readonly jobsBehind: number }
  /** Of the Job that stands and has not ended. */
  | { readonly do: 'end'; readonly well: boolean }
  | { readonly do: 'delete-job' }

/** Most passes are done to their end, on what is so now: only then a Restore comes far. */
const writes = fc.oneof({ weight: 3, arbitrary: fc.constant(9) }, { weight: 1, arbitrary: fc.nat(3) })
const well = fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) })
const changes = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(4) })
const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('pass' as const), writes, behind: changes, jobsBehind: changes }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('end' as const), well }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('delete-job' as const) }) },
)

type State = { readonly restore: Restore; readonly jobs: readonly Job[]; readonly pods: readonly Pod[] }

/** An API server with one Restore, which refuses what was not written on its newest state. */
class Server {
  #state: State = { restore: restore(), jobs: [], pods: [] }
  readonly #earlier: State[] = []
  readonly made: Job[] = []
  readonly phases: string[] = []
  #seconds = 10

  get now(): Date {
    return new Date(at('03:00').getTime() + this.#seconds * 1000)
  }

  get state(): State {
    return this.#state
  }

  pass({ writes, behind, jobsBehind }: Extract<Event, { readonly do: 'pass' }>): void {
    this.#seconds += 1
    const { restore: of } = this.#before(behind)
    const { jobs, pods } = this.#before(jobsBehind)
    const plan = planRestore(restoreWorld(of, { jobs, pods }), this.now)
    let left = writes
    const write = (action: Action): 'stop' | 'done' => {
      if (action.do === 'event') return 'done'
      if (left-- <= 0) return 'stop'
      return this.#write(action)
    }
    for (const { actions } of plan.groups) for (const action of actions) if (write(action) === 'stop') return
    for (const action of plan.conclude(new Map(), nothingUndone)) if (write(action) === 'stop') return
  }

  #write(action: Action): 'stop' | 'done' {
    const { restore: stored, jobs } = this.#state
    if (action.do === 'write-status') {
      const { object } = action
      if (object.metadata.resourceVersion !== stored.metadata.resourceVersion) return 'stop'
      if (action.unless && this.#saysMore(action.unless)) return 'stop'
      const written = object as Restore
      if (JSON.stringify(written.status) === JSON.stringify(stored.status)) return 'done'
      const resourceVersion = String(Number(stored.metadata.resourceVersion) + 1)
      this.phases.push(written.status?.phase ?? '')
      this.#change({ restore: { ...written, metadata: { ...written.metadata, resourceVersion } } })
    } else if (action.do === 'create') {
      const wanted = action.object as Job
      if (jobs.some(({ metadata }) => metadata.name === wanted.metadata.name)) return 'done'
      const uid = `job-${this.made.length}`
      const creationTimestamp = this.now.toISOString()
      const made = { ...wanted, metadata: { ...wanted.metadata, uid, creationTimestamp } }
      this.made.push(made)
      this.#change({ jobs: [...jobs, made] })
    } else if (action.do === 'delete')
      this.#change({ jobs: jobs.filter(({ metadata }) => metadata.uid !== action.uid) })
    return 'done'
  }

  end(well: boolean): void {
    const going = this.#state.jobs.find(({ status }) => !status?.conditions)
    if (!going) return
    const isResolve = roleOf(going) === 'resolve'
    const message = well
      ? ({ phase: 'done', ...(isResolve ? { resolved } : {}) } as const)
      : ({ phase: 'failed', reason: 'AccessDenied', message: 'no' } as const)
    const status = well ? complete(at('03:00'), this.now) : jobFailed(at('03:00'), this.now)
    const ended = { ...going, status }
    const jobs = this.#state.jobs.map(job => (job === going ? ended : job))
    this.#change({ jobs, pods: [...this.#state.pods, podSaying(ended, message)] })
  }

  /** With its pods, as the garbage collector does it. */
  deleteJob(): void {
    const [last] = this.#state.jobs.toReversed()
    if (!last) return
    const pods = this.#state.pods.filter(({ metadata }) => metadata.ownerReferences?.[0]?.uid !== last.metadata.uid)
    this.#change({ jobs: this.#state.jobs.filter(job => job !== last), pods })
  }

  /** As many changes ago; 0: now. */
  #before(changes: number): State {
    return (changes === 0 ? undefined : this.#earlier.at(-changes)) ?? this.#state
  }

  /** What the operator asks once more before a verdict. */
  #saysMore(unless: Unless): boolean {
    if (unless.kind !== 'job' && unless.kind !== 'newer-pods') return false
    const { jobs, pods } = this.#state
    if (unless.kind === 'job' && jobs.some(({ metadata }) => metadata.name === unless.name)) return true
    const own = pods.filter(({ metadata }) => metadata.ownerReferences?.[0]?.uid === unless.uid)
    return own.some(pod => !unless.seen?.includes(versionOf(pod)))
  }

  #change(change: Partial<State>): void {
    this.#earlier.push(this.#state)
    this.#state = { ...this.#state, ...change }
  }
}

const roleOf = ({ metadata }: Job) => metadata.labels?.[label.role]

/** `make test` tells the same stories every time, so that it fails for what was changed; `make test-long` tells others, and more. */
const stories = process.env['TEST_LONG'] ? { numRuns: 20_000 } : { numRuns: 300, seed: 20261130 }

const pass = { do: 'pass', writes: 9, behind: 0, jobsBehind: 0 } as const
/** It has ended, its Job was deleted, and only the cache of Jobs knows that. */
const oldView: Event[] = [pass, pass, { do: 'end', well: false }, pass, { do: 'delete-job' }, { ...pass, behind: 2 }]

test('a Restore is done once, whenever the operator dies, and ends', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 30 }), events => {
      const server = new Server()
      const madeAtEnd: number[] = []
      const tell = (each: Event) => {
        if (each.do === 'pass') server.pass(each)
        else if (each.do === 'end') server.end(each.well)
        else server.deleteJob()
        if (isRestoreFinal(server.state.restore.status?.phase)) madeAtEnd.push(server.made.length)
      }
      for (const each of events) tell(each)
      for (let round = 0; round < 12; round++) {
        tell(pass)
        tell({ do: 'end', well: true })
      }

      const { status } = server.state.restore
      assert.ok(isRestoreFinal(status?.phase), `it is ${status?.phase} at the end`)
      const finals = server.phases.filter(phase => phase === 'Completed' || phase === 'Failed')
      assert.equal(finals.length, 1, 'a final phase never changes')
      assert.equal(new Set(madeAtEnd).size, 1, 'nothing is made after the end')
      for (const job of server.made) {
        const task = taskOf(job)
        if (task.kind === 'restore') assert.equal(task.run, resolved.run)
      }
      const wasDeleted = events.some(each => each.do === 'delete-job')
      const roles = server.made.map(roleOf)
      if (!wasDeleted) assert.equal(new Set(roles).size, roles.length, 'each Job is made once')
      if (status?.phase === 'Completed') assert.ok(roles.includes('restore'))
    }),
    { ...stories, examples: [[oldView]] },
  )
})
