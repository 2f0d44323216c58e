import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { expandHash, parseSchedule } from './parse.ts'
import {
  clockChangeEffect,
  nextSlot,
  planSlots,
  slotsBetween,
  summarizeSlots,
  validateTimeZone,
  type SlotQuestion,
  type SlotRule,
} from './schedule.ts'

const zones = [
  'Etc/UTC',
  'Europe/Berlin',
  'Australia/Lord_Howe',
  'America/Sao_Paulo',
  'America/Santiago',
  'Pacific/Chatham',
  'Africa/Cairo',
]
const minuteMs = 60_000
const hourMs = 60 * minuteMs

function slots(text: string, zone: string, from: string, to: string, rule: SlotRule = 'civil'): readonly string[] {
  return slotsBetween(parseSchedule(text), zone, { from: new Date(from), to: new Date(to) }, rule, 1000).map(slot =>
    slot.toISOString().replace(':00.000Z', 'Z'),
  )
}

function values(max: number) {
  return fc.uniqueArray(fc.integer({ min: 0, max }), { minLength: 1, maxLength: 4 })
}

describe('the civil rule', () => {
  test('Berlin: a time in the gap fires once, right after it; a time in the overlap fires once, in the first pass', () => {
    assert.deepEqual(slots('30 2 * * *', 'Europe/Berlin', '2026-03-28T12:00Z', '2026-03-30T12:00Z'), [
      '2026-03-29T01:00Z',
      '2026-03-30T00:30Z',
    ])
    assert.deepEqual(slots('30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00Z', '2026-10-26T12:00Z'), [
      '2026-10-25T00:30Z',
      '2026-10-26T01:30Z',
    ])
  })

  test('Berlin: many times in one gap, and one at its end, are one slot', () => {
    assert.deepEqual(slots('*/20 2,3 * * *', 'Europe/Berlin', '2026-03-28T23:00Z', '2026-03-29T12:00Z'), [
      '2026-03-29T01:00Z',
      '2026-03-29T01:20Z',
      '2026-03-29T01:40Z',
    ])
  })

  test('Lord Howe: half an hour is skipped and repeated', () => {
    assert.deepEqual(slots('15 2 * * *', 'Australia/Lord_Howe', '2026-10-03T00:00Z', '2026-10-05T00:00Z'), [
      '2026-10-03T15:30Z',
      '2026-10-04T15:15Z',
    ])
    assert.deepEqual(slots('45 1 * * *', 'Australia/Lord_Howe', '2026-04-04T00:00Z', '2026-04-06T00:00Z'), [
      '2026-04-04T14:45Z',
      '2026-04-05T15:15Z',
    ])
  })

  test('São Paulo 2018: midnight does not exist, and fires at one', () => {
    assert.deepEqual(slots('0 0 * * *', 'America/Sao_Paulo', '2018-11-03T12:00Z', '2018-11-05T12:00Z'), [
      '2018-11-04T03:00Z',
      '2018-11-05T02:00Z',
    ])
  })

  test('intervals fire at all real instants', () => {
    assert.deepEqual(slots('*/30 * * * *', 'Europe/Berlin', '2026-10-25T00:00Z', '2026-10-25T02:00Z'), [
      '2026-10-25T00:30Z',
      '2026-10-25T01:00Z',
      '2026-10-25T01:30Z',
      '2026-10-25T02:00Z',
    ])
    assert.deepEqual(slots('0 * * * *', 'Europe/Berlin', '2026-03-29T00:00Z', '2026-03-29T02:00Z'), [
      '2026-03-29T01:00Z',
      '2026-03-29T02:00Z',
    ])
  })

  test('property: is what a wall clock shows, minute by minute', () => {
    const changes = [
      ['Europe/Berlin', '2026-03-29T01:00Z'],
      ['Europe/Berlin', '2026-10-25T01:00Z'],
      ['Australia/Lord_Howe', '2026-10-03T15:30Z'],
      ['Australia/Lord_Howe', '2026-04-04T15:00Z'],
      ['America/Sao_Paulo', '2018-11-04T03:00Z'],
      ['America/Sao_Paulo', '2018-02-18T02:00Z'],
      ['Pacific/Chatham', '2026-04-04T14:00Z'],
      ['Europe/London', '2026-03-29T01:00Z'],
    ] as const
    const hours = fc.oneof(values(5), values(23), fc.constant('*'))
    fc.assert(
      fc.property(fc.constantFrom(...changes), values(59), hours, ([zone, at], minute, hour) => {
        const schedule = parseSchedule(`${minute.join(',')} ${typeof hour === 'string' ? hour : hour.join(',')} * * *`)
        const from = new Date(Date.parse(at) - 8 * hourMs)
        const to = new Date(Date.parse(at) + 8 * hourMs)
        const expected = slotsOfWallClock(minute, typeof hour === 'string' ? undefined : hour, zone, from, to)
        assert.deepEqual(slotsBetween(schedule, zone, { from, to }, 'civil', 1000), expected)
        const summary = summarizeSlots(schedule, zone, { from, to }, 'civil')
        assert.equal(summary?.count ?? 0, expected.length)
        assert.deepEqual(summary?.newest, expected.at(-1))
      }),
    )
  })

  test('property: a daily time has one slot for each day of three years, in every zone', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...zones),
        fc.integer({ min: 0, max: 23 }),
        fc.integer({ min: 0, max: 59 }),
        (zone, hour, minute) => {
          // From noon to noon, local time give or take: no change of clocks is near.
          const from = new Date('2024-01-01T12:00Z')
          const to = new Date('2027-01-01T12:00Z')
          const found = slotsBetween(parseSchedule(`${minute} ${hour} * * *`), zone, { from, to }, 'civil', 5000)
          assert.equal(found.length, 1096)
          const dates = new Set(found.map(slot => new Intl.DateTimeFormat('sv', { timeZone: zone }).format(slot)))
          assert.equal(dates.size, 1096)
        },
      ),
      { numRuns: 20 },
    )
  })
})

describe('slots', () => {
  const someSchedule = fc
    .tuple(
      fc.constantFrom('0', '*/20', '59', '7,33', '*', '*/90', '5/15'),
      fc.constantFrom('*', '2', '0', '1-3', '*/6', '23', '*/2'),
      fc.constantFrom('*', '1', '31', '*/10', '29'),
      fc.constantFrom('*', '*', '2', '3,10', '*/5'),
      fc.constantFrom('*', '0', '1-5', '*/1', '6'),
    )
    .map(fields => parseSchedule(fields.join(' ')))
  const someZone = fc.constantFrom(...zones)
  const someRule = fc.constantFrom('civil', 'cronjob')
  const someTime = fc.date({ min: new Date('2017-01-01'), max: new Date('2027-01-01'), noInvalidDate: true })

  test('property: the next slot is later, and a whole minute', () => {
    fc.assert(
      fc.property(someSchedule, someZone, someRule, someTime, (schedule, zone, rule, after) => {
        const slot = nextSlot(schedule, zone, after, rule)
        if (slot === undefined) return
        assert.ok(slot > after)
        assert.equal(slot.getTime() % minuteMs, 0)
      }),
      { numRuns: 500 },
    )
  })

  test('property: a summary is the chain of next slots', () => {
    const someDays = fc.integer({ min: 0, max: 40 * 24 })
    fc.assert(
      fc.property(someSchedule, someZone, someRule, someTime, someDays, (schedule, zone, rule, from, hours) => {
        const range = { from, to: new Date(from.getTime() + hours * hourMs) }
        const all = slotsBetween(schedule, zone, range, rule, 100_000)
        assert.deepEqual(
          summarizeSlots(schedule, zone, range, rule),
          all.length === 0 ? undefined : { count: all.length, oldest: all[0], newest: all.at(-1) },
        )
      }),
      { numRuns: 150 },
    )
  })

  test('a date that never comes ends, and 29 February is found eight years ahead by the civil rule', () => {
    const after = new Date('2026-01-01')
    for (const rule of ['civil', 'cronjob'] as const) {
      assert.equal(nextSlot(parseSchedule('0 0 31 2 *'), 'Europe/Berlin', after, rule), undefined)
      assert.equal(nextSlot(parseSchedule('* * 31 4,6,9,11 *'), 'Europe/Berlin', after, rule), undefined)
    }
    const leap = nextSlot(parseSchedule('0 0 29 2 *'), 'Etc/UTC', new Date('2096-03-01'), 'civil')
    assert.equal(leap?.toISOString(), '2104-02-29T00:00:00.000Z')
  })

  test('lists stop at their limit', () => {
    const range = { from: new Date('2026-01-01'), to: new Date('2027-01-01') }
    assert.equal(slotsBetween(parseSchedule('* * * * *'), 'Etc/UTC', range, 'civil', 7).length, 7)
  })

  test('time zones that Go would refuse are refused', () => {
    for (const name of ['', 'Local', '+01:00', 'Mars/Base', 'Europe/Berlin ']) {
      assert.throws(() => validateTimeZone(name), /not a time zone.*IANA/)
    }
    for (const name of [...zones, 'UTC']) validateTimeZone(name)
  })

  test('ten thousand next slots take about a second at most, also across changes of clocks', () => {
    const after = new Date('2026-03-28T20:00Z')
    const started = process.cpuUsage()
    for (let index = 0; index < 10_000; index++) {
      const schedule = parseSchedule(
        expandHash(['H 2 * * *', 'H/15 * * * *', '0 3 * * 0', '0 0 1 * *'][index % 4] ?? '', `p${index}`),
      )
      nextSlot(schedule, zones[index % zones.length] ?? 'Etc/UTC', after, index % 2 === 0 ? 'civil' : 'cronjob')
    }
    // Of this process alone, because others share the machine; twice the goal, for slower ones.
    const { user, system } = process.cpuUsage(started)
    assert.ok(user + system < 2_000_000, `${user + system} µs`)
  })
})

function ask(
  text: string,
  question: Partial<Record<'last' | 'since' | 'now', string>> & { deadline?: number; rule?: SlotRule },
) {
  const full: SlotQuestion = {
    schedule: parseSchedule(text),
    timeZone: 'Etc/UTC',
    rule: question.rule ?? 'civil',
    lastAccounted: question.last === undefined ? undefined : new Date(question.last),
    notBefore: new Date(question.since ?? '2020-01-01'),
    now: new Date(question.now ?? '2026-06-10T12:00Z'),
    startingDeadlineSeconds: question.deadline ?? 3600,
  }
  return planSlots(full)
}

describe('planSlots', () => {
  test('between slots there is nothing to do until the next one', () => {
    const plan = ask('0 2 * * *', { last: '2026-06-10T02:00Z' })
    assert.deepEqual(plan, { due: undefined, missed: undefined, next: new Date('2026-06-11T02:00Z'), clamped: false })
  })

  test('a slot is due at its very instant and until the deadline, and missed afterwards', () => {
    const last = '2026-06-09T02:00Z'
    const slot = new Date('2026-06-10T02:00Z')
    assert.deepEqual(ask('0 2 * * *', { last, now: '2026-06-10T02:00Z' }).due, slot)
    assert.deepEqual(ask('0 2 * * *', { last, now: '2026-06-10T03:00Z' }).due, slot)
    const late = ask('0 2 * * *', { last, now: '2026-06-10T03:00:00.001Z' })
    assert.equal(late.due, undefined)
    assert.deepEqual(late.missed, { count: 1, oldest: slot, newest: slot })
  })

  test('after an outage one run catches up, and the older slots are missed', () => {
    const plan = ask('*/15 * * * *', { last: '2026-06-10T09:00Z', now: '2026-06-10T12:05Z' })
    assert.deepEqual(plan.due, new Date('2026-06-10T12:00Z'))
    assert.deepEqual(plan.missed, {
      count: 11,
      oldest: new Date('2026-06-10T09:15Z'),
      newest: new Date('2026-06-10T11:45Z'),
    })
    assert.deepEqual(plan.next, new Date('2026-06-10T12:15Z'))
  })

  test('a month of minutely slots, and a year, are one run and little work', () => {
    for (const rule of ['civil', 'cronjob'] as const) {
      const started = performance.now()
      assert.equal(ask('* * * * *', { last: '2026-05-10T12:00Z', rule }).missed?.count, 31 * 1440 - 1)
      assert.equal(ask('* * * * *', { last: '2025-06-10T12:00Z', rule }).missed?.count, 365 * 1440 - 1)
      assert.ok(performance.now() - started < 500)
    }
  })

  test('nothing up to the creation, edit or resume fires', () => {
    const plan = ask('0 * * * *', { last: '2026-06-01T00:00Z', since: '2026-06-10T12:00Z', now: '2026-06-10T12:30Z' })
    assert.deepEqual([plan.due, plan.missed, plan.next], [undefined, undefined, new Date('2026-06-10T13:00Z')])
    assert.equal(ask('0 * * * *', { since: '2026-06-10T11:59:59Z', now: '2026-06-10T12:30Z' }).missed, undefined)
  })

  test('a clock set back by two hours runs nothing twice, and goes on after the last slot', () => {
    const plan = ask('0 * * * *', { last: '2026-06-10T12:00Z', now: '2026-06-10T10:30Z' })
    assert.deepEqual(plan, { due: undefined, missed: undefined, next: new Date('2026-06-10T13:00Z'), clamped: false })
  })

  test('a clock that was a year ahead and is right again does not stop the schedule', () => {
    const plan = ask('0 * * * *', { last: '2027-06-10T12:00Z', now: '2026-06-10T10:30Z' })
    assert.deepEqual(plan, { due: undefined, missed: undefined, next: new Date('2026-06-10T11:00Z'), clamped: true })
  })

  test('property: asked at any times, no slot runs twice and every slot is run or missed', () => {
    const steps = fc.array(fc.integer({ min: -180, max: 600 }), { minLength: 1, maxLength: 40 })
    const times = fc.constantFrom('0 * * * *', '*/20 * * * *', '30 2 * * *', '7 */3 * * *')
    fc.assert(
      fc.property(
        times,
        fc.constantFrom(...zones),
        fc.constantFrom('civil', 'cronjob'),
        steps,
        (text, timeZone, rule, minutes) => {
          const schedule = parseSchedule(text)
          const notBefore = new Date('2026-03-27T00:00Z')
          let now = notBefore.getTime()
          let latest = now
          let lastAccounted: Date | undefined
          let accounted = 0
          const ran = new Set<number>()
          for (const step of minutes) {
            now = Math.max(notBefore.getTime(), now + step * minuteMs)
            latest = Math.max(latest, now)
            const plan = planSlots({
              schedule,
              timeZone,
              rule,
              lastAccounted,
              notBefore,
              now: new Date(now),
              startingDeadlineSeconds: 3600,
            })
            fc.pre(!plan.clamped)
            accounted += plan.missed?.count ?? 0
            lastAccounted = plan.due ?? plan.missed?.newest ?? lastAccounted
            if (plan.due === undefined) continue
            assert.ok(!ran.has(plan.due.getTime()))
            ran.add(plan.due.getTime())
          }
          const all = slotsBetween(schedule, timeZone, { from: notBefore, to: new Date(latest) }, rule, 100_000)
          assert.equal(accounted + ran.size, all.length)
        },
      ),
    )
  })
})

describe('clockChangeEffect', () => {
  const year = { from: new Date('2026-01-01'), to: new Date('2027-01-01') }
  const effect = (text: string, zone: string) => {
    const found = clockChangeEffect(parseSchedule(text), zone, year)
    return found && `${found.effect} ${found.at.toISOString()}`
  }

  test('says when the CronJob controller skips or doubles', () => {
    assert.equal(effect('30 2 * * *', 'Europe/Berlin'), 'skips 2026-03-29T01:00:00.000Z')
    assert.equal(effect('30 1 * * *', 'Europe/London'), 'skips 2026-03-29T01:00:00.000Z')
    assert.equal(effect('30 2 * 4-12 *', 'Europe/Berlin'), 'doubles 2026-10-25T01:00:00.000Z')
    // Half an hour off after the change, robfig walks past the next midnight.
    assert.equal(effect('0 0 * * *', 'Australia/Lord_Howe'), 'skips 2026-04-04T15:00:00.000Z')
  })

  test('is silent for other times, intervals and zones without changes', () => {
    assert.equal(effect('30 4 * * *', 'Europe/Berlin'), undefined)
    assert.equal(effect('*/30 * * * *', 'Europe/Berlin'), undefined)
    assert.equal(effect('30 2 * * *', 'Etc/UTC'), undefined)
    assert.equal(effect('30 2 * * 1-5', 'Europe/Berlin'), undefined)
  })
})

/** The civil rule in its simplest form: look at a clock once a minute. */
function slotsOfWallClock(
  minutes: readonly number[],
  hours: readonly number[] | undefined,
  zone: string,
  from: Date,
  to: Date,
): Date[] {
  const format = new Intl.DateTimeFormat('sv', { timeZone: zone, dateStyle: 'short', timeStyle: 'short' })
  const shownAt = (instant: number) => Date.parse(`${format.format(instant).replace(' ', 'T')}Z`)
  // Two days earlier: a clock that was set back has shown later times already.
  let latest = shownAt(from.getTime() - 48 * hourMs)
  const found: Date[] = []
  for (let instant = from.getTime() - 48 * hourMs; instant <= to.getTime(); instant += minuteMs) {
    const shown = shownAt(instant)
    const passed: number[] = []
    if (hours === undefined) passed.push(shown)
    else for (let wall = latest + minuteMs; wall <= shown; wall += minuteMs) passed.push(wall)
    latest = Math.max(latest, shown)
    const isSlot = passed.some(wall => {
      const time = new Date(wall)
      return minutes.includes(time.getUTCMinutes()) && (hours === undefined || hours.includes(time.getUTCHours()))
    })
    if (isSlot && instant > from.getTime()) found.push(new Date(instant))
  }
  return found
}
