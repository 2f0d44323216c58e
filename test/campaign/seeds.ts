// Which seeds a campaign plays: always the same few in `make test`, so that it fails for what was changed; as many new ones as are asked
// for in `make test-long`; and one alone, when it is to be looked at again.
import { availableParallelism } from 'node:os'

export type Verdict = {
  readonly seed: number
  /** What was found wrong; nothing is as it should be. */
  readonly problems: readonly string[]
  /** What was played, in one line. */
  readonly about: string
}

export function seedsOf(count: { readonly usual: number; readonly long: number }): readonly number[] {
  const { SEED, TEST_LONG } = process.env
  if (SEED !== undefined) return [Number(SEED)]
  const first = TEST_LONG ? Math.floor(Math.random() * 1e9) : 1
  return Array.from({ length: TEST_LONG ? count.long : count.usual }, (_, index) => first + index)
}

export type Played<V extends Verdict> = { readonly played: readonly V[]; readonly failed: readonly Verdict[] }

/** Plays the seeds, `atOnce` side by side, and gives back what became of each. A seed that throws has found something as well. */
export async function playAll<V extends Verdict>(
  seeds: readonly number[],
  atOnce: number,
  play: (seed: number) => Promise<V>,
): Promise<Played<V>> {
  const waiting = [...seeds]
  const played: V[] = []
  const thrown: Verdict[] = []
  async function worker(): Promise<void> {
    for (let seed = waiting.shift(); seed !== undefined; seed = waiting.shift()) {
      try {
        const verdict = await play(seed)
        played.push(verdict)
        // The rest may take an hour.
        if (verdict.problems.length > 0) console.error(`seed ${seed}: ${verdict.problems.join('; ')}`)
      } catch (error) {
        thrown.push({ seed, about: 'it could not be played', problems: [String((error as Error).stack ?? error)] })
      }
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  const failed = [...played.filter(({ problems }) => problems.length > 0), ...thrown]
  return { played, failed: failed.toSorted((a, b) => a.seed - b.seed) }
}

/** Waits take most of a seed's time, not the processor. */
export const usualAtOnce = 2 * availableParallelism()

/** Each seed that failed, with the one command that plays it again. */
export function told(failed: readonly Verdict[], file: string): string {
  return failed
    .map(({ seed, about, problems }) => {
      const lines = problems.map(problem => `    ${problem.replaceAll('\n', '\n    ')}`)
      return [`seed ${seed}: ${about}`, ...lines, `    again: SEED=${seed} node --test ${file}`].join('\n')
    })
    .join('\n')
}
