// Ending a connection as a machine does that has died and is there again.
import type { Socket } from 'node:net'

/**
 * Ends it with RST. One that is being shut down cannot be reset (EINVAL): Node 26 then keeps its handle, and at its end waits for that for
 * ever, with all of a core.
 */
export function resetConnection(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}
