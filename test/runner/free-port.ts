import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * A port of the loopback interface that nobody listens on. Below the range that Linux gives to outgoing connections, so that it is
 * still free when a server that was killed comes back on it.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const server = createServer()
    const free = await new Promise<boolean>(resolve => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!free) continue
    server.close()
    await once(server, 'close')
    return port
  }
}
