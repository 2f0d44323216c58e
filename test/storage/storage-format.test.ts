// docs/storage-format.md is a promise to people who have lost their cluster: what it shows must be what the code reads and writes.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { repository } from '../../dev/paths.ts'
import { parseBackupRecord } from '../../src/api/record.ts'
import {
  holdKey,
  layoutOf,
  manifestKey,
  pinKey,
  proofKey,
  segmentKey,
  uploadRecordKey,
} from '../../src/storage/bucket/layout.ts'

const page = readFileSync(join(repository, 'docs/storage-format.md'), 'utf8')

test('the example of a manifest in the documents is one that we read', () => {
  const [, example = ''] = /```json\n([\s\S]+?)```/.exec(page) ?? []
  const record = parseBackupRecord(
    example.replaceAll('"…"]', `"${'a'.repeat(64)}"]`).replaceAll('"sha256": "…"', `"sha256": "${'a'.repeat(64)}"`),
  )
  assert.equal(record.run, 'backup-orders-29921880')
})

test('the keys in the documents are those that we write', () => {
  const layout = layoutOf({ prefix: '<prefix>', namespace: '<namespace>', policy: '<policy>' })
  const attempt = { run: '<run>', attempt: '<attempt>' }
  const slot = new Date('2026-11-22T02:00:00Z')
  const written = [
    layout.owner,
    layout.probe,
    layout.probeUpload,
    manifestKey(layout, 'command', slot, '<run>')
      .replace('command', '<target>')
      .replace('20261122T020000Z', '<YYYYMMDDThhmmssZ>'),
    segmentKey(layout, attempt, 'ARTIFACT', 0).replace('ARTIFACT', '<artifact>') + '[.NNNN]',
    holdKey(layout, '<run>'),
    pinKey(layout, '<restore uid>'),
    proofKey(layout, '<run>', slot).replace('20261122T020000Z', '<YYYYMMDDThhmmssZ>'),
    uploadRecordKey(layout, attempt, 0).replace('.0.json', '.<n>.json'),
  ]
  assert.ok(page.includes(`\`${layout.root}\``))
  for (const key of written) assert.ok(page.includes(`| \`${key.slice(layout.root.length)}\` |`), key)
  assert.ok(page.includes(manifestKey(layout, 'command', slot, 'backup-orders-29921880').split('/').at(-1) ?? ''))
})
