import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { test } from 'node:test'
import { resetConnection } from './reset-connection.ts'

/** What both ends of a connection are told when the server's is reset, before that has been ended or in the same moment. */
async function told(first: (socket: Socket) => void) {
  const words: string[] = []
  const server = createServer(socket => {
    socket.on('error', (error: NodeJS.ErrnoException) => words.push(`server ${error.code}`))
    socket.once('data', () => {
      first(socket)
      resetConnection(socket)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  client.write('hello')
  client.resume()
  client.on('error', (error: NodeJS.ErrnoException) => words.push(`client ${error.code}`))
  await new Promise(closed => client.once('close', closed))
  server.close()
  await once(server, 'close')
  return words
}

test('a connection is reset', async () => {
  assert.deepEqual(await told(() => undefined), ['client ECONNRESET'])
})

test('one that is being shut down is closed, and leaves nothing that this process waits for at its end', async () => {
  assert.deepEqual(await told(socket => socket.end('x')), [])
})
