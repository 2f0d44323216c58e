// Every example, and every whole object in a YAML block of the documents and in what helm says after an installation, is accepted by a
// real API server with the chart's CRDs.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { repository } from '../../../dev/paths.ts'
import type { KubernetesObject } from '../../../src/api/kubernetes.ts'
import { installChart } from '../../chart/chart.ts'
import { startControlPlane, type ControlPlane } from '../control-plane/control-plane.ts'
import { installSnapshotCrds } from '../operator/operator.ts'

type Found = { readonly where: string; readonly object: KubernetesObject }

const examples = readdirSync(join(repository, 'examples')).filter(name => name.endsWith('.yaml'))
const pages = ['.', 'docs', 'charts', 'examples'].flatMap(folder =>
  readdirSync(join(repository, folder), { recursive: folder !== '.', encoding: 'utf8' })
    .filter(name => name.endsWith('.md'))
    .map(name => join(folder, name)),
)

let plane: ControlPlane
/** What helm says after it. */
let notes: string
before(async () => {
  plane = await startControlPlane()
  notes = await installChart(plane)
  await installSnapshotCrds(plane)
})
after(() => plane.stop())

function objectsIn(where: string, text: string): readonly Found[] {
  return parseAllDocuments(text).flatMap(document => {
    assert.deepEqual(document.errors, [], `${where} is not YAML`)
    const object = document.toJS() as KubernetesObject | null
    return object && typeof object === 'object' && 'apiVersion' in object && 'kind' in object ? [{ where, object }] : []
  })
}

const inExamples = examples.flatMap(name => {
  const found = objectsIn(`examples/${name}`, readFileSync(join(repository, 'examples', name), 'utf8'))
  assert.ok(found.length > 0, `examples/${name} holds no object`)
  return found
})
const inPages = pages.flatMap(page => {
  const text = readFileSync(join(repository, page), 'utf8')
  return [...text.matchAll(/^( *)```ya?ml\n(.*?)^\1```/gms)].flatMap(([, indent = '', block = ''], index) =>
    objectsIn(`${page}, YAML block ${index + 1}`, block.replaceAll(new RegExp(`^${indent}`, 'gm'), '')),
  )
})

test('there is an example for each feature, and each says in its first line what it shows', () => {
  for (const name of [
    'sample-backuppolicy',
    'job-postgres',
    'backup-now',
    'backup-one-target',
    'suspended',
    'time-zone',
    'custom-ca',
  ])
    assert.ok(examples.includes(`${name}.yaml`), name)
  for (const name of ['preset-postgres', 'restore', 'restore-beside', 'restore-over', 'restore-elsewhere'])
    assert.ok(examples.includes(`${name}.yaml`), name)
  for (const name of ['restore-from-bucket', 'verify']) assert.ok(examples.includes(`${name}.yaml`), name)
  for (const name of ['snapshot-class', 'env-from-secret', 'resources', 'minio', 'on-demand'])
    assert.ok(examples.includes(`${name}.yaml`), name)
  for (const name of examples)
    assert.match(readFileSync(join(repository, 'examples', name), 'utf8'), /^# \S.{20}/, name)
})

for (const { where, object } of [...inExamples, ...inPages]) {
  const { kind, metadata } = object
  test(`${where}: ${kind} ${metadata.name ?? '(generated name)'} is accepted as it stands`, async () => {
    if (metadata.namespace) await namespace(metadata.namespace)
    await accepted(object)
  })
}

test('what the notes of the chart have kubectl create is accepted, once its placeholders are filled in', async () => {
  assert.match(notes, /\nNOTES:\n/)
  const blocks = [...notes.matchAll(/^( *)kubectl .* -f - <<EOF\n(.*?)^\1EOF$/gms)]
  const found = blocks.flatMap(([, indent = '', block = '']) =>
    objectsIn('NOTES.txt', block.replaceAll(new RegExp(`^${indent}`, 'gm'), '').replaceAll(/<[a-z]+>/g, 'sample')),
  )
  assert.deepEqual(
    found.map(({ object }) => object.kind),
    ['Backup'],
  )
  for (const { object } of found) await accepted(object)
})

test('the sample holds what the mission promises, word for word', () => {
  const [sample] = inExamples.filter(({ where }) => where.endsWith('sample-backuppolicy.yaml'))
  assert.deepEqual(sample?.object, {
    apiVersion: 'backup.dev/v1alpha1',
    kind: 'BackupPolicy',
    metadata: { name: 'sample' },
    spec: {
      selector: { matchLabels: { app: 'postgres' } },
      schedule: '0 2 * * *',
      retention: 7,
      backend: { type: 's3', bucket: 'backups', endpoint: 'http://minio.minio.svc:9000', secretRef: 'minio-creds' },
      strategy: { type: 'snapshot' },
    },
  })
})

async function accepted(object: KubernetesObject): Promise<void> {
  const input = JSON.stringify(object)
  await plane.kubectl(['create', '--dry-run=server', '--validate=strict', '-f', '-'], { input })
}

async function namespace(name: string): Promise<void> {
  const object = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }
  await plane.kubectl(['apply', '-f', '-'], { input: JSON.stringify(object) })
}
