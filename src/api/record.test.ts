import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { encodeBackupRecord, parseBackupRecord, recordSizes, triggerOfRun, type BackupRecord } from './record.ts'

const record: BackupRecord = {
  version: 2,
  trigger: 'scheduled',
  sizeCheck: 'compared',
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
      kind: 'stream',
      name: 'dump',
      codecs: ['zstd'],
      partBytes: 8 << 20,
      segments: [{ key: 'data/backup-orders-29921880/pod-uid/dump.zst', bytes: 10, parts: ['a'.repeat(64)] }],
      bytes: 100,
      storedBytes: 10,
      sha256: 'b'.repeat(64),
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

  test('F57: says whether sizes were compared', () => {
    const checked = { ...record, sizeCheck: 'unchecked' as const, trigger: 'on-demand' as const }
    assert.deepEqual(parseBackupRecord(encodeBackupRecord(checked)), checked)
  })

  test('F66: the name of a Job tells what asked for the run', () => {
    assert.equal(triggerOfRun(record.run, 'orders'), 'scheduled')
    assert.equal(triggerOfRun('backup-orders-k3v9x2m0qa', 'orders'), 'on-demand')
    assert.equal(triggerOfRun('backup-other-29921880', 'orders'), 'on-demand')
  })

  test('of what is encrypted tells no name, no plain size, no checksum of plain bytes', () => {
    const [artifact] = record.artifacts
    assert.ok(artifact)
    const { name, bytes, sha256, ...sealed } = artifact
    assert.ok(name && bytes && sha256)
    const encrypted: BackupRecord = { ...record, artifacts: [{ ...sealed, codecs: ['zstd', 'age'] }] }
    assert.deepEqual(parseBackupRecord(encodeBackupRecord(encrypted)), encrypted)
    assert.deepEqual(recordSizes(encrypted), { storedBytes: 10 })
  })

  test('with an artifact of a kind or codec of later is refused by its name', () => {
    const changed = (change: object) =>
      JSON.stringify({ ...record, artifacts: [{ ...record.artifacts[0], ...change }] })
    assert.throws(() => parseBackupRecord(changed({ kind: 'restic' })), /artifact of kind "restic", which this program/)
    assert.throws(
      () => parseBackupRecord(changed({ codecs: ['zstd', 'xz'] })),
      /artifact of codec "xz", which this program/,
    )
  })

  test('of a later program of the same version is read without what we do not know', () => {
    assert.deepEqual(parseBackupRecord(JSON.stringify({ ...record, added: 1 })), record)
  })

  test('of another version is refused by its number', () => {
    assert.throws(
      () => parseBackupRecord(JSON.stringify({ ...record, version: 3 })),
      /has version 3; .* reads version 2/,
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
