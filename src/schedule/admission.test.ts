// What admission refuses of schedules by patterns, against the schedule as it is read here.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { nameRangeRule, noSuchDayPattern } from '../api/schema/cron-grammar.ts'
import { InvalidScheduleError, parseSchedule } from './parse.ts'

const refused = new RegExp(noSuchDayPattern)
const longestMonth = [0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** Whether any year has a day on which it runs: weekdays alone allow one in every month. */
function fires(text: string): boolean {
  const { monthDays, months, weekdays, bothDays } = parseSchedule(text)
  const days = longestMonth.flatMap((length, month) =>
    months[month] ? Array.from({ length }, (_, index) => monthDays[index + 1]) : [],
  )
  return bothDays ? days.includes(true) : days.includes(true) || weekdays.includes(true)
}

const numbers = (min: number, max: number) => fc.integer({ min, max })
const item = (min: number, max: number) =>
  fc.oneof(
    numbers(min, max).map(String),
    fc.tuple(numbers(min, max), numbers(min, max)).map(ends => ends.toSorted((a, b) => a - b).join('-')),
    fc.tuple(numbers(min, max), numbers(1, 40)).map(([low, step]) => `${low}/${step}`),
    numbers(1, 3).map(step => `*/${step}`),
    fc.constantFrom('*', '?'),
  )
const list = (...items: readonly fc.Arbitrary<string>[]) =>
  fc.array(fc.oneof(...items), { minLength: 1, maxLength: 3 }).map(some => some.join(','))
const days = list(numbers(29, 31).map(String), item(1, 31))
const months = list(fc.constantFrom('2', '02', 'feb', 'Apr', '6', 'SEP', '11'), item(1, 12))

test('F91: no schedule that fires is refused for its days', () => {
  fc.assert(
    fc.property(days, months, list(item(0, 6)), (day, month, weekday) => {
      const text = `0 2 ${day} ${month} ${weekday}`
      if (refused.test(text)) assert.ok(!fires(text), text)
    }),
    { numRuns: 5000 },
  )
})

test('F91: every list of days that no month of a list has is refused, with numbers and names', () => {
  const names = ['feb', 'apr', 'jun', 'sep', 'nov', 'mar']
  fc.assert(
    fc.property(
      list(numbers(28, 31).map(String)),
      list(numbers(1, 12).map(String), fc.constantFrom(...names, ...names.map(name => name.toUpperCase()))),
      fc.constantFrom('*', '?', '*/1', '1,*', '1', '0-6'),
      (day, month, weekday) => {
        const text = ` 0 2  ${day} ${month}\t${weekday} `
        assert.equal(refused.test(text), !fires(text), text)
      },
    ),
    { numRuns: 5000 },
  )
})

test('F91: a range of names, or of a name and a number, is refused where it runs backward, and only there', () => {
  const pattern = /matches[(]'(.*)'[)]$/.exec(nameRangeRule)?.[1]
  assert.ok(pattern)
  const backward = new RegExp(pattern)
  const runsBackward = (text: string) => {
    try {
      parseSchedule(text)
      return false
    } catch (error) {
      assert.ok(error instanceof InvalidScheduleError && /runs backward/.test(error.message), String(error))
      return true
    }
  }
  const monthNames = ['jan', 'Feb', 'mar', 'apr', 'MAY', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
  const weekdayNames = ['sun', 'mon', 'Tue', 'wed', 'thu', 'FRI', 'sat']
  const fields = [
    {
      names: monthNames,
      numbers: [...monthNames.keys()].map(index => index + 1),
      at: (range: string) => `0 2 * ${range} *`,
    },
    { names: weekdayNames, numbers: [...weekdayNames.keys()], at: (range: string) => `0 2 * * ${range}` },
  ]
  for (const { names, numbers, at } of fields)
    for (const name of names)
      for (const other of [...names, ...numbers.flatMap(number => [`${number}`, `0${number}`])])
        for (const range of [`${name}-${other}`, `${other}-${name}`, `${name}-${other}/2,*`, `1,${other}-${name}`])
          assert.equal(backward.test(at(range)), runsBackward(at(range)), range)
})
