import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { NoteText, Notes } from './notes.ts'

const engine = { preset: 'postgres', serverVersion: '15.20', clientVersion: '15.20' }

describe('what a script tells beside its artifacts', () => {
  test('the engine, and facts that belong to the artifact that follows them', () => {
    const notes = new Notes()
    notes.take('.engine', JSON.stringify(engine))
    notes.take('.facts/shop', '{"tables": {"public.orders": 3}}')
    assert.deepEqual(notes.engine, engine)
    assert.equal(notes.factsOf('crm'), undefined)
    assert.deepEqual(notes.factsOf('shop'), { tables: { 'public.orders': 3 } })
    notes.end()
  })

  test('facts of an artifact that never came are no facts', () => {
    const notes = new Notes()
    notes.take('.facts/shop', '{}')
    assert.throws(() => notes.end(), { reason: 'Protocol', message: /"shop"/ })
  })

  test('a refusal ends the attempt with its own reason, and with Refused where the word is none of ours', () => {
    const refuse = (text: string) => () => new Notes().take('.refused', text)
    assert.throws(refuse('RightsMissing\ngrant pg_read_all_data\nto backup\n'), {
      reason: 'RightsMissing',
      message: 'grant pg_read_all_data to backup',
      sourceStatus: 65,
    })
    for (const word of ['TooHot', 'Internal', 'StoreUnavailable', 'constructor'])
      assert.throws(refuse(`${word}\ncool it down`), { reason: 'Refused', message: `${word}: cool it down` })
  })

  test('what is none of these, not JSON, of another shape or too long is refused', () => {
    const notes = new Notes()
    for (const [name, text] of [
      ['.surprise', 'x'],
      ['.engine', '{'],
      ['.engine', '{"preset": 1}'],
      ['.facts/shop', '[]'],
      ['.facts/shop', ''],
    ] as const)
      assert.throws(() => notes.take(name, text), { reason: 'Protocol' }, name)
    const text = new NoteText('.engine')
    text.add(Buffer.alloc(1 << 20))
    assert.throws(() => text.add(Buffer.alloc(1)), { reason: 'Protocol' })
  })
})
