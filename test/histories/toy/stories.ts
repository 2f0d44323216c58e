// Random stories about one policy: what people, clusters and crashes do to it.
import * as fc from 'fast-check'
import type { Death } from './operator.ts'
import { jobFates, type Fates } from './kube.ts'
import { snapshotFates } from './snapshot-controller.ts'

export const targets = ['data', 'logs'] as const
/** What a preset may find. */
export const workloads = ['db', 'cache'] as const

export type Spec = {
  readonly strategy: 'job' | 'preset' | 'snapshot'
  readonly schedule: string
  readonly timeZone: string
  readonly retention: number
  readonly startingDeadlineSeconds: number
}

export type Step =
  | { readonly do: 'wait'; readonly seconds: number }
  | { readonly do: 'operator'; readonly up: boolean }
  | { readonly do: 'cron controller'; readonly up: boolean }
  | { readonly do: 'lag'; readonly passes: number }
  | { readonly do: 'edit'; readonly spec: Partial<Spec> }
  | { readonly do: 'suspend'; readonly value: boolean }
  | { readonly do: 'delete policy' }
  | { readonly do: 'create policy' }
  | { readonly do: 'back up now'; readonly target?: string }
  | { readonly do: 'delete'; readonly what: 'backups' | 'volumesnapshots' | 'jobs' | 'cronjobs'; readonly nth: number }
  | {
      readonly do: 'annotate'
      readonly which: 'hold' | 'accepted'
      readonly value: 'true' | 'false'
      readonly nth: number
    }
  | { readonly do: 'workloads'; readonly names: readonly string[] }
  | { readonly do: 'claims'; readonly names: readonly string[] }
  | { readonly do: 'claim phase'; readonly phase: 'Bound' | 'Pending' | 'Lost' }
  | { readonly do: 'classes'; readonly count: number }
  | { readonly do: 'snapshot API'; readonly installed: boolean }
  | { readonly do: 'store'; readonly usable: boolean }
  | { readonly do: 'lose a stored run'; readonly nth: number }
  | { readonly do: 'suspend the CronJob by hand' }

export type Story = { readonly spec: Spec; readonly fates: Fates; readonly steps: readonly Step[] }

const nth = fc.nat({ max: 7 })
const wait = fc.record({
  do: fc.constant('wait' as const),
  seconds: fc.constantFrom(1, 10, 61, 400, 1200, 3600, 3600, 7300),
})
const deadlines = fc.constantFrom(30, 600, 3600)

export const spec: fc.Arbitrary<Spec> = fc.record({
  strategy: fc.constantFrom('job', 'snapshot'),
  schedule: fc.constantFrom('0 * * * *', '30 */3 * * *', '*/20 * * * *', 'H 2 * * *'),
  timeZone: fc.constantFrom('Etc/UTC', 'Etc/UTC', 'Asia/Kolkata'),
  retention: fc.integer({ min: 1, max: 3 }),
  startingDeadlineSeconds: deadlines,
})

export const fates: fc.Arbitrary<Fates> = fc.record({
  jobs: fc.array(fc.constantFrom('commits', 'commits', ...jobFates), { minLength: 1, maxLength: 6 }),
  snapshots: fc.array(fc.constantFrom('ready at once', ...snapshotFates), { minLength: 1, maxLength: 5 }),
})

const outage: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('operator' as const), up: fc.boolean() }),
  fc.record({ do: fc.constant('cron controller' as const), up: fc.boolean() }),
  fc.record({ do: fc.constant('lag' as const), passes: fc.nat({ max: 2 }) }),
  fc.record({ do: fc.constant('store' as const), usable: fc.boolean() }),
  fc.record({ do: fc.constant('snapshot API' as const), installed: fc.boolean() }),
  fc.record({ do: fc.constant('classes' as const), count: fc.nat({ max: 2 }) }),
  fc.record({ do: fc.constant('claims' as const), names: fc.subarray([...targets]) }),
  fc.record({ do: fc.constant('claim phase' as const), phase: fc.constantFrom('Bound', 'Pending', 'Lost') }),
)

const edit: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant('edit' as const),
    spec: fc.oneof(
      fc.record({ schedule: fc.constantFrom('0 * * * *', '*/20 * * * *', '*/5 * * * *', '45 1 * * *') }),
      fc.record({ retention: fc.integer({ min: 1, max: 4 }) }),
      fc.record({ strategy: fc.constantFrom('job' as const, 'snapshot' as const) }),
      fc.record({ startingDeadlineSeconds: deadlines }),
      fc.record({ timeZone: fc.constantFrom('Etc/UTC', 'Asia/Kolkata') }),
    ),
  }),
  fc.record({ do: fc.constant('suspend' as const), value: fc.boolean() }),
  fc.record({ do: fc.constant('suspend the CronJob by hand' as const) }),
)

const life: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('delete policy' as const) }),
  fc.record({ do: fc.constant('create policy' as const) }),
)

const backupsAndData: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('back up now' as const) }),
  fc.record({ do: fc.constant('back up now' as const), target: fc.constantFrom('command', 'data', 'nothing') }),
  fc.record({
    do: fc.constant('delete' as const),
    what: fc.constantFrom('backups', 'backups', 'volumesnapshots', 'jobs', 'cronjobs'),
    nth,
  }),
  fc.record({
    do: fc.constant('annotate' as const),
    which: fc.constantFrom('hold', 'accepted'),
    value: fc.constantFrom('true', 'true', 'false'),
    nth,
  }),
  fc.record({ do: fc.constant('lose a stored run' as const), nth }),
)

export const story: fc.Arbitrary<Story> = fc.record({
  spec,
  fates,
  steps: fc.array(
    fc.oneof(
      { arbitrary: wait, weight: 10 },
      { arbitrary: outage, weight: 2 },
      { arbitrary: edit, weight: 3 },
      { arbitrary: life, weight: 1 },
      { arbitrary: backupsAndData, weight: 3 },
    ),
    { minLength: 1, maxLength: 14 },
  ),
})

/** For so long that more Jobs come and go than the CronJob's history holds, where the schedule is a busy one. */
const operatorAway: fc.Arbitrary<readonly Step[]> = fc.constantFrom(6, 9).map(hours => [
  { do: 'operator', up: false },
  { do: 'wait', seconds: hours * 3600 },
  { do: 'operator', up: true },
])

const calmStep: fc.Arbitrary<Step> = fc.oneof(
  { arbitrary: wait, weight: 5 },
  { arbitrary: outage, weight: 2 },
  {
    arbitrary: fc.oneof(
      fc.record({ do: fc.constant('back up now' as const) }),
      fc.record({ do: fc.constant('delete' as const), what: fc.constantFrom('backups', 'volumesnapshots'), nth }),
      fc.record({
        do: fc.constant('edit' as const),
        spec: fc.record({ retention: fc.integer({ min: 1, max: 4 }) }),
      }),
    ),
    weight: 1,
  },
)

/** Steps in which nothing happens to the policy and its schedule, so that every slot must be accounted for. */
export const calmStory: fc.Arbitrary<Story> = fc.record({
  spec,
  fates,
  steps: fc
    .array(fc.oneof({ arbitrary: calmStep.map(step => [step]), weight: 12 }, { arbitrary: operatorAway, weight: 1 }), {
      minLength: 1,
      maxLength: 14,
    })
    .map(steps => steps.flat()),
})

const ofPreset = <T extends { readonly spec: Spec }>(told: T): T => ({
  ...told,
  spec: { ...told.spec, strategy: 'preset' },
})

const presetStep: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('workloads' as const), names: fc.subarray([...workloads]) }),
  fc.record({ do: fc.constant('back up now' as const), target: fc.constantFrom('command', ...workloads) }),
  fc.record({
    do: fc.constant('edit' as const),
    spec: fc.record({ strategy: fc.constantFrom('job' as const, 'snapshot' as const, 'preset' as const) }),
  }),
)

/** About a policy whose targets are workloads, which come and go. */
export const presetStory: fc.Arbitrary<Story> = fc.record({
  spec: spec.map(each => ofPreset({ spec: each }).spec),
  fates,
  steps: fc.array(
    fc.oneof(
      { arbitrary: wait, weight: 10 },
      { arbitrary: outage, weight: 2 },
      { arbitrary: edit, weight: 2 },
      { arbitrary: life, weight: 1 },
      { arbitrary: backupsAndData, weight: 2 },
      { arbitrary: presetStep, weight: 3 },
    ),
    { minLength: 1, maxLength: 14 },
  ),
})

/** The same workloads from its beginning to its end. */
export const calmPresetStory: fc.Arbitrary<Story> = calmStory.map(ofPreset)

export const death: fc.Arbitrary<Death> = fc.record({
  atWrite: fc.nat({ max: 60 }),
  when: fc.constantFrom('before', 'after'),
  behind: fc.subarray(['backuppolicies', 'backups', 'cronjobs', 'jobs', 'pods', 'volumesnapshots']),
})
