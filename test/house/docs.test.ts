// The documents and the code say the same: reasons, conditions, labels, fields, links, make targets.
// (That every YAML block is accepted by an API server is in test/api/kinds/examples.test.ts; metrics are in test/chart/alerts.test.ts.)
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { test } from 'node:test'
import { repository } from '../../dev/paths.ts'
import { backupPhases } from '../../src/api/kinds/backup-phases.ts'
import { restorePhases } from '../../src/api/kinds/restore-phases.ts'
import {
  backupConditionTypes,
  operatorReasons,
  policyConditionTypes,
  restoreConditionTypes,
} from '../../src/api/conditions.ts'
import { customResourceDefinition, kinds } from '../../src/api/schema/crd.ts'
import { annotation, label } from '../../src/api/labels.ts'
import { moverReasons, moverWarnings } from '../../src/api/mover/reasons.ts'
import { readinessChecks } from '../../src/plan/policy/readiness.ts'
import { troubleWords } from '../../src/plan/policy/state.ts'
import { specPagePath, withFields } from '../../tools/field-docs.ts'

const read = (path: string) => readFileSync(join(repository, path), 'utf8')

const pages = readdirSync(repository, { recursive: true, encoding: 'utf8' }).filter(
  path => path.endsWith('.md') && !/(^|\/)(node_modules|\.git)\//.test(path),
)

/** A section of a page: from its heading to the next one of the same or a higher level. */
function section(page: string, heading: string): string {
  const from = page.indexOf(`\n${heading}\n`)
  assert.notEqual(from, -1, `there is a heading ${heading}`)
  const level = heading.split(' ', 1)[0]?.length ?? 0
  const rest = page.slice(from + heading.length + 2)
  const end = rest.search(new RegExp(`^#{1,${level}} `, 'm'))
  return end === -1 ? rest : rest.slice(0, end)
}

/** What the first cells of a text's tables name in backticks. */
function entries(text: string): readonly string[] {
  return [...text.matchAll(/^\| `([^`]+)` \|/gm)].map(([, name = '']) => name)
}

const sorted = (names: Iterable<string>) => [...names].sort()

const conditionsPage = read('docs/conditions.md')

test('docs/conditions.md lists every condition, phase and reason, each where it belongs, and no others', () => {
  const expected: readonly (readonly [heading: string, names: Iterable<string>])[] = [
    ['## Conditions of a BackupPolicy', policyConditionTypes],
    ['## Conditions of a Backup', backupConditionTypes],
    ['## Phases of a Backup', backupPhases],
    ['## Conditions of a Restore', restoreConditionTypes],
    ['## Phases of a Restore', restorePhases],
    ['## Reasons that the operator finds', operatorReasons],
    ['## Reasons that a mover gives', Object.keys(moverReasons)],
    ['## Warnings of a mover', moverWarnings],
  ]
  for (const [heading, names] of expected)
    assert.deepEqual(sorted(entries(section(conditionsPage, heading))), sorted(names), heading)
})

test('docs/conditions.md lists the checks of Ready, in their order', () => {
  const listed = [...section(conditionsPage, '## Conditions of a BackupPolicy').matchAll(/^\d+\. (.+)$/gm)]
  assert.deepEqual(
    listed.map(([, name]) => name),
    readinessChecks.map(({ name }) => name),
  )
})

test('the exit code of each mover reason is the one that docs/conditions.md gives', () => {
  const table = section(conditionsPage, '## Reasons that a mover gives')
  const codes = [...table.matchAll(/^\| `(\w+)` \| (\d+) \|/gm)].map(([, reason, code]) => [reason, Number(code)])
  assert.deepEqual(Object.fromEntries(codes), moverReasons)
})

test('docs/labels.md lists every label and annotation, and no others but those of Kubernetes that are only read', () => {
  const listed = entries(read('docs/labels.md'))
  const ours = [...Object.values(label), ...Object.values(annotation)]
  const others = ['snapshot.storage.kubernetes.io/is-default-class']
  assert.deepEqual(sorted(listed), sorted([...ours, ...others]))
})

/** Reasons that are no trouble: nothing has to be done about them. */
const untroubled = [
  'Ready',
  'Selected',
  'Running',
  'Completed',
  'Children',
  'PodPending',
  'CronJobPending',
  'SnapshotPending',
  'NoBackupYet',
  'Pruned',
]
/** Reasons of conditions that docs/failure-modes.md has under the condition's name. */
const underTheirCondition: Readonly<Record<string, string>> = {
  NotExported: 'OffsiteCopy',
  NoBackend: 'OffsiteCopy',
  DeletionPolicyDelete: 'NamespaceDeletionLosesData',
  CronJobWarning: 'CronJobWarned',
  ClockChange: 'DaylightSavingAffectsSchedule',
}

test('docs/failure-modes.md has a row for every reason that means trouble', () => {
  const tables = read('docs/failure-modes.md')
    .split('\n')
    .filter(line => line.startsWith('|'))
    .map(line => line.split('|', 2)[1] ?? '')
  const named = new Set(tables.flatMap(cell => [...cell.matchAll(/`(\w+)`/g)].map(([, name = '']) => name)))
  const reasons = [...operatorReasons, ...Object.keys(moverReasons), ...moverWarnings]
  const missing = reasons
    .filter(reason => !untroubled.includes(reason))
    .filter(reason => !named.has(underTheirCondition[reason] ?? reason))
  assert.deepEqual(missing, [])
})

test('docs/failure-modes.md explains every word of STATUS', () => {
  const table = section(read('docs/failure-modes.md'), '## The words of STATUS')
  assert.deepEqual(entries(table), [...troubleWords, 'Suspended', 'Ready'])
})

/** Without what is generated: it holds other words of the schema. */
const handWritten = (page: string) => page.replaceAll(/<!-- generated: \w+ -->[^]*?<!-- end -->/g, '')

/** Words of Kubernetes that stand in backticks and look like reasons. */
const kubernetesWords = ['True', 'False', 'Unknown', 'Secret', 'Forbid', 'Delete', 'Retain', 'VolumeSnapshot']
const retentionWords = entries(section(conditionsPage, '## What retention says of a backup'))

test('no document names a reason that does not exist', () => {
  const known = new Set<string>([
    ...policyConditionTypes,
    ...backupConditionTypes,
    ...backupPhases,
    ...restoreConditionTypes,
    ...restorePhases,
    ...operatorReasons,
    ...Object.keys(moverReasons),
    ...moverWarnings,
    ...retentionWords,
    ...troubleWords,
    ...kubernetesWords,
    ...kinds.map(({ kind }) => kind),
  ])
  const checked = ['README.md', 'ARCHITECTURE.md', 'docs/conditions.md', 'docs/failure-modes.md', 'docs/labels.md']
  const wrong = [...checked, ...kinds.map(specPagePath)].flatMap(path =>
    // Also the parts of `Ready=False` and `Skipped/Overlapping`.
    [...handWritten(read(path)).matchAll(/`([A-Z][a-z]+[A-Za-z]*(?:[=/][A-Z]\w+)*)`/g)]
      .flatMap(([, words = '']) => words.split(/[=/]/))
      .filter(word => !known.has(word))
      .map(word => `${path}: ${word}`),
  )
  assert.deepEqual(wrong, [])
})

test('the words for what retention does are those of the code', () => {
  const source = section(
    `\n${read('src/plan/history/retention.ts')}`.replace('export type RetentionReason =', '## R'),
    '## R',
  )
  const words = [...source.slice(0, source.indexOf('export interface')).matchAll(/\| '(\w+)'/g)]
  assert.deepEqual(sorted(retentionWords), sorted(words.map(([, word = '']) => word)))
})

type Schema = {
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly description?: string
}

/** Every field below a schema, with its depth. */
function fieldsOf(schema: Schema, depth = 0): readonly { readonly name: string; readonly line: string }[] {
  const { properties = {} } = schema.items ?? schema
  return Object.entries(properties).flatMap(([name, field]) => [
    { name, line: `${'  '.repeat(depth)}- \`${name}\` (` },
    ...fieldsOf(field, depth + 1),
  ])
}

for (const kind of kinds) {
  test(`${specPagePath(kind)} has every field of the schema, and its text is fresh`, () => {
    const page = read(specPagePath(kind))
    const { properties } = customResourceDefinition(kind).spec.versions[0]?.schema.openAPIV3Schema ?? {}
    const fields = [properties?.spec, properties?.status].flatMap(schema => fieldsOf(schema as Schema))
    assert.ok(fields.length > 10)
    const lines = page.split('\n')
    const missing = fields.filter(({ line }) => !lines.some(each => each.startsWith(line)))
    assert.deepEqual(missing, [])
    assert.equal(withFields(kind, page), page, 'run `make generate`')
  })
}

const rulings = [...read('docs/design.md').matchAll(/^### (R\d+)$/gm)].map(([, number = '']) => number)
/** The rows of docs/faults.md by their number. */
const faults = new Map(
  [...read('docs/faults.md').matchAll(/^\| ([FS]\d+) .*$/gm)].map(([row, number = '']) => [number, row]),
)

const code = ['src', 'dev', 'test', 'e2e', 'tools', 'bench'].flatMap(root =>
  readdirSync(join(repository, root), { recursive: true, encoding: 'utf8' })
    .map(path => posix.join(root, path))
    .filter(path => /\.(ts|sh)$/.test(path) && !path.includes('node_modules/')),
)

test('docs/design.md has R1 to R40, docs/faults.md F01 to F98 and S1 to S23, each once and in order', () => {
  const numbers = (letter: string, last: number, digits = 1) =>
    Array.from({ length: last }, (_, index) => letter + String(index + 1).padStart(digits, '0'))
  assert.deepEqual(rulings, numbers('R', 40))
  assert.deepEqual([...faults.keys()], [...numbers('F', 98, 2), ...numbers('S', 23)])
})

test('every ruling and fault that code or documents cite exists', () => {
  const cited = [...code, ...pages].flatMap(path =>
    [...read(path).matchAll(/\b(?:R\d{1,2}|F\d{2})\b/g)].map(([number]) => ({ path, number })),
  )
  assert.ok(
    cited.some(({ path }) => path.startsWith('src/')),
    'the walk sees the code',
  )
  assert.deepEqual(
    cited.filter(({ number }) => !rulings.includes(number) && !faults.has(number)),
    [],
  )
})

test('what a test says to prove is in docs/faults.md with its file, and what has no test says "not yet"', () => {
  const missing = code
    .filter(path => path.endsWith('.test.ts') && path !== 'test/house/docs.test.ts')
    .flatMap(path =>
      [...read(path).matchAll(/^\s*(?:test|describe|t\.test)\(.*$/gm)]
        .flatMap(([title]) => [...title.matchAll(/\b(F\d{2}|S\d+(?=:|\)))/g)])
        .map(([, number = '']) => ({ path, number })),
    )
    .filter(({ path, number }) => !faults.get(number)?.includes(`\`${path}\``))
  assert.deepEqual(missing, [])
  const untold = [...faults].filter(([, row]) => !/\.test\.ts`|[Nn]ot yet/.test(row)).map(([number]) => number)
  assert.deepEqual(untold, [])
})

/** GitHub's anchors: lower case, without punctuation, blanks as dashes. */
function anchors(page: string): readonly string[] {
  return [...page.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

test('no relative link is broken, neither its file nor its heading', () => {
  assert.ok(pages.includes('README.md') && pages.includes('docs/conditions.md'), 'the walk sees the documents')
  const broken = pages.flatMap(path =>
    [...read(path).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target = '']) => target)
      .filter(target => !/^[a-z]+:/.test(target))
      .filter(target => {
        const [file = '', anchor] = target.split('#', 2)
        const full = file === '' ? path : posix.join(dirname(path), file)
        if (!existsSync(join(repository, full))) return true
        return anchor !== undefined && !anchors(read(full)).includes(anchor)
      })
      .map(target => `${path}: ${target}`),
  )
  assert.deepEqual(broken, [])
})

test('files and make targets that documents name exist', () => {
  const targets = new Set([...read('Makefile').matchAll(/^([a-z0-9-]+):/gm)].map(([, name = '']) => name))
  const wrong = pages.flatMap(path => {
    const text = read(path)
    const made = [...text.matchAll(/(?:^|[`(]) *make ([a-z][a-z0-9-]*)/gm)].map(([, name = '']) => name)
    const files = [...text.matchAll(/`((?:src|dev|docs|test|examples|charts|tools|e2e)\/[\w./-]+)`/g)]
    return [
      ...made.filter(name => !targets.has(name)).map(name => `${path}: make ${name}`),
      ...files.map(([, file = '']) => file).filter(file => !existsSync(join(repository, file))),
    ]
  })
  assert.deepEqual(wrong, [])
})
