import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import {
  attemptFolder,
  layoutOf,
  manifestFolder,
  manifestKey,
  parseDataKey,
  parseManifestKey,
  segmentKey,
  uploadRecordKey,
} from './layout.ts'

const layout = layoutOf({ prefix: 'clusters/a', namespace: 'shop', policy: 'orders' })
const attempt = { run: 'backup-orders-29395320', attempt: '0b7e7d5a-1f0e-4f51-9f7b-0d6e3a4f8a11' }

describe('the keys in the bucket', () => {
  test('are these: other programs and older backups rely on them', () => {
    assert.deepEqual(layout, {
      root: 'clusters/a/shop/orders/',
      owner: 'clusters/a/shop/orders/owner.json',
      probe: 'clusters/a/shop/orders/probe.json',
      manifests: 'clusters/a/shop/orders/manifests/',
      data: 'clusters/a/shop/orders/data/',
      uploads: 'clusters/a/shop/orders/uploads/',
      probeUpload: 'clusters/a/shop/orders/uploads/probe.json',
      holds: 'clusters/a/shop/orders/holds/',
      pins: 'clusters/a/shop/orders/pins/',
      proofs: 'clusters/a/shop/orders/proofs/',
    })
    assert.equal(manifestFolder(layout, 'command'), 'clusters/a/shop/orders/manifests/command/')
    assert.equal(
      manifestKey(layout, 'command', new Date('2026-11-22T02:00:00Z'), attempt.run),
      'clusters/a/shop/orders/manifests/command/20261122T020000Z-backup-orders-29395320.json',
    )
    const folder = 'clusters/a/shop/orders/data/backup-orders-29395320/0b7e7d5a-1f0e-4f51-9f7b-0d6e3a4f8a11/'
    assert.equal(attemptFolder(layout, attempt), folder)
    assert.equal(segmentKey(layout, attempt, 'dump', 0), `${folder}dump.zst`)
    assert.equal(segmentKey(layout, attempt, 'dump', 1), `${folder}dump.zst.0001`)
    assert.equal(segmentKey(layout, attempt, 'dump', 12), `${folder}dump.zst.0012`)
    assert.equal(
      uploadRecordKey(layout, attempt, 1),
      'clusters/a/shop/orders/uploads/backup-orders-29395320.0b7e7d5a-1f0e-4f51-9f7b-0d6e3a4f8a11.1.json',
    )
  })

  test('need no prefix, and do not double its slashes', () => {
    assert.equal(layoutOf({ namespace: 'shop', policy: 'orders' }).root, 'shop/orders/')
    assert.equal(layoutOf({ prefix: '', namespace: 'shop', policy: 'orders' }).root, 'shop/orders/')
    assert.equal(layoutOf({ prefix: '/a//b/', namespace: 'shop', policy: 'orders' }).root, 'a/b/shop/orders/')
  })

  test('of manifests sort by slot within a target, and give slot, target and run back', () => {
    const name = fc.stringMatching(/^[a-z0-9][-a-z0-9.]{0,20}$/)
    const slot = fc.date({ min: new Date('2000-01-01'), max: new Date('2100-01-01'), noInvalidDate: true })
    fc.assert(
      fc.property(
        fc.string({ minLength: 1, maxLength: 30, unit: 'grapheme' }),
        name,
        slot,
        slot,
        (target, run, a, b) => {
          const [one, two] = [whole(a), whole(b)]
          assert.deepEqual(parseManifestKey(layout, manifestKey(layout, target, one, run)), { target, slot: one, run })
          const before = manifestKey(layout, target, one, run) < manifestKey(layout, target, two, run)
          assert.equal(before, one < two)
        },
      ),
    )
  })

  test('that are not ours are not taken for ours', () => {
    for (const key of [
      'clusters/a/shop/other/manifests/command/20261122T020000Z-x.json',
      'clusters/a/shop/orders/manifests/command/notes.txt',
      'clusters/a/shop/orders/manifests/20261122T020000Z-x.json',
      'clusters/a/shop/orders/manifests/command/20269922T020000Z-x.json',
      'clusters/a/shop/orders/manifests/%zz/20261122T020000Z-x.json',
      'clusters/a/shop/orders/manifests/command/deeper/20261122T020000Z-x.json',
    ])
      assert.equal(parseManifestKey(layout, key), undefined, key)
    assert.deepEqual(parseDataKey(layout, segmentKey(layout, attempt, 'dump', 3)), attempt)
    for (const key of [
      'clusters/a/shop/orders/data/run/x.zst',
      'clusters/a/shop/orders/data/a/b/c/d',
      'elsewhere/a/b/c',
    ])
      assert.equal(parseDataKey(layout, key), undefined, key)
  })
})

/** Keys hold whole seconds. */
function whole(time: Date): Date {
  return new Date(Math.floor(time.getTime() / 1000) * 1000)
}
