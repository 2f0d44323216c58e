// Prometheus' text format, for series that are too many to be kept as objects of a library.

export type MetricFamily = {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly labels: readonly string[]
}

/** The two lines before the samples of a family. */
export function familyHead({ name, help, type }: MetricFamily): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`
}

/** `a="1",b="2"`: what stands between the braces. */
export function labelText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${value.replaceAll(/[\\"\n]/g, escaped)}"`)
    .join(',')
}

function escaped(character: string): string {
  return character === '\n' ? '\\n' : `\\${character}`
}

export function sample(name: string, labels: string, value: number): string {
  return labels === '' ? `${name} ${value}\n` : `${name}{${labels}} ${value}\n`
}

/** What a histogram holds: how many observations were at most so large, for each bound and for all of them. */
export class Observations {
  readonly #bounds: readonly number[]
  readonly #counts: number[]
  #sum = 0
  #count = 0

  /** @param bounds ascending, without infinity */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
    this.#counts = bounds.map(() => 0)
  }

  observe(value: number): void {
    this.#sum += value
    this.#count++
    for (const [index, bound] of this.#bounds.entries()) if (value <= bound) this.#counts[index] += 1
  }

  samples(name: string, labels: string): string {
    const bucket = (bound: string, count: number) => sample(`${name}_bucket`, `${labels},le="${bound}"`, count)
    const buckets = this.#bounds.map((bound, index) => bucket(String(bound), this.#counts[index] ?? 0))
    const all = [
      bucket('+Inf', this.#count),
      sample(`${name}_sum`, labels, this.#sum),
      sample(`${name}_count`, labels, this.#count),
    ]
    return [...buckets, ...all].join('')
  }
}
