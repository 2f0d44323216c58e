// Shapes of commands: all the ways in which people write dumps, good ones and bad ones. Each is a bash script over three pieces of bytes
// that the seed gives, so that what it would write alone is found out by running it alone.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { runVariable } from '../runner/leftovers.ts'

export type Shape = {
  readonly name: string
  /** `piece N` writes piece N; `gate NAME` waits until the test has done what it wanted there; `late` waits for the command's end. */
  readonly script: string
  /** The gates that it comes to, in order. */
  readonly gates?: readonly string[]
  /** It ends by itself when it is told to stop: its gates then stay closed, so that nothing else ends it before. */
  readonly heedsTerm?: true
  /** Why no run of it may be called a backup, whatever it writes. */
  readonly never?: 'it holds nothing' | 'it does not end'
}

/** In every script; children of all kinds have it, too. */
const prelude = `
piece() { cat "$pieces/$1"; }
gate() { : >"$marks/at-$1"; while [ ! -e "$marks/go-$1" ]; do sleep 0.02; done; }
late() { while kill -0 $main 2>/dev/null; do sleep 0.01; done; gate late; }
export pieces=$1 marks=$2 main=$$
export -f piece gate late
`

const plain: readonly Shape[] = [
  { name: 'two pieces', script: 'piece 0; gate middle; piece 1', gates: ['middle'] },
  { name: 'a program that replaces the shell', script: 'exec cat "$pieces/0" "$pieces/1"' },
  { name: 'a pipeline', script: '(piece 0; gate middle; piece 1) | cat', gates: ['middle'] },
  { name: 'a child that is waited for', script: '(piece 0; gate middle; piece 1) & wait $!', gates: ['middle'] },
  { name: 'bursts', script: 'for i in 0 1 2; do piece $i; sleep 0.15; done' },
  { name: 'a slow one', script: 'piece 0; sleep 0.8; gate middle; piece 1', gates: ['middle'] },
  { name: 'many words on stderr', script: 'piece 0; seq 1 20000 >&2; gate middle; piece 1', gates: ['middle'] },
  { name: 'its output opened again', script: 'piece 0 >/dev/stdout; piece 1 >/proc/self/fd/1' },
  {
    name: 'its output closed before its end',
    script: 'piece 0; piece 1; exec >&-; gate closed',
    gates: ['closed'],
  },
  { name: 'a compressor behind it', script: '(piece 0; gate middle; piece 1) | gzip -n', gates: ['middle'] },
]

const failing: readonly Shape[] = [
  { name: 'it fails in the middle', script: 'piece 0; gate middle; exit 3', gates: ['middle'] },
  { name: 'it fails after everything', script: 'piece 0; piece 1; exit 1' },
  { name: 'it fails before its first byte', script: 'exit 2' },
  { name: 'its pipeline fails', script: 'set -o pipefail; (piece 0; gate middle; exit 4) | cat', gates: ['middle'] },
  { name: 'it kills itself', script: 'piece 0; gate middle; kill -KILL $$', gates: ['middle'] },
  { name: 'it fails with its output closed', script: 'piece 0; exec >&-; gate closed; exit 5', gates: ['closed'] },
  { name: 'it goes silent', script: 'piece 0; sleep 1000', never: 'it does not end' },
]

/** F54: whoever writes when the command has ended. */
const lateWriters: readonly Shape[] = [
  { name: 'a background job', script: 'piece 0; (late; piece 1) & exit 0', gates: ['late'] },
  { name: 'a background job that fails', script: 'piece 0; (late; piece 1; exit 9) & exit 0', gates: ['late'] },
  { name: 'nothing but a background job', script: '(late; piece 0; piece 1) & exit 0', gates: ['late'] },
  { name: 'a background job with control', script: 'set -m; piece 0; (late; piece 1) & exit 0', gates: ['late'] },
  { name: 'a forgotten wait', script: '(piece 0; late; piece 1; piece 2) & disown; exit 0', gates: ['late'] },
  { name: 'a child of a child', script: 'piece 0; ( (late; piece 1) & )', gates: ['late'] },
  {
    name: 'a process substitution',
    script: 'exec > >(cat; late; piece 2); piece 0; gate middle; piece 1',
    gates: ['middle', 'late'],
  },
  {
    name: 'a process substitution that compresses',
    script: 'exec > >(gzip -n); piece 0; gate middle; piece 1',
    gates: ['middle'],
  },
  { name: 'one for one program', script: 'cat "$pieces/0" "$pieces/1" > >(gzip -n)' },
  { name: 'setsid', script: "piece 0; setsid bash -c 'late; piece 1' & exit 0", gates: ['late'] },
  { name: 'setsid --fork', script: "piece 0; setsid --fork bash -c 'late; piece 1'", gates: ['late'] },
  { name: 'nohup', script: "piece 0; nohup bash -c 'late; piece 1' 2>/dev/null & exit 0", gates: ['late'] },
  { name: 'a late one that writes nothing', script: 'piece 0; piece 1; (late) & exit 0', gates: ['late'] },
  { name: 'a late one that does not end', script: 'piece 0; sleep 1000 & exit 0', never: 'it does not end' },
]

/** F55: what a command makes of SIGTERM. */
const trapped: readonly Shape[] = [
  {
    name: 'TERM is success',
    script: "trap 'exit 0' TERM; piece 0; gate middle; piece 1",
    gates: ['middle'],
    heedsTerm: true,
  },
  { name: 'TERM is ignored', script: "trap '' TERM; piece 0; gate middle; piece 1", gates: ['middle'] },
  {
    name: 'TERM is an order to finish',
    script: "trap 'piece 2; exit 0' TERM; piece 0; gate middle; piece 1; piece 2",
    gates: ['middle'],
    heedsTerm: true,
  },
  {
    name: 'TERM is success, with a late writer',
    script: "exec > >(trap '' TERM; cat; late; piece 2); trap 'exit 0' TERM; piece 0; gate middle; piece 1",
    gates: ['middle', 'late'],
    heedsTerm: true,
  },
]

/** F56: output that is there and holds nothing. */
const empty: readonly Shape[] = [
  'true',
  'gzip -n </dev/null',
  'false | gzip -n',
  'zstd -q -c </dev/null',
  'xz -c </dev/null',
  'bzip2 -c </dev/null',
  'lz4 -q -c </dev/null',
  'tar -cf - -T /dev/null',
  'exec > >(gzip -n); true',
].map(script => ({ name: `nothing: ${script}`, script, never: 'it holds nothing' as const }))

export const families = { plain, failing, lateWriters, trapped, empty } as const

/** The command line; `marks` is a folder for its gates. */
export function commandOf({ script }: Shape, pieces: string, marks: string): readonly string[] {
  return ['bash', '-c', `${prelude}${script}`, 'dump', pieces, marks]
}

/** What the command writes when nobody disturbs it and everybody waits for its last writer, and the status that it ends with. */
export async function alone(
  shape: Shape,
  pieces: string,
  marks: string,
): Promise<{ readonly bytes: Buffer; readonly status: number | null }> {
  for (const gate of shape.gates ?? []) await openGate(marks, gate)
  // Through a pipe of the kernel: what Node gives its children is a socket, which cannot be opened again by its name.
  const piped = ['bash', '-c', '"$@" | cat; exit ${PIPESTATUS[0]}', 'alone', ...commandOf(shape, pieces, marks)]
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...piped], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { PATH: process.env.PATH, HOME: marks, [runVariable]: process.env[runVariable] },
  })
  const [bytes, [status]] = await Promise.all([buffer(child.stdout), once(child, 'exit') as Promise<[number | null]>])
  return { bytes, status }
}

export async function openGate(marks: string, gate: string): Promise<void> {
  await writeFile(join(marks, `go-${gate}`), '')
}
