// Plays the slots of one policy, as a seed has it, and says what became of them.
import assert from 'node:assert/strict'
import { isFinal } from '../../../src/api/kinds/backup-phases.ts'
import { parseSchedule } from '../../../src/schedule/parse.ts'
import { slotsBetween } from '../../../src/schedule/schedule.ts'
import { Draw } from '../../campaign/draw.ts'
import { playAll, type Played } from '../../campaign/seeds.ts'
import { checkEnds, checkSlots, longestRunSeconds } from './accounts.ts'
import { neededByNoSlot, slotStoryOf, type SlotStory } from './slot-story.ts'
import { tellingWithReplicas, type ToyReplicas } from './replicas.ts'
import type { Telling } from './telling.ts'

export type Outcome = {
  readonly seed: number
  readonly about: string
  readonly problems: readonly string[]
  readonly slots: number
  readonly takeovers: number
  readonly refused: number
}

export async function play(seeds: readonly number[]): Promise<Played<Outcome>> {
  return playAll(seeds, 1, playOne)
}

async function playOne(seed: number): Promise<Outcome> {
  const story = slotStoryOf(new Draw(`slots ${seed}`))
  const { telling, operators } = tellingWithReplicas(story)
  const problems: string[] = []
  const start = telling.server.now
  try {
    await tell(story, telling, operators)
    const until = telling.server.now
    // What no slot needs is still refused: the slots must have their outcomes all the same.
    await operators.calm()
    operators.allowAllBut(neededByNoSlot)
    await telling.end(story.spec.startingDeadlineSeconds + longestRunSeconds + 100)
    checkSlots(telling, start, until, operators.refusedWhile.get('create backups'))
    checkNothingTwice(telling)
    checkReasons(telling)
    if (operators.allowAllBut([])) await telling.end(longestRunSeconds)
    checkSlots(telling, start, until, operators.refusedWhile.get('create backups'))
    checkNothingTwice(telling)
    checkEnds(telling)
  } catch (error) {
    problems.push(error instanceof assert.AssertionError ? error.message : String((error as Error).stack))
  }
  const range = { from: start, to: telling.server.now }
  const slots = slotsBetween(parseSchedule(story.spec.schedule), 'Etc/UTC', range, 'civil', 100_000).length
  const { takeovers, refused } = operators
  return { seed, about: inWords(story), problems, slots, takeovers, refused }
}

async function tell({ events }: SlotStory, telling: Telling, operators: ToyReplicas): Promise<void> {
  await telling.tell([])
  for (const event of events)
    switch (event.do) {
      case 'tell':
        await telling.tell([event.step])
        break
      case 'trouble':
        operators.trouble(event)
        break
      case 'hand over':
        operators.handOver(event.behind)
        break
      case 'refuse':
        operators.refuse({ ...event.refusal })
        break
      case 'allow':
        operators.allowAllBut([])
    }
}

/** A name that was given twice is a run that was made twice: nobody but the operator deletes any here. */
function checkNothingTwice({ server }: Telling): void {
  for (const plural of ['jobs', 'volumesnapshots', 'backups'] as const)
    for (const { metadata } of server.all(plural))
      assert.ok(metadata.uid?.endsWith('/1'), `${plural} ${metadata.name} was made again: ${metadata.uid}`)
}

function checkReasons({ server }: Telling): void {
  for (const { metadata, status } of server.all('backups'))
    if (isFinal(status?.phase) && status?.phase !== 'Completed')
      assert.ok(status?.reason, `Backup ${metadata.name} is ${status?.phase} for no reason`)
}

function inWords({ spec, events }: SlotStory): string {
  const words = events.map(event => {
    switch (event.do) {
      case 'tell':
        return Object.values(event.step).join(' ')
      case 'trouble':
        return `${event.what} at write ${event.atWrite}, wakes before pass ${event.wakesBefore}`
      case 'hand over':
        return `hand over${event.behind ? ', behind' : ''}`
      case 'refuse':
        return `${event.refusal.kind} is ${event.refusal.answer} ×${event.refusal.times}`
      case 'allow':
        return 'allow'
    }
  })
  return `${Object.values(spec).join(', ')}: ${words.join('; ')}`
}
