// An operator behind a proxy that decides the fate of its writes, started again whenever it was killed.
import { tail } from '../../../dev/command.ts'
import type { Client } from '../../../src/runtime/client/client.ts'
import { startApiProxy, type ApiProxyOptions, type Fate, type Write } from '../control-plane/api-proxy.ts'
import type { ControlPlane } from '../control-plane/control-plane.ts'
import { expireLease, startOperator, type RunningOperator } from './operator.ts'

export type SupervisedOperatorOptions = Pick<ApiProxyOptions, 'onWritten' | 'watchDelayMs'> & {
  /** `shoot`: SIGKILL. */
  readonly onWrite: (write: Write, operator: { readonly shoot: () => void }) => Fate
}

export type SupervisedOperator = {
  readonly starts: () => number
  readonly lastWords: () => Promise<string>
  readonly stop: () => Promise<void>
}

export async function superviseOperator(
  plane: ControlPlane,
  admin: Client,
  identity: string,
  { onWrite, ...others }: SupervisedOperatorOptions,
): Promise<SupervisedOperator> {
  const stop = new AbortController()
  let current: RunningOperator | undefined
  let shoot = () => {}
  let starts = 0
  const proxy = await startApiProxy({
    url: plane.url,
    ca: plane.ca,
    ...others,
    onWrite: write => onWrite(write, { shoot: () => shoot() }),
  })
  const supervisor = (async () => {
    while (!stop.signal.aborted) {
      starts++
      const operator = await startOperator(plane, `${identity}-${starts}`, proxy.url)
      current = operator
      shoot = () => void process.kill(operator.pid, 'SIGKILL')
      if (stop.signal.aborted) await operator.kill()
      await operator.exited
      await expireLease(admin)
    }
  })()
  return {
    starts: () => starts,
    lastWords: async () => (current ? await tail(current.log) : 'none'),
    stop: async () => {
      if (stop.signal.aborted) return
      stop.abort()
      await current?.kill()
      await supervisor
      await proxy.close()
    },
  }
}
