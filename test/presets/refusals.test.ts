// The words of the scripts and those of the mover are the same: one that the mover does not know would arrive as `Refused`.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { repository } from '../../dev/paths.ts'
import { refusals } from '../../src/api/mover/reasons.ts'

const folder = join(repository, 'src/presets')
const scripts = readdirSync(folder).filter(name => name.endsWith('.sh'))

/** Also the words of `case … in WORD) refuse $kind`. */
function wordsOf(script: string): readonly string[] {
  const source = readFileSync(join(folder, script), 'utf8').replaceAll(/^#.*$/gm, '')
  return [...source.matchAll(/\brefuse ([A-Z]\w+)|\b([A-Z]\w+)\) refuse \$/g)].map(
    ([, word, kind]) => word ?? kind ?? '',
  )
}

test('what a preset refuses with is a reason of the mover, and each such reason is of a preset', () => {
  assert.deepEqual(scripts, ['mariadb.sh', 'postgres.sh'])
  const used = new Set([...scripts.flatMap(wordsOf), 'Refused'])
  assert.deepEqual([...used].sort(), [...refusals].sort())
})
