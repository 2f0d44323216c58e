import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { expandHash, InvalidScheduleError, parseSchedule } from './parse.ts'

function range(max: number) {
  const value = fc.integer({ min: 0, max })
  return fc.tuple(value, value).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)
}

describe('expandHash', () => {
  test('gives the values that it gave in the first release, for ever', () => {
    const seed = 'shop/nightly/db'
    const golden: Readonly<Record<string, string>> = {
      'H 2 * * *': '55 2 * * *',
      'H H * * *': '55 16 * * *',
      'H/15 * * * *': '10-59/15 * * * *',
      'H/90 * * * *': '55-59/90 * * * *',
      'H(0-29) * * * *': '25 * * * *',
      'H(0-29)/10 3 * * *': '5-29/10 3 * * *',
      'H,H(30-59) 1 * * *': '55,55 1 * * *',
      '0 H(1-5) * * *': '0 5 * * *',
      '0 3 H * *': '0 3 8 * *',
      '0 3 1 H *': '0 3 1 2 *',
      '0 3 * * H': '0 3 * * 0',
      '0 3 * * H(mon-fri)': '0 3 * * 5',
      'H H H/7 H H(TUE-THU)/2': '55 16 1-28/7 2 2-4/2',
    }
    assert.deepEqual(Object.fromEntries(Object.keys(golden).map(text => [text, expandHash(text, seed)])), golden)
    assert.equal(expandHash('H H * * *', 'größe/日本/🗄'), '9 23 * * *')
  })

  test('leaves a schedule without H as it is', () => {
    for (const text of ['0 2 * * *', ' 0\t2 * *  THU ', '@daily', '0 2 * MAR thu']) {
      assert.equal(expandHash(text, 'any'), text)
    }
  })

  test('spreads a thousand policies over the hour', () => {
    const perMinute = Array.from({ length: 60 }, () => 0)
    for (let index = 0; index < 6000; index++) {
      const [minute = ''] = expandHash('H 2 * * *', `team-${index % 40}/policy-${index}/db`).split(' ')
      perMinute[Number(minute)] = (perMinute[Number(minute)] ?? 0) + 1
    }
    assert.ok(Math.min(...perMinute) > 60 && Math.max(...perMinute) < 140, perMinute.join(' '))
  })

  test('property: stays within the field or the range, keeps the step, and gives a plain schedule', () => {
    fc.assert(
      fc.property(
        fc.string(),
        range(59),
        range(23),
        fc.integer({ min: 1, max: 90 }),
        (seed, [m1, m2], [h1, h2], step) => {
          const { minutes, hours, monthDays } = parseSchedule(
            expandHash(`H(${m1}-${m2})/${step} H(${h1}-${h2}) H * *`, seed),
          )
          assert.ok(minutes.every(m => m >= m1 && m <= m2))
          minutes.slice(1).forEach((m, index) => assert.equal(m - (minutes[index] ?? 0), step))
          const most = Math.ceil((m2 - m1 + 1) / step)
          assert.ok(minutes.length === most || minutes.length === most - 1)
          assert.ok(hours.length === 1 && hours.every(h => h >= h1 && h <= h2))
          assert.ok(monthDays.indexOf(true) <= 28)
        },
      ),
    )
  })
})

/** What is wrong with a schedule as a person wrote it; undefined where nothing is. */
function problemOf(text: string): string | undefined {
  try {
    parseSchedule(expandHash(text, ''))
    return undefined
  } catch (error) {
    assert.ok(error instanceof InvalidScheduleError, String(error))
    return error.message
  }
}

describe('a schedule that cannot be read', () => {
  test('says what to write instead', () => {
    const cases: readonly (readonly [string, RegExp])[] = [
      ['@every 1h', /@every.*not known/],
      ['TZ=Europe/Berlin 0 2 * * *', /time zone goes into timeZone/],
      ['0 2 * * 7', /Sunday is 0, not 7/],
      ['0 2 * * 5L', /L, W and # are not known/],
      ['0 2 * *', /write five fields/],
      ['0 22-4 * * *', /hour range 22-4 runs backward.*22-23,0-4/],
      ['0 2 * * fri-mon', /5-6,0-1/],
      ['H(40-10) 2 * * *', /minute range H\(40-10\) runs backward/],
      [`${'0,'.repeat(60)}0 2 * * *`, /longer than 100 characters/],
    ]
    for (const [text, message] of cases) assert.match(problemOf(text) ?? '', message)
  })

  test('property: is no schedule by an error of that kind alone, and what is accepted can be expanded and parsed', () => {
    const character = fc.constantFrom(...'0123456789*/-,?HLW#@() monTZ='.split(''))
    fc.assert(
      fc.property(fc.array(character, { maxLength: 30 }), characters => {
        const text = characters.join('')
        if (problemOf(text) === undefined) parseSchedule(expandHash(text, 'seed'))
        else assert.throws(() => parseSchedule(expandHash(text, 'seed')), InvalidScheduleError)
      }),
      { numRuns: 500 },
    )
  })

  test('takes no longer for hostile text', () => {
    const started = process.cpuUsage()
    for (const unit of ['0', '0,', '*/', 'H(', '0-', ' ', '0 ', 'a']) problemOf(unit.repeat(100).slice(0, 100))
    const { user, system } = process.cpuUsage(started)
    assert.ok(user + system < 500_000, `${user + system} µs`)
  })
})

describe('parseSchedule', () => {
  test('refuses H, which has to be expanded first', () => {
    assert.throws(() => parseSchedule('H 2 * * *'), /H still has to be expanded/)
  })
})
