// Changes of a policy's clock after which a slot that has passed would be its own: the same for both strategies (F24).
import { patch } from './stack.ts'

const minuteMs = 60_000
export const everyMinute = '* * * * *'

/** Ms since the epoch. */
export function nextMinute(): number {
  return Math.ceil((Date.now() + 1) / minuteMs) * minuteMs
}

/** By policy, the fields of the spec before the change; with none the policy never runs. None of the three has a slot for hours. */
export function clocksBefore() {
  const hour = new Date().getUTCHours()
  return {
    edited: {},
    moved: { schedule: `* ${hour},${(hour + 1) % 24} * * *`, timeZone: 'Etc/GMT+6' },
    resumed: { schedule: everyMinute, suspend: true },
  }
}

/** From now on each minute is a slot of the three. @param prefix of the policies' names */
export async function changeClocks(namespace: string, prefix = ''): Promise<void> {
  const changes = {
    edited: { schedule: everyMinute },
    moved: { timeZone: 'Etc/UTC' },
    resumed: { suspend: false },
  } satisfies Record<keyof ReturnType<typeof clocksBefore>, object>
  await Promise.all(
    Object.entries(changes).map(([name, spec]) => patch(namespace, `backuppolicy/${prefix}${name}`, { spec })),
  )
}
