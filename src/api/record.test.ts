import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { encodeBackupRecord, parseBackupRecord, triggerOf, type BackupRecord } from './record.ts'

const record: BackupRecord = {
  version: 1,
  run: 'backup-orders-29921880',
  jobUid: 'job-uid',
  attempt: 'pod-uid',
  owner: { clusterId: 'c', namespace: 'shop', policy: 'orders' },
  target: 'command',
  slot: '2026-11-22T02:00:00.000Z',
  startedAt: '2026-11-22T02:00:05.120Z',
  finishedAt: '2026-11-22T02:03:00.004Z',
  artifacts: [
    {
      name: 'dump',
      segments: [{ key: 'data/backup-orders-29921880/pod-uid/dump.zst', bytes: 10, sha256: 'a'.repeat(64) }],
      bytes: 100,
      storedBytes: 10,
      sha256: 'b'.repeat(64),
      compression: 'zstd',
    },
  ],
  commit: 'conditional',
  suspect: false,
  tools: { node: '26.10.0' },
}
const text = encodeBackupRecord(record)

describe('the manifest', () => {
  test('comes back as it was written', () => {
    assert.deepEqual(parseBackupRecord(text), record)
  })

  test('F57: says whether sizes were compared; an older one says nothing of it', () => {
    const checked = { ...record, sizeCheck: 'unchecked' as const, trigger: 'on-demand' as const }
    assert.deepEqual(parseBackupRecord(encodeBackupRecord(checked)), checked)
    assert.equal(parseBackupRecord(text).sizeCheck, undefined)
  })

  test('F66: tells what asked for the run; of an older one the name of the Job tells', () => {
    assert.equal(triggerOf(record), 'scheduled')
    assert.equal(triggerOf({ ...record, run: 'backup-orders-k3v9x2m0qa' }), 'on-demand')
    assert.equal(triggerOf({ ...record, run: 'backup-other-29921880' }), 'on-demand')
    assert.equal(triggerOf({ ...record, trigger: 'on-demand' }), 'on-demand')
  })

  test('of a later program of the same version is read without what we do not know', () => {
    assert.deepEqual(parseBackupRecord(JSON.stringify({ ...record, added: 1 })), record)
  })

  test('of another version is refused by its number', () => {
    assert.throws(
      () => parseBackupRecord(JSON.stringify({ ...record, version: 2 })),
      /has version 2; .* reads version 1/,
    )
  })

  test('that is cut or damaged is refused', () => {
    for (let length = 0; length < text.length - 2; length++)
      assert.throws(() => parseBackupRecord(text.slice(0, length)))
    assert.throws(() => parseBackupRecord(text.replace('"bytes": 100', '"bytes": -1')), /not valid.*bytes/)
    assert.throws(() => parseBackupRecord(text.replace(/b{64}/, 'b'.repeat(63))), /sha256/)
  })

  test('that names an object of another run is refused: deleting it would reach foreign data', () => {
    for (const key of [
      'data/another-run/pod-uid/dump.zst',
      'data/backup-orders-29921880/other-pod/dump.zst',
      'data/backup-orders-29921880/pod-uid/../../x/dump.zst',
      'manifests/command/x.json',
      '/etc/passwd',
    ]) {
      assert.throws(
        () => parseBackupRecord(text.replace(record.artifacts[0]?.segments[0]?.key ?? '', key)),
        /outside its own folder/,
      )
    }
  })
})
