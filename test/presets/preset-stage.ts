// The container of a preset's script as a local process: the real script run by the real busybox, with a folder instead of the mover.
// What the helpers `artifact` and `feed` promise is kept here by two short scripts: artifacts go into files and come back through a pipe.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { repository } from '../../dev/paths.ts'

export type Environment = Readonly<Record<string, string>>

/** What one run of the script has given to the mover, by name, in order. */
export type Stored = {
  readonly folder: string
  readonly artifacts: ReadonlyMap<string, Buffer>
}

export type PresetRun = Stored & {
  readonly status: number
  readonly stderr: string
  readonly refusal: { readonly reason: string; readonly sentence: string } | undefined
  /** The JSON of `.result`. */
  readonly result: unknown
}

export type PresetStage = {
  /** For files of a test. */
  readonly folder: string
  /** @param from what an earlier run has stored: what `feed` gives */
  readonly run: (task: 'dump' | 'restore' | 'verify', environment: Environment, from?: Stored) => Promise<PresetRun>
  /** A copy of what is stored, with some of it changed. */
  readonly changed: (stored: Stored, change: Readonly<Record<string, string | Buffer | undefined>>) => Promise<Stored>
  /** A folder for PATH with shell scripts of these names, to stand before the real programs. */
  readonly programs: (scripts: Readonly<Record<string, string>>) => Promise<string>
  readonly remove: () => Promise<void>
}

const artifactHelper = `
name=$1; shift
folder=$STORED/$("$SHARED/busybox" ls "$STORED" | "$SHARED/busybox" wc -l)
"$SHARED/busybox" mkdir "$folder"
printf %s "$name" >"$folder/name"
set -o pipefail
"$@" | "$SHARED/busybox" cat >"$folder/data"
`

const feedHelper = `
name=$1; shift
for folder in $("$SHARED/busybox" ls "$FEED" | "$SHARED/busybox" sort -n); do
  have=$("$SHARED/busybox" cat "$FEED/$folder/name"; echo .)
  case $have in .?*) ;; *) printf '%s\\n' "\${have%.}" ;; esac
done >"$STORED.names"
if [ "$name" = .artifacts ]; then exec "$@" <"$STORED.names"; fi
for folder in "$FEED"/*; do
  [ "$("$SHARED/busybox" cat "$folder/name")" = "$name" ] || continue
  "$SHARED/busybox" cat "$folder/data" | { "$@"; status=$?; [ $status -eq 0 ] && "$SHARED/busybox" cat >/dev/null; exit $status; }
  exit
done
echo "feed: there is no $name" >&2
exit 66
`

/** @param engine the script is `src/presets/<engine>.sh` */
export async function makePresetStage(engine: string): Promise<PresetStage> {
  const root = await mkdtemp(join(tmpdir(), 'backup-operator-preset-'))
  const shared = join(root, 'shared')
  await mkdir(shared)
  await copyFile('/bin/busybox', join(shared, 'busybox'))
  await copyFile(join(repository, 'src/presets', `${engine}.sh`), join(shared, `preset-${engine}.sh`))
  for (const [name, script] of Object.entries({ artifact: artifactHelper, feed: feedHelper })) {
    await writeFile(join(shared, name), `#!${shared}/busybox sh\n${script}`)
    await chmod(join(shared, name), 0o755)
  }
  const temporary = join(root, 'tmp')
  await mkdir(temporary)

  async function run(task: string, environment: Environment, from?: Stored): Promise<PresetRun> {
    const folder = await mkdtemp(join(root, 'run-'))
    const stored = join(folder, 'stored')
    await mkdir(stored)
    const child = spawn(join(shared, 'busybox'), ['sh', join(shared, `preset-${engine}.sh`), task], {
      env: {
        ...environment,
        HOME: '/nonexistent',
        TMPDIR: temporary,
        SHARED: shared,
        STORED: stored,
        FEED: from?.folder ?? '',
      },
      // A process group of its own: as a container it dies as a whole.
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const [stderr, [code, signal]] = await Promise.all([
      text(child.stderr),
      once(child, 'close') as Promise<[number | null, string | null]>,
    ])
    const artifacts = await read(stored)
    const [reason = '', ...sentence] = artifacts.get('.refused')?.toString().split('\n') ?? []
    return {
      folder: stored,
      artifacts,
      status: code ?? (signal === 'SIGKILL' ? 137 : 1),
      stderr,
      refusal: artifacts.has('.refused') ? { reason, sentence: sentence.join('\n').trim() } : undefined,
      result: artifacts.has('.result') ? JSON.parse(String(artifacts.get('.result'))) : undefined,
    }
  }

  async function changed(stored: Stored, change: Readonly<Record<string, string | Buffer | undefined>>) {
    const folder = await mkdtemp(join(root, 'changed-'))
    const artifacts = new Map([...stored.artifacts, ...Object.entries(change)])
    const kept = [...artifacts].filter((entry): entry is [string, string | Buffer] => entry[1] !== undefined)
    for (const [nth, [name, data]] of kept.entries()) {
      await mkdir(join(folder, String(nth)))
      await writeFile(join(folder, String(nth), 'name'), name)
      await writeFile(join(folder, String(nth), 'data'), data)
    }
    return { folder, artifacts: await read(folder) }
  }

  async function programs(scripts: Readonly<Record<string, string>>) {
    const folder = await mkdtemp(join(root, 'programs-'))
    for (const [name, script] of Object.entries(scripts)) {
      await writeFile(join(folder, name), `#!/bin/busybox sh\n${script}\n`)
      await chmod(join(folder, name), 0o755)
    }
    return folder
  }

  return {
    folder: root,
    run,
    changed,
    programs,
    remove: () => rm(root, { recursive: true, force: true }),
  }
}

async function read(folder: string): Promise<ReadonlyMap<string, Buffer>> {
  const numbers = (await readdir(folder)).map(Number).toSorted((a, b) => a - b)
  const entries = numbers.map(async number => {
    const name = await readFile(join(folder, String(number), 'name'), 'utf8')
    return [name, await readFile(join(folder, String(number), 'data'))] as const
  })
  return new Map(await Promise.all(entries))
}
