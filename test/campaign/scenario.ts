// What a seed plays on the mover: a command, the store's moods, a blow at some moment, clocks, and what was in the bucket before.
import { s3ServerKinds, type S3ServerKind } from '../storage/s3-servers.ts'
import type { Around, Fault, S3Verb } from '../storage/s3-fault-proxy.ts'
import { families, type Shape } from './commands.ts'
import { Draw } from './draw.ts'

/** The next `times` requests of this verb fail so. */
export type Mood = { readonly verb: S3Verb; readonly fault: Fault; readonly times: number }

/** When the blow falls: an event, never a time. */
export type Moment =
  /** At the n-th write that the store hears of (from 1), before or after it obeys; the connection is lost. */
  | { readonly at: 'write'; readonly nth: number; readonly around: Around }
  /** When the n-th request is on its way. */
  | { readonly at: 'request'; readonly nth: number }
  /** The command stands there. */
  | { readonly at: 'gate'; readonly gate: string }
  /** The mover says so. */
  | { readonly at: 'phase'; readonly phase: 'waiting' | 'receiving' | 'committing' | 'committed' }

export const blows = [
  'the mover is killed',
  'the mover is told to stop',
  'the first process is killed',
  'the first process is told to stop',
  'the helper is killed',
  'the helper is told to stop',
  'the command is killed',
  'the command is told to stop',
  'the pod is told to stop',
  /** Its machine sleeps; when it wakes its time is over, and a run of the next day has swept. */
  'the mover sleeps past its expiry',
] as const
export type Blow = (typeof blows)[number]

/**
 * Where a command calls it a success to be told to stop, and a stranger in its container tells it alone, nobody can tell that from an end of
 * its own accord: no process learns of a signal to another (docs/failure-modes.md).
 */
const blowsThatShow = blows.filter(blow => blow !== 'the command is told to stop')

export type Scenario = {
  readonly server: S3ServerKind
  readonly shape: Shape
  readonly pieces: readonly [Buffer, Buffer, Buffer]
  readonly moods: readonly Mood[]
  readonly blow?: { readonly what: Blow; readonly moment: Moment }
  /** Of the mover's clock; behind when it is negative. */
  readonly clockAheadMs: number
  readonly partBytes: number
  readonly maxParts: number
  readonly retention: number
  /** Backups that the target has already, oldest first. */
  readonly earlier: readonly { readonly bytes: Buffer; readonly lost: boolean }[]
  /** After the first attempt has failed, or beside it. */
  readonly second?: 'a retry' | 'a twin'
  /** A run of the day after, whose store has moods too. */
  readonly nextDay?: readonly Mood[]
}

const minute = 60_000
const hour = 60 * minute
export const dayMs = 24 * hour

export function scenarioOf(seed: number): Scenario {
  const draw = new Draw(`mover ${seed}`)
  const family = draw.pick([
    'plain',
    'plain',
    'plain',
    'lateWriters',
    'lateWriters',
    'failing',
    'trapped',
    'empty',
  ] as const)
  const shape = draw.pick(families[family])
  const big = family !== 'empty' && draw.chance(15)
  // The first is never empty: what is compressed would hold nothing.
  const first = piece(draw, big)
  const pieces = [first.length > 0 ? first : draw.bytes(1), piece(draw, big), piece(draw, false)] as const
  const blow = draw.chance(family === 'trapped' ? 90 : 40) ? blowOn(draw, shape) : undefined
  // A mover that sleeps has something to lose when the store already holds a segment.
  const small = big || draw.chance(30)
  return {
    server: draw.pick(s3ServerKinds),
    shape,
    pieces,
    moods: draw.chance(50) ? moods(draw, anyVerb) : [],
    ...(blow ? { blow } : {}),
    clockAheadMs: draw.chance(60) ? 0 : draw.pick([-5 * hour, -20 * minute, 20 * minute, 5 * hour, 3 * dayMs]),
    partBytes: small ? 5 << 20 : 8 << 20,
    maxParts: small ? draw.pick([1, 2]) : 9000,
    retention: draw.between(1, 3),
    earlier: draw.chance(30) ? earlier(draw) : [],
    ...(draw.chance(25) ? { second: draw.pick(['a retry', 'a retry', 'a twin'] as const) } : {}),
    ...(draw.chance(15) ? { nextDay: moods(draw, sweepVerbs) } : {}),
  }
}

/** In one line, for people who look at a seed that failed. */
export function inWords(scenario: Scenario): string {
  const { shape, pieces, moods, blow, clockAheadMs, earlier, second, nextDay } = scenario
  const sizes = pieces.map(({ length }) => length).join('+')
  const mood = (some: readonly Mood[]) =>
    some.map(({ verb, fault, times }) => `${verb} ${Object.values(fault).join(' ')} ×${times}`).join(', ')
  return [
    `${scenario.server}, ${shape.name} (${sizes} bytes)`,
    moods.length > 0 && mood(moods),
    blow && `${blow.what} at ${Object.values(blow.moment).join(' ')}`,
    clockAheadMs !== 0 && `clock ${clockAheadMs / hour} h ahead`,
    `retention ${scenario.retention}`,
    earlier.length > 0 && `${earlier.length} earlier (${earlier.filter(({ lost }) => lost).length} lost)`,
    second,
    nextDay && `next day: ${mood(nextDay)}`,
  ]
    .filter(Boolean)
    .join('; ')
}

/** Big ones make parts and segments of their own. */
function piece(draw: Draw, big: boolean): Buffer {
  if (big) return draw.bytes(draw.between(5_300_000, 6_000_000))
  if (draw.chance(10)) return Buffer.alloc(0)
  const size = draw.pick([1, 100, 5_000, 200_000])
  const noise = draw.bytes(draw.between(1, size))
  return draw.chance(50) ? noise : Buffer.from(noise.toString('hex').repeat(3))
}

function earlier(draw: Draw): Scenario['earlier'] {
  const count = draw.between(1, 3)
  return Array.from({ length: count }, () => ({ bytes: draw.bytes(draw.between(1, 400_000)), lost: draw.chance(15) }))
}

function blowOn(draw: Draw, { gates = [], heedsTerm }: Shape): Scenario['blow'] {
  const what = draw.chance(10) ? 'the mover sleeps past its expiry' : draw.pick(heedsTerm ? blowsThatShow : blows)
  const moments: readonly Moment[] = [
    { at: 'write', nth: draw.between(1, 10), around: draw.pick(['before', 'after']) },
    { at: 'request', nth: draw.between(1, 20) },
    { at: 'phase', phase: draw.pick(['waiting', 'receiving', 'committing', 'committed']) },
    ...gates.flatMap(gate => [1, 2].map(() => ({ at: 'gate', gate }) as const)),
  ]
  return { what, moment: draw.pick(moments) }
}

const anyVerb: readonly S3Verb[] = [
  'put',
  'put',
  'get',
  'head',
  'list',
  'delete',
  'createUpload',
  'uploadPart',
  'uploadPart',
  'completeUpload',
  'completeUpload',
  'abortUpload',
  'listUploads',
]
const sweepVerbs: readonly S3Verb[] = ['get', 'get', 'head', 'list', 'delete', 'abortUpload', 'listUploads']

function moods(draw: Draw, verbs: readonly S3Verb[]): readonly Mood[] {
  return Array.from({ length: draw.pick([1, 1, 2, 3]) }, () => {
    const verb = draw.pick(verbs)
    return { verb, fault: faultOf(draw, verb), times: draw.pick([1, 1, 1, 2, 3, 1000]) }
  })
}

function faultOf(draw: Draw, verb: S3Verb): Fault {
  const faults: readonly Fault[] = [
    { kind: 'refuse', status: 503, code: 'SlowDown' },
    { kind: 'refuse', status: 500, code: 'InternalError' },
    { kind: 'refuse', status: 403, code: 'AccessDenied' },
    { kind: 'reset' },
    { kind: 'lose-reply' },
    { kind: 'cut-reply' },
    { kind: 'silence' },
    { kind: 'slow', ms: draw.between(50, 1500) },
    { kind: 'html' },
    ...(verb === 'put' ? [{ kind: 'ignore-condition' } as const] : []),
    ...(verb === 'completeUpload' ? [{ kind: 'error-in-200', code: 'InternalError' } as const] : []),
    ...(verb === 'get' || verb === 'head' || verb === 'list' ? [{ kind: 'no-page' } as const] : []),
  ]
  return draw.pick(faults)
}
