// A PostgreSQL of a version that has not been made yet, for clients that are older than their server: it lets anybody in, says its
// version, and answers every query with one empty row. https://www.postgresql.org/docs/current/protocol-flow.html
import { createServer, type Socket } from 'node:net'

const version = '99.0'

/** A message: its type, the length of the rest with itself, the rest. */
function message(type: string, ...body: readonly Buffer[]): Buffer {
  const rest = Buffer.concat(body)
  return Buffer.concat([Buffer.from(type), int32(rest.length + 4), rest])
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

const text = (...words: readonly string[]) => Buffer.from(words.map(word => `${word}\0`).join(''))
const int16 = (value: number) => int32(value).subarray(2)

const ready = message('Z', Buffer.from('I'))
const welcome = [message('R', int32(0)), message('S', text('server_version', version)), ready]
const column = Buffer.concat([text('nothing'), int32(0), int16(0), int32(25), int16(-1), int32(-1), int16(0)])
const row = [message('T', int16(1), column), message('D', int16(1), int32(0)), message('C', text('SELECT 1')), ready]

/** Requests for encryption look like the first message of a session; their codes are these. */
const encryptionRequests = [80877103, 80877104]

function serve(socket: Socket) {
  let received = Buffer.alloc(0)
  let started = false
  socket.on('error', () => socket.destroy())
  socket.on('data', (data: Buffer) => {
    received = Buffer.concat([received, data])
    for (;;) {
      const head = started ? 1 : 0
      if (received.length < head + 4) return
      const length = head + received.readUInt32BE(head)
      if (received.length < length) return
      const first = received.subarray(0, length)
      received = received.subarray(length)
      if (!started && encryptionRequests.includes(first.readUInt32BE(4))) {
        socket.write('N')
      } else if (!started) {
        started = true
        socket.write(Buffer.concat(welcome))
      } else if (first.toString('latin1', 0, 1) === 'Q') {
        socket.write(Buffer.concat(row))
      }
    }
  })
}

createServer(serve).listen(5432)
