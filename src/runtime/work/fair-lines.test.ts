import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FairLines } from './fair-lines.ts'

/** Takes and ends all that waits, one after the other. */
function allOf(lines: FairLines<string>): string[] {
  const taken: string[] = []
  for (let turn = lines.take(); turn !== undefined; turn = lines.take()) {
    taken.push(turn.value)
    lines.done(turn.line)
  }
  return taken
}

function linesOf(most: number, ...values: readonly string[]): { lines: FairLines<string>; dropped: string[] } {
  const lines = new FairLines<string>(most)
  const dropped = values.flatMap(value => lines.put(value.slice(0, 1), value, value) ?? [])
  return { lines, dropped }
}

test('S19: the lines take turns, and each keeps its order', () => {
  const { lines } = linesOf(10, 'a1', 'a2', 'a3', 'b1', 'c1', 'c2')
  assert.deepEqual(allOf(lines), ['a1', 'b1', 'c1', 'a2', 'c2', 'a3'])
  assert.equal(lines.size, 0)
})

test('S19: while one of a line is under way the others of it wait, and those of other lines do not', () => {
  const { lines } = linesOf(10, 'a1', 'a2', 'b1', 'b2')
  assert.equal(lines.take()?.value, 'a1')
  lines.put('a', 'a3', 'a3')
  assert.equal(lines.take()?.value, 'b1')
  assert.equal(lines.take(), undefined)
  lines.done('b')
  assert.equal(lines.take()?.value, 'b2')
  assert.equal(lines.take(), undefined)
  lines.done('a')
  assert.deepEqual(allOf(lines), ['a2', 'a3'])
})

test('S19: the lines whose last was slow have one turn at a time among them all, until one of theirs is quick', () => {
  const { lines } = linesOf(20, 'a1', 'a2', 'b1', 'b2', 'b3', 'c1')
  for (const line of ['a', 'b']) {
    assert.equal(lines.take()?.line, line)
    lines.done(line, 'slow')
  }
  assert.equal(lines.take()?.value, 'c1')
  assert.equal(lines.take()?.value, 'a2')
  assert.equal(lines.take(), undefined, 'b is slow, too')
  lines.done('a')
  assert.equal(lines.take()?.value, 'b2')
  lines.put('a', 'a3', 'a3')
  assert.equal(lines.take()?.value, 'a3', 'the last of a was quick')
  lines.done('b')
  assert.equal(lines.take()?.value, 'b3')
})

test('S19: who comes when all is full takes the place of the last in the longest line', () => {
  const { lines, dropped } = linesOf(4, 'a1', 'a2', 'a3', 'b1', 'c1')
  assert.deepEqual(dropped, ['a3'])
  assert.deepEqual(allOf(lines), ['a1', 'b1', 'c1', 'a2'])
})

test('S19: who has the longest line, or one that is as long, finds no room when all is full', () => {
  assert.deepEqual(linesOf(4, 'a1', 'a2', 'a3', 'a4', 'a5').dropped, ['a5'])
  assert.deepEqual(linesOf(4, 'a1', 'a2', 'b1', 'b2', 'b3', 'a3').dropped, ['b3', 'a3'])
  assert.deepEqual(linesOf(3, 'a1', 'b1', 'c1', 'd1').dropped, ['d1'])
})

test('what waits under a key is replaced where it stands, also when all is full', () => {
  const { lines } = linesOf(2, 'a1', 'a2')
  assert.equal(lines.put('a', 'a1', 'again'), undefined)
  assert.equal(lines.get('a', 'a1'), 'again')
  assert.equal(lines.size, 2)
  assert.deepEqual(allOf(lines), ['again', 'a2'])
})

test('what was cleared is not taken, and what comes later is', () => {
  const { lines } = linesOf(2, 'a1', 'a2')
  assert.equal(lines.take()?.value, 'a1')
  lines.clear()
  lines.done('a')
  lines.put('a', 'a3', 'a3')
  assert.deepEqual(allOf(lines), ['a3'])
})
