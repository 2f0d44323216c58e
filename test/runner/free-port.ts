import { once } from 'node:events'
import { createServer, type ListenOptions, type Server } from 'node:net'

/**
 * A port of the loopback interface that nobody listens on. Below the range that Linux gives to outgoing connections, so that it is
 * still free when a server that was killed comes back on it. No other process is given it while this one lives: between the choice and
 * the server's start, and while a killed one is away, it looks free.
 * @param candidate the next port to try
 */
export async function freePort(candidate: () => number = anyPort): Promise<number> {
  for (;;) {
    const port = candidate()
    // Of the same network namespace as the port; the kernel lets go of it with the process, however that ends (unix(7), abstract).
    const reservation = await listening({ path: `\0backup-operator-test-port-${port}` })
    if (!reservation) continue
    reservation.unref()
    const server = await listening({ port, host: '127.0.0.1' })
    const unneeded = server ?? reservation
    unneeded.close()
    await once(unneeded, 'close')
    if (server) return port
  }
}

function anyPort(): number {
  return 20_000 + Math.floor(Math.random() * 12_000)
}

/** undefined where somebody listens there. */
async function listening(where: ListenOptions): Promise<Server | undefined> {
  const server = createServer()
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
    )
    server.listen(where, () => resolve(server))
  })
}
