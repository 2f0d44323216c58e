import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { frameBytes } from './encoder.ts'
import { planMemory } from './memory.ts'

const MiB = 1 << 20
const usual = planMemory(256 * MiB, 2, undefined)

test('with the limit of a mover, or none that is known, two processors get two lanes, and 40 MiB are for parts', () => {
  assert.deepEqual(usual, { lanes: 2, plainBuffers: 3, partBytes: 5 * MiB, parts: 8 })
  assert.deepEqual(planMemory(undefined, 2, undefined), usual)
})

test('more memory makes larger parts, and lanes for all processors', () => {
  const large = planMemory(2048 * MiB, 8, undefined)
  assert.deepEqual([large.lanes, large.partBytes, large.parts], [8, 32 * MiB, 20])
})

test('what is sealed needs memory of its own, which parts give', () => {
  const sealed = planMemory(256 * MiB, 2, undefined, true)
  assert.ok(
    sealed.lanes * 7 + sealed.parts * (sealed.partBytes / MiB) <= usual.lanes * 7 + 46 - 14,
    JSON.stringify(sealed),
  )
})

test('a size of parts that is given stays', () => {
  assert.deepEqual(planMemory(256 * MiB, 2, 16 * MiB), { ...usual, partBytes: 16 * MiB, parts: 2 })
})

test('property: a plan is possible with any limit, and takes no more than five eighths of one that allows anything', () => {
  fc.assert(
    fc.property(fc.integer({ min: 16, max: 8192 }), fc.integer({ min: 1, max: 64 }), (limit, processors) => {
      const { lanes, plainBuffers, partBytes, parts } = planMemory(limit * MiB, processors, undefined)
      assert.ok(lanes >= 1 && lanes <= processors && partBytes >= 5 * MiB && parts >= 2)
      const buffers = plainBuffers * frameBytes + parts * partBytes
      if (limit >= 256) assert.ok(99 * MiB + buffers <= limit * MiB * 0.625)
    }),
  )
})
