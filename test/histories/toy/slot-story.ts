// What a seed plays on the slots of one policy: time that goes by, and what happens to the two processes of the operator meanwhile.
import type { Draw } from '../../campaign/draw.ts'
import { jobFates } from './kube.ts'
import { snapshotFates } from './snapshot-controller.ts'
import type { Refusal, Trouble, WriteKind } from './replicas.ts'
import { targets, type Step, type Story } from './stories.ts'

export type SlotEvent =
  | { readonly do: 'tell'; readonly step: Step }
  | ({ readonly do: 'trouble' } & Trouble)
  | { readonly do: 'hand over'; readonly behind: boolean }
  | { readonly do: 'refuse'; readonly refusal: Refusal }
  | { readonly do: 'allow' }

export type SlotStory = Omit<Story, 'steps'> & { readonly events: readonly SlotEvent[] }

/** No slot needs these: they may be refused until the end, and every slot must have its outcome all the same. */
export const neededByNoSlot: readonly WriteKind[] = [
  'delete jobs',
  'delete backups',
  'delete volumesnapshots',
  'delete cronjobs',
  'update cronjobs',
  'create jobs',
]
export const neededBySlots: readonly WriteKind[] = [
  'create backups',
  'update backups',
  'update backuppolicies',
  'create volumesnapshots',
  'create cronjobs',
]

const troubles = ['dies before it', 'dies after it', 'sleeps before it', 'sleeps with it on the way'] as const

export function slotStoryOf(draw: Draw): SlotStory {
  const schedule = draw.pick(['*/5 * * * *', '*/5 * * * *', '*/10 * * * *', '*/20 * * * *', '0 * * * *'])
  const count = draw.between(8, 16)
  return {
    spec: {
      strategy: draw.pick(['job', 'snapshot'] as const),
      schedule,
      timeZone: 'Etc/UTC',
      retention: draw.between(1, 3),
      startingDeadlineSeconds: draw.pick([60, 600, 3600]),
    },
    fates: {
      jobs: ['commits', ...Array.from({ length: draw.between(1, 4) }, () => draw.pick(jobFates))],
      snapshots: ['ready at once', ...Array.from({ length: draw.between(1, 4) }, () => draw.pick(snapshotFates))],
    },
    events: Array.from({ length: count }, () => eventsOf(draw)).flat(),
  }
}

/** Something happens, and then some slots come. */
function eventsOf(draw: Draw): readonly SlotEvent[] {
  const seconds = draw.pick([1, 61, 299, 300, 600, 1200, 1800, 3600])
  return [somethingOf(draw), { do: 'tell', step: { do: 'wait', seconds } }]
}

function somethingOf(draw: Draw): SlotEvent {
  const tell = (step: Step): SlotEvent => ({ do: 'tell', step })
  const chance = draw.below(100)
  if (chance < 40)
    return { do: 'trouble', what: draw.pick(troubles), atWrite: draw.between(1, 12), wakesBefore: draw.between(0, 3) }
  if (chance < 50) return { do: 'hand over', behind: draw.chance(50) }
  if (chance < 65) return { do: 'refuse', refusal: refusalOf(draw) }
  if (chance < 72) return { do: 'allow' }
  if (chance < 77) return tell({ do: 'operator', up: draw.chance(60) })
  if (chance < 81) return tell({ do: 'cron controller', up: draw.chance(60) })
  if (chance < 85) return tell({ do: 'lag', passes: draw.below(3) })
  if (chance < 88) return tell({ do: 'store', usable: draw.chance(60) })
  if (chance < 94) return tell({ do: 'back up now' })
  if (chance < 97) return tell({ do: 'claim phase', phase: draw.pick(['Bound', 'Bound', 'Pending'] as const) })
  return tell({ do: 'claims', names: draw.chance(70) ? targets : [targets[0]] })
}

function refusalOf(draw: Draw): Refusal {
  const kind = draw.pick([...neededByNoSlot, ...neededBySlots])
  if (draw.chance(50)) return { kind, answer: draw.pick([403, 422, 500] as const), times: Number.POSITIVE_INFINITY }
  return { kind, answer: draw.pick([403, 422, 500, 503, 'no answer'] as const), times: draw.between(1, 4) }
}
